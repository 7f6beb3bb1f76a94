"""Through the whole broker, over HTTP: a container that is reached by its connectors, and a notebook."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.served import Served, start
from tests.broker.conftest import KINDS
from tests.broker.conversation import PASSWORD, accept, asking, change, until
from tests.broker.podman_support import an_image, podman
from tests.netprobe.servers import file_server

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
ports = "publish"
stop_seconds = 0.0
notebook_image = "IMAGE"
notebook_command = ["busybox", "httpd", "-f", "-p", "{port}", "-h", "{directory}"]
notebook_path = "/{notebook}"
"""
SECRET = "two\nlines"


@pytest.fixture
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


@pytest.fixture
def serve(tmp_path: Path, image: str) -> Iterator[Callable[[], Served]]:
    """Starts the broker, each time with the same database and the same directories."""
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text(CATALOGUE.replace("IMAGE", image))
    settings = {
        "HOME": str(tmp_path),
        "FAIRLEAD_ADMIN_PASSWORD": PASSWORD,
        "FAIRLEAD_DATABASE_URL": f"sqlite:///{tmp_path}/broker.db",
        "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work"),
    }
    started: list[Served] = []

    def serve() -> Served:
        started.append(start(["--catalogue", str(catalogue)], tmp_path / "log", settings))
        return started[-1]

    try:
        yield serve
    finally:
        for served in started:
            served.stop()
        # whatever the test left running: this broker's containers alone hold this image
        left = podman("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()
        if left:
            podman("rm", "--force", "--ignore", "--time", "0", *left)
        for secret in (tmp_path / "work").glob("*/*/secrets/*"):
            podman("secret", "rm", secret.name)


@pytest.fixture
def served(serve: Callable[[], Served]) -> Served:
    return serve()


@pytest.fixture
def owner(served: Served) -> Iterator[httpx.Client]:
    with asking(served) as client:
        yield client


def ports_of(session: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (connector["location"], connector["status"])
        for connector in session.get("connectors", ())
        if connector["kind"] == "urn:fairlead:connector:port"
    ]


def page(url: str) -> str:
    """What is at `url`, as soon as the container listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, timeout=10).text
        except httpx.TransportError:
            assert time.monotonic() < deadline, url
            time.sleep(0.1)


def web_document(image: str) -> dict[str, Any]:
    script = 'echo "$WORDS" > /out/answer; echo begun; exec busybox httpd -f -p 8000 -h /out'
    port = {"access": True, "internal": {"port": 8000}, "protocol": "HTTP", "path": "/answer"}
    mount = {"kind": f"{KINDS}volume/simple-volume-mount.yaml", "path": "/out", "mode": "READWRITE"}
    return {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": [image]},
            "command": ["sh", "-c", script],
            "environment": {"WORDS": SECRET},
            "network": {"ports": [port]},
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
        "schedule": {"requested": {"duration": "PT1H"}},
    }


def test_a_service_is_reached_and_its_results_are_fetched_after_its_end(
    served: Served, owner: httpx.Client, image: str
) -> None:
    path = accept(owner, web_document(image))
    [(url, status)] = ports_of(until(owner, path, "RUNNING", "FAILED"))
    assert status == "AVAILABLE"
    assert page(url) == f"{SECRET}\n"
    stranger = httpx.get(f"{served.url}{path}", timeout=60).text
    assert url not in stranger
    assert SECRET not in stranger
    change(owner, path, "CANCELLED")
    until(owner, path, "CANCELLED")
    # the phase comes first, and then the container is stopped and removed and its results are put by
    deadline = time.monotonic() + 60
    while (result := owner.get(f"{path}/storage/results/answer")).status_code != 200:
        assert time.monotonic() < deadline, result.text
        time.sleep(0.1)
    assert result.text == f"{SECRET}\n"
    assert ports_of(owner.get(path).json()) == [(url, "FINISHED")]
    assert owner.get(f"{path}/logs").json()["stdout"] == "begun\n"
    assert httpx.get(f"{served.url}{path}/storage/results/answer", timeout=60).status_code in (401, 403)
    assert SECRET not in served.log.read_text()


def test_a_broker_that_was_killed_finds_the_container_at_the_same_address(
    serve: Callable[[], Served], image: str
) -> None:
    served = serve()
    with asking(served) as owner:
        path = accept(owner, web_document(image))
        before = ports_of(until(owner, path, "RUNNING", "FAILED"))
        [(url, _)] = before
        assert page(url) == f"{SECRET}\n"
    containers = podman("ps", "--all", "--quiet", "--filter", f"ancestor={image}")
    served.process.kill()
    served.process.wait()
    assert page(url) == f"{SECRET}\n"
    with asking(serve()) as owner:
        assert ports_of(until(owner, path, "RUNNING")) == before
        assert podman("ps", "--all", "--quiet", "--filter", f"ancestor={image}") == containers
        change(owner, path, "CANCELLED")
        until(owner, path, "CANCELLED")


def test_a_notebook_is_shown_at_its_connector(served: Served, owner: httpx.Client) -> None:
    with file_server(b'{"cells": []}') as server:
        kind = f"{KINDS}executable/jupyter-notebook.yaml"
        document = {
            "executable": {"kind": kind, "location": server.url("/good")},
            "schedule": {"requested": {"duration": "PT1H"}},
        }
        path = accept(owner, document)
        [(url, _)] = ports_of(until(owner, path, "RUNNING", "FAILED"))
        assert page(url) == '{"cells": []}'
        _, _, token = url.partition("?token=")
        assert token
        assert token not in httpx.get(f"{served.url}{path}", timeout=60).text
        assert token not in served.log.read_text()
        change(owner, path, "CANCELLED")
