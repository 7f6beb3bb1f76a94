"""Through the whole broker, over HTTP: a container on a Rucio dataset that no site has all of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.served import Served
from tests.broker.conftest import KINDS
from tests.broker.conversation import asking, change, until
from tests.broker.podman_support import an_image, podman
from tests.rucio.conftest import World
from tests.rucio.server import PASSWORD
from tests.rucio.storage import content
from tests.story.serving import serving
from tests.waiting import until as wait_until

pytestmark = pytest.mark.podman

CATALOGUE = """
name = "story"
[sites.here]
name = "Here"
latitude = 0.0
longitude = 0.0
data_hosts = ["127.0.0.1:*"]
[sites.here.platform]
kind = "podman"
cores = 4
memory = "8 GiB"
storage = "10 GiB"
[sites.here.platform.options]
stop_seconds = 0.0
[sites.a]
name = "A"
latitude = 10.0
longitude = 10.0
rses = ["A1", "A2"]
data_hosts = ["data.a.example"]
[sites.b]
name = "B"
latitude = 20.0
longitude = 20.0
rses = ["B"]
[catalogues.rucio]
"""
FILES = 50


@pytest.fixture
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


@pytest.fixture
def served(world: World, tmp_path: Path, image: str) -> Iterator[Served]:
    options = "".join(f"{key} = {json.dumps(value)}\n" for key, value in world.rucio.options.items())
    try:
        with serving(tmp_path) as serve:
            yield serve(CATALOGUE + options)
    finally:
        left = podman("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()
        if left:
            podman("rm", "--force", "--ignore", "--time", "0", *left)


def document(image: str, name: str) -> dict[str, Any]:
    mount = {"kind": f"{KINDS}volume/simple-volume-mount.yaml", "path": "/data", "mode": "READONLY"}
    return {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": [image]},
        },
        "data": [
            {
                "kind": f"{KINDS}data/rucio-data-resource.yaml",
                "meta": {"name": "survey"},
                "rucio": {"scope": "sky", "object": name, "type": "DATASET"},
            }
        ],
        "compute": {
            "kind": f"{KINDS}compute/simple-compute-resource.yaml",
            "volumes": [{**mount, "resource": "survey"}],
        },
        "schedule": {"requested": {"duration": "PT10M"}},
    }


def test_all_files_arrive_as_they_are(world: World, served: Served, image: str, tmp_path: Path) -> None:
    names = world.dataset("story", A1=range(35), B=range(30, FILES))
    with asking(served) as client:

        def known() -> Any:
            answer = client.post("/requests", json=document(image, "story")).json()
            return None if "can't be asked" in str(answer) else answer

        # a broker waits for Rucio for a few seconds alone
        answer = wait_until(known, "an answer of Rucio", pause=0.2)
        assert answer["result"] == "YES", answer
        assert "sky:story" in str(answer)
        path = f"/sessions/{answer['offers'][0]['meta']['uuid']}"
        change(client, path, "ACCEPTED")
        session = until(client, path, "COMPLETED", "FAILED", seconds=240)
        assert session["phase"] == "COMPLETED", session
        lines = client.get(f"{path}/logs").json()["stdout"].splitlines()
    seen = {name.removeprefix("./"): digest for digest, name in (line.split("  ") for line in lines)}
    assert seen == {name: hashlib.sha256(content(name)).hexdigest() for name in names}
    assert len(seen) == FILES
    # it was said where from, and nobody was told how we sign in
    for source in ("a", "b"):
        assert f"moved from {source} to here" in str(session)
    for secret in (PASSWORD, "root-ddmlab"):
        assert secret not in str(session) + str(answer)
        assert secret not in served.log.read_text()
        assert secret.encode() not in (tmp_path / "broker.db").read_bytes()
