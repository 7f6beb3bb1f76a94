"""Sessions whose results come back: when they have ended, and what becomes of those that are stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, Job
from broker.platforms import (
    Platform,
    State,
    Unreachable,
    load_platform,
    openstack_lines,
    openstack_results,
    openstack_store,
)
from broker.platforms.openstack_records import Records
from broker.platforms.openstack_sending import send
from federation.clock import SystemClock
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from netprobe import mover_file
from tests.cloud.bucket import ResultBucket, a_storage
from tests.cloud.stand_in import StandIn
from tests.cloud.store_front import Front, front
from tests.contracts.platform_support import until_exited

PATIENCE_SECONDS = 60.0
STORAGE_GIB = 1


class World:
    """A stand-in of a cloud, and the bucket behind a front; `platform()` is a broker's after a restart."""

    def __init__(self, nova: StandIn, endpoint: str, bucket: ResultBucket, root: Path) -> None:
        self.nova, self.root = nova, root
        self.store = bucket.store(endpoint)
        where = {**bucket.options, "endpoint": endpoint}
        fixed = {"image": "tiny", "poll_seconds": 0.0, "storage": "keep", "results": where}
        described = SitePlatform("openstack", 4, 8, 10, options=fixed)
        self.site = Site("here", "Here", Place(0, 0), platform=described)
        self.job = Job("6f1c7a52", "here", Executable("x", ("a.org/b:1",)), 1, 1, timedelta(hours=1))
        self.job = replace(self.job, storage_gib=STORAGE_GIB)

    def platform(self) -> Platform:
        return load_platform(self.site, Federation("test", {"here": self.site}), SystemClock(), self.root)

    async def started(self) -> Platform:
        platform = self.platform()
        await platform.make_storage(self.job.id, "out")
        await platform.start(self.job)
        return platform

    def ends(self, written: Path | None, **more: Any) -> None:
        """What the server does and says at its end."""
        record = Records("here", self.root).find(self.job.id)
        assert record is not None
        report: dict[str, Any] = {"step": "end", "exit_code": 0, "stdout": "over\n", **more}
        if written is not None:
            name = openstack_store.folder(self.job.id, record.word)
            told = self.store.plan(name, {"out": str(written)}, STORAGE_GIB * 2**30)
            report["results"] = send({**told, "part_bytes": 2**30}, lambda done, size: None)
        lines = openstack_lines.written(record.word, 1, report)
        self.nova.consoles[str(record.server_id)] = "\n".join(lines)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return a_storage(tmp_path / "out")


@pytest.fixture
def world(
    result_bucket: ResultBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, Front]]:
    monkeypatch.setattr(openstack_results, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(mover_file, "FIRST_PAUSE_SECONDS", 0.01)
    nova = StandIn(SystemClock(), flavours=[{"id": "f", "name": "f", "vcpus": 4, "ram": 8192, "disk": 40}])
    monkeypatch.setattr("broker.platforms.openstack.Cloud", lambda *_: nova)
    with front(result_bucket.endpoint) as server:
        yield World(nova, server.url, result_bucket, tmp_path / "work"), server
    assert result_bucket.names() == []


def test_a_session_has_ended_when_its_results_are_here(world: tuple[World, Front], written: Path) -> None:
    made, server = world
    go_on = threading.Event()

    def stall(method: str, path: str) -> None:
        if method == "GET":
            go_on.wait(PATIENCE_SECONDS)

    async def live() -> None:
        platform = await made.started()
        server.before = stall
        made.ends(written)
        status = await platform.poll(made.job)
        assert (status.state, status.exit_code, status.stdout) == (State.RUNNING, None, "over\n")
        assert not await platform.list_files(made.job.id, "out")
        go_on.set()
        # by another broker, too
        again = made.platform()
        status = await until_exited(again, made.job)
        assert (status.exit_code, status.problem) == (0, None)
        files = await again.list_files(made.job.id, "out")
        assert [each.path for each in files] == ["a/b/ü 1.txt", "a/empty", "cube.fits"]
        await again.release(made.job.id, ["out"])
        assert await made.platform().list_files(made.job.id, "out") == files
        await platform.release(made.job.id)
        assert not list(made.root.iterdir())

    asyncio.run(live())


def test_what_was_sent_by_a_session_that_was_stopped_comes_with_its_release(
    world: tuple[World, Front], written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, server = world
    monkeypatch.setattr("broker.platforms.openstack.BRING_SECONDS", 0.05)

    async def live() -> None:
        platform = await made.started()
        server.before = lambda method, path: (503, b"") if method == "GET" else None
        made.ends(written)
        assert (await platform.poll(made.job)).state is State.RUNNING
        await platform.stop(made.job)
        assert (await platform.poll(made.job)).state is State.EXITED
        again = made.platform()
        with pytest.raises(Unreachable, match=r"^site here: what the session wrote is still being fetched$"):
            await again.release(made.job.id, ["out"])
        server.before = lambda method, path: None
        monkeypatch.setattr("broker.platforms.openstack.BRING_SECONDS", PATIENCE_SECONDS)
        await again.release(made.job.id, ["out"])
        assert len(await again.list_files(made.job.id, "out")) == 3
        await again.release(made.job.id)
        await platform.release(made.job.id)

    asyncio.run(live())


@pytest.mark.parametrize(
    "lie", [None, {"size_bytes": 10, "sha256": "ab" * 32}, {"size_bytes": 2**40, "sha256": "ab" * 32}]
)
def test_results_that_are_not_there_fail_the_session_with_a_reason(
    world: tuple[World, Front], lie: dict[str, Any] | None
) -> None:
    made, _ = world

    async def live() -> None:
        platform = await made.started()
        made.ends(None, results=lie)
        status = await until_exited(platform, made.job)
        assert status.exit_code == 0
        assert status.problem is not None
        expected = "404" if lie and lie["size_bytes"] == 10 else "its server doesn't say what became of it"
        assert expected in status.problem
        assert status.problem.startswith("what it wrote can't be had: ")
        assert "Signature" not in status.problem
        assert await made.platform().poll(made.job) == status
        await platform.release(made.job.id, ["out"])
        assert await platform.list_files(made.job.id, "out") == ()

    asyncio.run(live())
