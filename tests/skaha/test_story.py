"""Through the whole broker, over HTTP: offered, brought, run at a Skaha, ended in time; and after a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.served import Served as Broker
from fairlead.served import start
from federation.clock import Clock, SystemClock
from tests.broker.conftest import KINDS
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server
from tests.skaha.platform_support import TERMINAL, Site
from tests.skaha.serving import registries_at

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
# the same each time that it is started
PASSWORD = "correct-horse"


@pytest.fixture
def clock() -> Clock:
    """The broker is a process of its own, and goes by the machine's."""
    return SystemClock()


@pytest.fixture
def serve(site: Site, tmp_path: Path) -> Iterator[Callable[[], Broker]]:
    """Starts the broker, each time with the same database and the same directories."""
    options, token = site.with_staging().options, tmp_path / "token"
    token.write_text("tok123\n")
    catalogue = tmp_path / "sites.toml"
    places = {"staging": options["staging"], "there": options["staging_there"]}
    places["registries"] = str(registries_at(tmp_path))
    catalogue.write_text(CATALOGUE.format(url=site.served.url, token=token, **places))
    settings = {
        "HOME": str(tmp_path),
        "FAIRLEAD_ADMIN_PASSWORD": PASSWORD,
        "FAIRLEAD_DATABASE_URL": f"sqlite:///{tmp_path}/broker.db",
        "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work"),
    }
    started: list[Broker] = []

    def serve() -> Broker:
        log = tmp_path / f"log-{len(started)}"
        started.append(start(["--catalogue", str(catalogue)], log, settings))
        return started[-1]

    try:
        yield serve
    finally:
        for broker in started:
            broker.stop()


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


class Owner:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __call__(self, method: str, path: str, document: Any = None) -> Any:
        auth = (self._broker.user, PASSWORD)
        with httpx.Client(base_url=self._broker.url, auth=auth, follow_redirects=True, timeout=60) as client:
            return client.request(method, path, json=document)

    def accept(self, document: Mapping[str, Any]) -> str:
        """The path of a session that was offered for `document`, and accepted."""
        # what Skaha can run is asked for when the broker starts
        deadline = time.monotonic() + 240
        while (answer := self("POST", "/requests", document).json())["result"] != "YES":
            assert "it is being asked" in str(answer), answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)
        path = f"/sessions/{answer['offers'][0]['meta']['uuid']}"
        self.change(path, "ACCEPTED")
        return path

    def change(self, path: str, phase: str) -> None:
        update = {"kind": "uri:enum-value-update", "path": "phase", "value": phase}
        assert self("POST", path, update).status_code == 200

    def until(self, path: str, *phases: str) -> Any:
        deadline = time.monotonic() + 240
        while (session := self("GET", path).json())["phase"] not in phases:
            assert time.monotonic() < deadline, session
            time.sleep(0.1)
        return session


def document(*command: str, url: str | None = None, duration: str = "PT5M") -> dict[str, Any]:
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
    serve: Callable[[], Broker], site: Site, files: FileServer
) -> None:
    owner = Owner(serve())
    ran_out = owner.accept(document("sh", "-c", "echo begun; cd /out; exec sleep 600", duration="PT5S"))
    script = 'cksum < /data/cube > /out/sum; echo "$KEY"'
    path = owner.accept(document("sh", "-c", script, url=files.url("/good")))
    offered = owner("GET", path).json()
    assert "the least that is enough is 3 cores and 6 GiB" in words(offered)
    assert "can't keep a container from changing what is mounted read-only" in words(offered)
    session = owner.until(path, "COMPLETED", "FAILED")
    assert session["phase"] == "COMPLETED", words(session)
    logs = owner("GET", f"{path}/logs").json()
    assert (logs["exit_code"], logs["stdout"]) == (0, "a=b\n")
    [results] = [each for each in session["connectors"] if "storage" in each["kind"]]
    listed = owner("GET", httpx.URL(results["location"]).path).json()
    assert "sum" in str(listed)
    assert {(pod.cores, pod.memory_gib) for pod in site.simulator.pods.values()} <= {(3, 6)}

    # the time of the other is ended by the broker
    session = owner.until(ran_out, "COMPLETED", "FAILED")
    assert "The offered time was over, and the container was stopped" in words(session)
    assert owner("GET", f"{ran_out}/logs").json()["stdout"] == "begun\n"
    assert all(pod.deleted for pod in site.simulator.pods.values())

    # and what can't run is a NO with all the reasons
    wrong = document("true", "/out")
    wrong["executable"]["image"]["locations"] = ["ghcr.io/x/y:1"]
    wrong["compute"]["cores"] = {"min": 17}
    answer = owner("POST", "/requests", wrong).json()
    assert answer["result"] == "NO"
    assert "canfar runs images of images.canfar.net alone" in str(answer)
    assert "canfar has 16 cores for one session, 17 are asked for" in str(answer)


def test_a_broker_that_is_killed_while_it_runs_goes_on_with_the_same_session(
    serve: Callable[[], Broker], site: Site
) -> None:
    broker = serve()
    go = site.directory / "go"
    script = f"echo begun > /out/said; echo begun; until [ -e {go} ]; do sleep 0.05; done; exit 3"
    path = Owner(broker).accept(document("sh", "-c", script))
    Owner(broker).until(path, "RUNNING", "FAILED")
    os.kill(broker.process.pid, signal.SIGKILL)
    broker.process.wait(60)
    go.touch()
    owner = Owner(serve())
    session = owner.until(path, "COMPLETED", "FAILED")
    assert session["phase"] == "FAILED"
    assert "ended with exit code 3" in words(session)
    assert owner("GET", f"{path}/logs").json()["stdout"] == "begun\n"
    assert len(site.posts()) == 1
