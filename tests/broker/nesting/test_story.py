"""Through the whole broker, over HTTP: a site is tried, and a container makes another where that works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from broker.nesting import VARIABLE
from fairlead.cli import build
from fairlead.served import start
from tests.broker.conftest import KINDS
from tests.broker.conversation import PASSWORD, accept, asking, until
from tests.broker.nesting.image import missing, nesting_image
from tests.broker.podman_support import podman

pytestmark = pytest.mark.podman

CATALOGUE = """
name = "story"
[sites.here]
name = "Here"
latitude = 0.0
longitude = 0.0
[sites.here.platform]
kind = "podman"
cores = 4
memory = "8 GiB"
storage = "10 GiB"
options = { stop_seconds = 0.0 }
"""
INSIDE = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "sh", "-c", "echo inside"]


@pytest.fixture
def image() -> Iterator[str]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with nesting_image() as name:
        yield name


@pytest.fixture
def owner(tmp_path: Path, image: str) -> Iterator[httpx.Client]:
    catalogue, database = tmp_path / "sites.toml", f"sqlite:///{tmp_path}/broker.db"
    catalogue.write_text(CATALOGUE)
    settings = {
        "HOME": str(tmp_path),
        "FAIRLEAD_ADMIN_PASSWORD": PASSWORD,
        "FAIRLEAD_DATABASE_URL": database,
        "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work"),
    }
    served = start(["--catalogue", str(catalogue)], tmp_path / "log", settings)
    try:
        with asking(served) as client:
            yield client
    finally:
        served.stop()
        left = podman("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()
        if left:
            podman("rm", "--force", "--time", "0", *left)


def document(image: str, kind: str) -> dict[str, Any]:
    return {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": [image]},
            "command": INSIDE,
            "environment": {VARIABLE: kind},
        },
        "compute": {"kind": f"{KINDS}compute/simple-compute-resource.yaml"},
        "schedule": {"requested": {"duration": "PT2M"}},
    }


def test_a_container_makes_another_where_that_was_tried(
    owner: httpx.Client, image: str, tmp_path: Path
) -> None:
    before = owner.post("/requests", json=document(image, "bwrap-no-proc")).json()
    assert before["result"] == "NO"
    assert "it isn't known whether containers at" in str(before)
    where = ["--catalogue", str(tmp_path / "sites.toml"), "--database", f"sqlite:///{tmp_path}/broker.db"]
    # while the broker serves
    tried = CliRunner().invoke(build("site"), ["site", "nesting", "here", "--image", image, *where])
    assert tried.exit_code == 0, tried.output
    refused = owner.post("/requests", json=document(image, "bwrap")).json()
    assert refused["result"] == "NO"
    assert "Can't mount proc on /newroot/proc" in str(refused)
    path = accept(owner, document(image, "bwrap-no-proc"))
    assert until(owner, path, "COMPLETED", "FAILED")["phase"] == "COMPLETED"
    assert owner.get(f"{path}/logs").json()["stdout"] == "inside\n"
