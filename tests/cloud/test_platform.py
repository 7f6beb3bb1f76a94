"""Sessions on servers of a real cloud: Keystone, Nova, Placement and Blazar as they are.

Its hypervisor is Nova's fake one, so a server that is ACTIVE runs nothing: what it was handed is run here, as
a process of this machine with a console of its own, and Nova shows that console.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, Job, MountMode
from broker.platforms import Platform, PlatformError, State, Status, Unreachable, load_platform
from broker.platforms.engine_conf import engine_flags
from broker.platforms.openstack import OpenStackPlatform
from broker.platforms.openstack_nova import Nova
from broker.platforms.podman_cli import usable
from federation.clock import SystemClock
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from reservations.leases import Lease, LeaseState
from reservations.openstack.connection import Cloud as Asked
from tests.broker.podman_support import an_image
from tests.cloud import leases
from tests.cloud.cloud import Cloud
from tests.cloud.guest import booted, place_of
from tests.contracts.platform_support import CONTENT, make_item, make_move
from tests.netprobe.servers import FileServer, file_server

pytestmark = pytest.mark.cloud
PATIENCE_SECONDS = 180.0
# all of this cloud shares a machine that does much else
ANSWER_SECONDS = 120.0


def options(**more: Any) -> dict[str, Any]:
    """What the tests' servers are made of, and what podman needs on this machine, which is all of them."""
    flags = engine_flags()
    engine = {"engine": ["podman", *flags.everywhere], "engine_run": list(flags.run)}
    limits = "required" if usable() is None else "none"
    server = {"cloud": "member", "image": "11111111-2222-3333-4444-555555555555", "network": "none"}
    times = {"poll_seconds": 0.2, "request_seconds": ANSWER_SECONDS}
    python = os.path.realpath(sys.executable)
    return {**server, **engine, **times, "python": python, "limits": limits, **more}


@pytest.fixture(autouse=True)
def _clouds(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


@pytest.fixture
def data() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def make(root: Path, **more: Any) -> OpenStackPlatform:
    description = SitePlatform(
        "openstack", cores=64, memory_gib=384, storage_gib=1000, options=options(**more)
    )
    site = Site("here", "Here", Place(0, 0), data_hosts=("127.0.0.1:*",), platform=description)
    platform = load_platform(site, Federation("test", {"here": site}), SystemClock(), root / "work")
    assert isinstance(platform, OpenStackPlatform)
    return platform


def reserved(cloud: Cloud) -> Lease:
    """A lease that is active, of one small instance."""
    member = cloud.connect("member")
    found = leases.create(member, leases.instances(1, 1, 2048))
    [one] = leases.wait_until(member, found, "ACTIVE")["reservations"]
    now = datetime.now(UTC)
    return Lease(
        found["id"],
        None,
        "lease",
        "virtual:instance",
        now,
        now + timedelta(hours=2),
        LeaseState.ACTIVE,
        None,
        flavour=one["flavor_id"],
        reservation=one["id"],
    )


def job_of(image: str, *command: str, **more: Any) -> Job:
    executable = Executable("test", (image,), command=command)
    return replace(Job(str(uuid.uuid4()), "here", executable, 1, 1, timedelta(minutes=5)), **more)


def servers_of(cloud: Cloud) -> list[Any]:
    # Nova lists one for a moment after it is DELETED
    return [server for server in cloud.connect("member").compute.servers() if server.status != "DELETED"]


async def until(platform: Platform, job: Job, so: Callable[[Status], bool]) -> Status:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not so(status := await platform.poll(job)):
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.1)
    return status


def boots(status: Status) -> bool:
    return status.waiting is not None and status.waiting.reason == "its server is booting"


def exited(status: Status) -> bool:
    return status.state is State.EXITED


@pytest.mark.podman
def test_a_session_runs_on_the_server_that_is_reserved_for_it(
    cloud: Cloud, image: str, data: FileServer, tmp_path: Path
) -> None:
    more = {"local_images": [image], "storage": "scratch", "server_disk_gib": 1}

    async def live() -> None:
        platform = make(tmp_path, **more)
        assert not platform.check(Executable("test", (image,)))
        job = job_of(image, "sh", "-c", "wc -c < /in && cat /in > /out/copy && exit 5", lease=reserved(cloud))
        item = make_item(data.url("/good?signature=hidden"))
        staged = await platform.stage(job.id, [(item, make_move(item))], lambda size: None)
        out = await platform.make_storage(job.id, "out")
        binds = (
            (str(staged.paths[item.uuid]), "/in", MountMode.READONLY),
            (str(out), "/out", MountMode.READWRITE),
        )
        job = replace(job, binds=binds)
        await platform.prepare(job)
        assert (await platform.poll(job)).state is State.ABSENT
        assert not servers_of(cloud)
        await platform.start(job)
        # started again, by another broker too, there is one
        await platform.start(job)
        await make(tmp_path, **more).start(job)
        [server] = servers_of(cloud)
        assert server.metadata["fairlead_session"] == job.id
        listed = Nova("here", Asked("member", "site here", ANSWER_SECONDS)).tagged()
        assert {each.id: each.word for each in listed.values()} == {
            server.id: server.metadata["fairlead_word"]
        }
        status = await until(platform, job, boots)
        assert status.state is State.RUNNING
        place = place_of(cloud, server.id)
        with booted((place / "user-data").read_text(), place / "console", job.id, tmp_path):
            status = await until(platform, job, exited)
        assert (status.exit_code, status.stdout, status.problem) == (5, f"{len(CONTENT)}\n", None), status
        assert "hidden" not in (place / "console").read_text()
        await platform.release(job.id)
        assert not servers_of(cloud)
        assert not list((tmp_path / "work").iterdir())
        assert (await platform.poll(job)).state is State.ABSENT

    asyncio.run(live())


