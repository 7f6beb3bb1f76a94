"""Through the whole broker: what is accepted is reserved in Slurm, runs in it, and leaves nothing there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.served import Served
from tests.broker.conftest import KINDS
from tests.broker.conversation import accept, asking, change, until
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import platform_options
from tests.story.serving import serving
from tests.waiting import until as wait_until

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

    def catalogue(book: bool) -> str:
        return CATALOGUE.format(options=lines, conf=options["conf"], book='book = "slurm"' if book else "")

    with serving(tmp_path) as serve:
        yield lambda book: serve(catalogue(book))


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
        "schedule": {"requested": {"duration": "PT10M"}},
    }


def written(served: Served, name: str) -> Path:
    """The file of that name in a session's storage, as soon as the container has written it."""
    pattern = f"work/**/storage/*/{name}"
    return wait_until(
        lambda: list(served.log.parent.glob(pattern)), f"a file {name}", seconds=240, pause=0.1
    )[0]


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
        until(owner, path, "RUNNING", "FAILED", seconds=240)
        assert reservations(slurm) == [f"fairlead-{uuid}"]
        slurm.wait(["squeue", "--noheader", "--format=%v %T"], f"fairlead-{uuid} RUNNING")
        written(served, "answer")
        change(owner, path, "CANCELLED")
        until(owner, path, "CANCELLED", seconds=240)
        answer = f"{path}/storage/results/answer"
        wait_until(
            lambda: not reservations(slurm) and owner.get(answer).status_code == 200,
            "no reservation, and the result",
            lambda: (reservations(slurm), owner.get(path).json()),
            seconds=240,
            pause=0.1,
        )
        assert owner.get(answer).text == "42\n"


def test_a_broker_that_is_killed_finds_its_job_again(
    serve: Callable[[bool], Served], slurm: Cluster, image: str
) -> None:
    script = "echo run >> /out/runs; while ! [ -e /out/go ]; do sleep 0.1; done; exit 3"
    served = serve(False)
    with asking(served) as owner:
        path = accept(owner, document(image, script))
        until(owner, path, "RUNNING", "FAILED", seconds=240)
    served.process.kill()
    served.process.wait()
    with asking(serve(False)) as owner:
        until(owner, path, "RUNNING", "FAILED", seconds=240)
        (written(served, "runs").parent / "go").touch()
        session = until(owner, path, "COMPLETED", "FAILED", seconds=240)
        assert owner.get(f"{path}/storage/results/runs").text == "run\n"
    assert session["phase"] == "FAILED"
    assert "The container ended with exit code 3" in str(session)
    # Slurm cleans up after a job whose end is known already
    slurm.wait(["squeue", "--noheader", "--format=%i"], "")
