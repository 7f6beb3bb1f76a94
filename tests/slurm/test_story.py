"""Through the whole broker: what is accepted is reserved in Slurm, runs in it, and leaves nothing there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.served import Served, start
from tests.broker.conftest import KINDS
from tests.broker.conversation import PASSWORD, accept, asking, change, until
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import platform_options

pytestmark = pytest.mark.podman

CATALOGUE = """
name = "story"
[sites.perth]
name = "Perth"
latitude = -31.95
longitude = 115.86
[sites.perth.platform]
kind = "slurm"
cores = 4
memory = "7 GiB"
storage = "10 GiB"
[sites.perth.platform.options]
{options}
[[sites.perth.space]]
source = "slurm"
{book}
options = {{ conf = "{conf}" }}
"""


@pytest.fixture
def serve(tmp_path: Path, slurm: Cluster) -> Iterator[Callable[[bool], Served]]:
    """Starts the broker, each time with the same database; sessions get reservations where it is told so."""
    options = platform_options(slurm, image_seconds=1.0)
    lines = "\n".join(f"{name} = {_toml(value)}" for name, value in options.items())
    started: list[Served] = []

    def serve(book: bool) -> Served:
        catalogue = tmp_path / "sites.toml"
        text = CATALOGUE.format(options=lines, conf=options["conf"], book='book = "slurm"' if book else "")
        catalogue.write_text(text)
        settings = {
            "HOME": str(tmp_path),
            "FAIRLEAD_ADMIN_PASSWORD": PASSWORD,
            "FAIRLEAD_DATABASE_URL": f"sqlite:///{tmp_path}/broker.db",
            "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work"),
        }
        started.append(start(["--catalogue", str(catalogue)], tmp_path / "log", settings))
        return started[-1]

    try:
        yield serve
    finally:
        for served in started:
            served.stop()


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def document(image: str, script: str) -> dict[str, Any]:
    mount = {"kind": f"{KINDS}volume/simple-volume-mount.yaml", "path": "/out", "mode": "READWRITE"}
    return {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": [image]},
            "command": ["sh", "-c", script],
        },
        "storage": [
            {
                "kind": f"{KINDS}storage/simple-storage-resource.yaml",
                "meta": {"name": "results"},
                "size": {"min": 1},
            }
        ],
        "compute": {
            "kind": f"{KINDS}compute/simple-compute-resource.yaml",
            "volumes": [{**mount, "resource": "results"}],
        },
        "schedule": {"requested": {"duration": "PT2M"}},
    }


def written(served: Served, name: str) -> Path:
    """The file of that name in a session's storage, as soon as the container has written it."""
    deadline = time.monotonic() + 90
    while not (found := list(served.log.parent.glob(f"work/**/storage/*/{name}"))):
        assert time.monotonic() < deadline, name
        time.sleep(0.1)
    return found[0]


def reservations(cluster: Cluster) -> list[str]:
    said = cluster.run("scontrol", "--oneliner", "show", "reservation").splitlines()
    return [line.split()[0].partition("=")[2] for line in said if line.startswith("ReservationName=")]


def test_a_session_has_its_reservation_and_gives_it_back(
    serve: Callable[[bool], Served], slurm: Cluster, image: str
) -> None:
    served = serve(True)
    with asking(served) as owner:
        path = accept(
            owner, document(image, "echo 42 > /out/answer; while ! [ -e /out/go ]; do sleep 0.1; done")
        )
        uuid = path.rpartition("/")[2]
        until(owner, path, "RUNNING", "FAILED", seconds=90)
        assert reservations(slurm) == [f"fairlead-{uuid}"]
        slurm.wait(["squeue", "--noheader", "--format=%v %T"], f"fairlead-{uuid} RUNNING")
        written(served, "answer")
        change(owner, path, "CANCELLED")
        until(owner, path, "CANCELLED", seconds=90)
        deadline = time.monotonic() + 90
        while reservations(slurm) or owner.get(f"{path}/storage/results/answer").status_code != 200:
            assert time.monotonic() < deadline, (reservations(slurm), owner.get(path).json())
            time.sleep(0.1)
        assert owner.get(f"{path}/storage/results/answer").text == "42\n"


def test_a_broker_that_is_killed_finds_its_job_again(
    serve: Callable[[bool], Served], slurm: Cluster, image: str
) -> None:
    script = "echo run >> /out/runs; while ! [ -e /out/go ]; do sleep 0.1; done; exit 3"
    served = serve(False)
    with asking(served) as owner:
        path = accept(owner, document(image, script))
        until(owner, path, "RUNNING", "FAILED", seconds=90)
    served.process.kill()
    served.process.wait()
    with asking(serve(False)) as owner:
        until(owner, path, "RUNNING", "FAILED", seconds=90)
        (written(served, "runs").parent / "go").touch()
        session = until(owner, path, "COMPLETED", "FAILED", seconds=90)
        assert owner.get(f"{path}/storage/results/runs").text == "run\n"
    assert session["phase"] == "FAILED"
    assert "The container ended with exit code 3" in str(session)
    assert slurm.run("squeue", "--noheader", "--format=%i") == ""