@pytest.mark.podman
def test_a_session_that_is_stopped_ends_its_container_and_its_server(
    cloud: Cloud, image: str, tmp_path: Path
) -> None:
    async def live() -> None:
        platform = make(tmp_path, stop_seconds=5.0)
        job = job_of(image, "sh", "-c", "echo begun; sleep 600", lease=reserved(cloud))
        await platform.start(job)
        await until(platform, job, boots)
        [server] = servers_of(cloud)
        place = place_of(cloud, server.id)
        with booted((place / "user-data").read_text(), place / "console", job.id, tmp_path):
            await until(platform, job, lambda status: status.waiting is None)
            await platform.stop(job)
        status = await platform.poll(job)
        # the fake hypervisor halts no process: what a real one's server would say is in test_platform_agent
        assert (status.state, status.exit_code, status.problem) == (State.EXITED, 143, None)
        await platform.release(job.id)
        assert not servers_of(cloud)

    asyncio.run(live())


def test_what_the_cloud_refuses_is_told_in_words(cloud: Cloud, tmp_path: Path) -> None:
    async def live() -> None:
        platform, admin = make(tmp_path, server_disk_gib=1), cloud.connect()
        # all hosts are Blazar's: none takes a server without a reservation
        job = job_of("example.org/a/b:1")
        await platform.prepare(job)
        await platform.start(job)
        status = await until(platform, job, exited)
        assert status.problem == (
            "its server can't be had: there were hosts with enough left, but none of them takes servers "
            "like this one"
        )
        await platform.release(job.id)
        assert not servers_of(cloud)
        large = replace(job_of("example.org/a/b:1"), cores=32)
        with pytest.raises(
            PlatformError, match="the cloud has no flavour with 32 cores, 1 GiB of memory and 1 GiB of"
        ):
            await platform.prepare(large)
        admin.compute.put(f"/os-quota-sets/{cloud.projects['astro']}", json={"quota_set": {"cores": 0}})
        job = job_of("example.org/a/b:1")
        with pytest.raises(
            PlatformError, match="site here: your project's quota of cores stands in the way: 1 more"
        ):
            await platform.start(job)
        assert (await platform.poll(job)).state is State.ABSENT
        await platform.release(job.id)

    asyncio.run(live())


def test_a_server_of_a_plain_flavour_where_hosts_are_free(cloud: Cloud, tmp_path: Path) -> None:
    admin = cloud.connect()
    cloud.keep_from_blazar("cpu1")

    async def live() -> None:
        platform = make(tmp_path, server_disk_gib=1)
        job = replace(job_of("example.org/a/b:1"), cores=2)
        await platform.prepare(job)
        await platform.start(job)
        await until(platform, job, boots)
        [server] = servers_of(cloud)
        assert server.flavor["original_name"] == "large"
        admin.compute.delete_server(server, force=True)
        await until(platform, job, lambda status: status.state is State.ABSENT)
        await platform.release(job.id)

    asyncio.run(live())


def test_a_cloud_that_is_down_says_nothing_of_a_session(cloud: Cloud, tmp_path: Path) -> None:
    async def live() -> None:
        platform = make(tmp_path)
        job = job_of("example.org/a/b:1", lease=reserved(cloud))
        await platform.start(job)
        await until(platform, job, boots)
        cloud.stop("nova-api")
        away = "site here: Nova of cloud 'member' can't be reached"
        # what was seen last counts for poll_seconds
        with pytest.raises(Unreachable, match=away):
            await until(platform, job, lambda status: False)
        for ask in (platform.poll, platform.stop, platform.start):
            with pytest.raises(Unreachable, match=away):
                await ask(job)
        with pytest.raises(Unreachable):
            await platform.release(job.id)
        cloud.start("nova-api")
        assert (await platform.poll(job)).state is State.RUNNING
        await platform.release(job.id)
        assert not servers_of(cloud)

    asyncio.run(live())


def test_credentials_that_are_wrong_are_one_line_without_them(cloud: Cloud, tmp_path: Path) -> None:
    text = cloud.clouds_yaml.read_text().replace("password: secret", "password: swordfish")
    wrong = tmp_path / "clouds.yaml"
    wrong.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(wrong))
        with pytest.raises(PlatformError) as refused:
            make(tmp_path).learn()
    said = str(refused.value)
    assert said.startswith("site here: cloud 'member': Keystone refuses these credentials: expected")
    assert "swordfish" not in said
    assert "\n" not in said
