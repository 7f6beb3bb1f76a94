"""Ports and notebooks of containers in Slurm jobs: what all platforms owe, and what a queue makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from broker.model import Connector, Executable, ExecutableKind, Port
from broker.platforms import Platform, slurm_ports
from broker.platforms.slurm_options import DEFAULTS, slurm_options
from broker.platforms.slurm_ports import read_ports
from federation.errors import InputError
from federation.sites import Place, Site
from federation.sites import Platform as SitePlatform
from tests.contracts.platform_cases import PODMAN, Case
from tests.contracts.platform_support import CONTENT, make_job, until_exited
from tests.contracts.test_platforms_running import (
    test_a_notebook_gets_its_url,  # noqa: F401 - run here for `case`
    test_ports_get_connectors_that_stay_the_same,  # noqa: F401
    test_without_ports_there_are_no_connectors,  # noqa: F401
)
from tests.netprobe.servers import FileServer, file_server
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import live, platform_options

# the cluster's nodes are all this machine
PUBLISHED = {"ports": "publish", "publish_address": "127.0.0.1", "node_address": "127.0.0.1"}
SERVES = ("busybox", "httpd", "-f", "-p", "8000", "-h", "/etc")


class PublishingCase(Case):
    publishes = shows_notebooks = True


@pytest.fixture
def case(slurm: Cluster, image: str, tmp_path: Path) -> Iterator[Case]:
    of_notebooks = {name: PODMAN[name] for name in ("notebook_command", "notebook_path")}
    options = platform_options(slurm, **PUBLISHED, **of_notebooks, notebook_image=image)
    case = PublishingCase("slurm", image, tmp_path / "work", options)
    try:
        yield case
    finally:

        async def release_all() -> None:
            await asyncio.gather(*(case.platform().release(job.id) for job in case.used))

        asyncio.run(release_all())


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


pytestmark = pytest.mark.podman


def test_what_listens_in_a_job_is_reached_and_what_waited_for_its_turn_says_where(
    slurm: Cluster, tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_ports, "QUEUE_SECONDS", 0.2)
    blocking = slurm.fill()
    job = make_job(image, *SERVES, ports=(Port(8000, "HTTP", "/hostname", access=True),))

    async def work(platform: Platform) -> tuple[Connector, ...]:
        assert await platform.start(job) == ()
        waits = await platform.poll(job)
        assert (waits.connectors, waits.waiting is not None) == ((), True)
        slurm.run("scancel", blocking)
        deadline = time.monotonic() + 90
        while not (found := (await platform.poll(job)).connectors):
            assert time.monotonic() < deadline, "there are no connectors"
            await asyncio.sleep(0.05)
        assert await platform.start(job) == found
        while True:
            try:
                with await asyncio.to_thread(urlopen, found[0].location, timeout=60) as answer:
                    assert answer.status == 200
                break
            except OSError:  # nobody listens in it yet
                assert time.monotonic() < deadline, found
                await asyncio.sleep(0.05)
        await platform.stop(job)
        assert (await until_exited(platform, job)).connectors == ()
        return found

    [found] = live(slurm, tmp_path, job, work, **PUBLISHED)
    assert (found.internal_port, found.addresses, found.access) == (8000, ("127.0.0.1",), True)


def told(directory: Path, text: str, ports: tuple[Port, ...] = (Port(80),), **options: Any) -> Any:
    (directory / slurm_ports.PORTS_NAME).write_text(text)
    return read_ports(make_job("x:1", ports=ports), directory, {**DEFAULTS, **options})


def test_a_node_s_address_is_made_of_its_name(tmp_path: Path) -> None:
    said = f"n17\n{json.dumps({'80/tcp': [{'HostIp': '0.0.0.0', 'HostPort': '40001'}]})}\n"
    [found] = told(tmp_path, said, node_address="{node}.perth.example")
    assert (found.addresses, found.port) == (("n17.perth.example",), 40001)
    assert found.location == "tcp://n17.perth.example:40001"
    assert told(tmp_path, said, ports=()) is None


@pytest.mark.parametrize(
    "text", ["n17", "n17\nnothing\n", "n17\n[]\n", "n17\n{}\n", 'n17/x\n{"80/tcp": [{"HostPort": "1"}]}\n']
)
def test_what_no_script_of_ours_has_written_is_a_value_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        told(tmp_path, text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ports": "open"}, "option 'ports': expected 'publish' or 'refuse'"),
        ({"publish_address": "eth0"}, "option 'publish_address': expected an IP address"),
        ({"node_address": "{host}.x"}, "option 'node_address': expected how a node is reached"),
        ({"ports": "publish", "runtime": "apptainer"}, "option 'runtime': expected 'podman'"),
        ({"ports": "publish", "network": "host"}, "option 'network': expected 'none'"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], said: str) -> None:
    platform = SitePlatform("slurm", cores=4, memory_gib=8, storage_gib=10, options=options)
    with pytest.raises(InputError) as caught:
        slurm_options(Site("perth", "Perth", Place(0, 0), platform=platform))
    assert f"site 'perth': {said}" in str(caught.value)


def test_a_notebook_needs_what_its_operator_would_set(slurm: Cluster, tmp_path: Path) -> None:
    notebook = Executable("nb", ("https://perth.example/a.ipynb",), kind=ExecutableKind.NOTEBOOK)
    case = Case("slurm", "x:1", tmp_path, platform_options(slurm))
    [note] = case.platform().check(notebook)
    assert "would set the platform's option ports to 'publish'" in note.text
    case.options |= PUBLISHED
    [note] = case.platform().check(notebook)
    assert "option notebook_image" in note.text
    case.options["notebook_image"] = "registry.example.org/jupyter:1"
    assert not case.platform().check(notebook)
    assert not case.platform().check(
        replace(notebook, kind=ExecutableKind.DOCKER, locations=("x:1",), ports=(Port(80),))
    )
