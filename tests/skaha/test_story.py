"""Through the whole broker, over HTTP: offered, brought, run at a Skaha, ended in time; and after a kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.served import Served
from federation.clock import Clock, SystemClock
from tests.broker.conftest import KINDS
from tests.broker.conversation import accept, asking, until
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server
from tests.skaha.platform_support import TERMINAL, Site
from tests.skaha.serving import registries_at
from tests.story.serving import serving
from tests.waiting import until as wait_until

CATALOGUE = """
name = "story"
[sites.canfar]
name = "CANFAR"
latitude = 48.5
longitude = -123.4
data_hosts = ["127.0.0.1:*"]
[sites.canfar.platform]
kind = "skaha"
cores = 512
memory = "2 TiB"
storage = "10 TiB"
[sites.canfar.platform.options]
url = "{url}"
token_file = "{token}"
registries_file = "{registries}"
staging = "{staging}"
staging_there = "{there}"
poll_seconds = 0.2
log_seconds = 0.2
image_seconds = 0.5
"""


@pytest.fixture
def clock() -> Clock:
    """The broker is a process of its own, and goes by the machine's."""
    return SystemClock()


@pytest.fixture
def serve(site: Site, tmp_path: Path) -> Iterator[Callable[[], Served]]:
    options, token = site.with_staging().options, tmp_path / "token"
    token.write_text("tok123\n")
    places = {"staging": options["staging"], "there": options["staging_there"]}
    places["registries"] = str(registries_at(tmp_path))
    catalogue = CATALOGUE.format(url=site.served.url, token=token, **places)
    with serving(tmp_path) as serve:
        yield lambda: serve(catalogue)


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


@contextmanager
def owned(broker: Served) -> Iterator[httpx.Client]:
    """A client of a broker that knows what Skaha can run, for which it asks when it starts."""
    with asking(broker) as owner:

        def known() -> bool:
            return "it is being asked" not in str(owner.post("/requests", json=document("true")).json())

        wait_until(known, "an answer of Skaha", seconds=240, pause=0.1)
        yield owner


@pytest.fixture
def owner(serve: Callable[[], Served]) -> Iterator[httpx.Client]:
    with owned(serve()) as owner:
        yield owner


def document(*command: str, url: str | None = None, duration: str = "PT10M") -> dict[str, Any]:
    mount = {"kind": f"{KINDS}volume/simple-volume-mount.yaml", "path": "/out", "mode": "READWRITE"}
    data = (
        []
        if url is None
        else [{"kind": f"{KINDS}data/simple-data-resource.yaml", "meta": {"name": "cube"}, "location": url}]
    )
    entrypoint, *arguments = command
    return {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": [TERMINAL]},
            "entrypoint": entrypoint,
            "command": arguments,
            "environment": {"KEY": "a=b"},
        },
        "storage": [
            {
                "kind": f"{KINDS}storage/simple-storage-resource.yaml",
                "meta": {"name": "results"},
                "size": {"min": 1},
            }
        ],
        "data": data,
        "compute": {
            "kind": f"{KINDS}compute/simple-compute-resource.yaml",
            "cores": {"min": 3},
            "memory": {"min": 5},
            "volumes": [{**mount, "resource": "results"}],
        },
        "schedule": {"requested": {"duration": duration}},
    }


def words(session: Any) -> str:
    return " | ".join(str(each.get("message")) for each in session["meta"].get("messages", ()))


def test_offered_brought_run_ended_in_time_and_refused(
    owner: httpx.Client, site: Site, files: FileServer
) -> None:
    ran_out = accept(owner, document("sh", "-c", "echo begun; cd /out; exec sleep 600", duration="PT20S"))
    script = 'cksum < /data/cube > /out/sum; echo "$KEY"'
    path = accept(owner, document("sh", "-c", script, url=files.url("/good")))
    offered = owner.get(path).json()
    assert "the least that is enough is 3 cores and 6 GiB" in words(offered)
    assert "can't keep a container from changing what is mounted read-only" in words(offered)
    session = until(owner, path, "COMPLETED", "FAILED", seconds=240)
    assert session["phase"] == "COMPLETED", words(session)
    logs = owner.get(f"{path}/logs").json()
    assert (logs["exit_code"], logs["stdout"]) == (0, "a=b\n")
    [results] = [each for each in session["connectors"] if "storage" in each["kind"]]
    listed = owner.get(httpx.URL(results["location"]).path).json()
    assert "sum" in str(listed)
    assert {(pod.cores, pod.memory_gib) for pod in list(site.simulator.pods.values())} <= {(3, 6)}

    # the time of the other is ended by the broker
    session = until(owner, ran_out, "COMPLETED", "FAILED", seconds=240)
    assert "The offered time was over, and the container was stopped" in words(session)
    assert owner.get(f"{ran_out}/logs").json()["stdout"] == "begun\n"
    pods = site.simulator.pods
    wait_until(lambda: all(pod.deleted for pod in list(pods.values())), "nothing left at Skaha", lambda: pods)

    # and what can't run is a NO with all the reasons
    wrong = document("true", "/out")
    wrong["executable"]["image"]["locations"] = ["ghcr.io/x/y:1"]
    wrong["compute"]["cores"] = {"min": 17}
    answer = owner.post("/requests", json=wrong).json()
    assert answer["result"] == "NO"
    assert "canfar runs images of images.canfar.net alone" in str(answer)
    assert "canfar has 16 cores for one session, 17 are asked for" in str(answer)


def test_a_broker_that_is_killed_while_it_runs_goes_on_with_the_same_session(
    serve: Callable[[], Served], site: Site
) -> None:
    broker = serve()
    go = site.directory / "go"
    script = f"echo begun > /out/said; echo begun; until [ -e {go} ]; do sleep 0.05; done; exit 3"
    with owned(broker) as owner:
        path = accept(owner, document("sh", "-c", script))
        until(owner, path, "RUNNING", "FAILED", seconds=240)
    os.kill(broker.process.pid, signal.SIGKILL)
    broker.process.wait(60)
    go.touch()
    with owned(serve()) as owner:
        session = until(owner, path, "COMPLETED", "FAILED", seconds=240)
        assert session["phase"] == "FAILED"
        assert "ended with exit code 3" in words(session)
        assert owner.get(f"{path}/logs").json()["stdout"] == "begun\n"
    assert len(site.posts()) == 1
