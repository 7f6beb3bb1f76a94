"""The simulated platform: seconds on the clock, nothing on disk, all forgotten at a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, ExecutableKind, Job, Port
from broker.platforms import Platform, PlatformError, State
from broker.platforms.simulated import STEPS
from federation.clock import ManualClock
from federation.errors import InputError
from tests.contracts.platform_support import make_item, make_job, make_move, make_platform, stage_one

START = datetime(2026, 1, 1, tzinfo=UTC)


async def turned_until(clock: ManualClock, task: asyncio.Task[Any], step: float) -> float:
    """Turn the clock until `task` has ended; how many seconds that took."""
    for _ in range(1000):
        for _ in range(3):
            await asyncio.sleep(0)
        if task.done():
            return (clock.now() - START).total_seconds()
        clock.advance(step)
    raise AssertionError("it never ends")


def platform(root: Path, clock: ManualClock, **options: Any) -> Platform:
    return make_platform("simulated", root, options, clock)


@pytest.mark.parametrize(("forecast", "taken"), [(1.0, 1.0), (2.0, 2.0), (3600.0, 2.0)])
def test_a_transfer_takes_what_was_forecast_but_no_longer_than_the_cap(
    tmp_path: Path, forecast: float, taken: float
) -> None:
    async def live() -> float:
        clock = ManualClock(START)
        item = make_item("http://nowhere.example/a", size_bytes=10**12)
        staging = stage_one(platform(tmp_path, clock), "job", item, make_move(item, forecast))
        return await turned_until(clock, asyncio.create_task(staging), 0.125)

    assert asyncio.run(live()) == pytest.approx(taken)


def test_a_job_runs_for_its_seconds_and_exits_as_told(tmp_path: Path) -> None:
    async def live() -> None:
        clock = ManualClock(START)
        here, job = platform(tmp_path, clock, run_seconds=5, exit_code=3), make_job("any/image:1")
        await here.start(job)
        clock.advance(4.9)
        assert (await here.poll(job)).state is State.RUNNING
        clock.advance(0.1)
        status = await here.poll(job)
        assert (status.state, status.exit_code) == (State.EXITED, 3)
        assert "any/image:1" in status.stdout

    asyncio.run(live())


def test_after_a_restart_the_job_is_absent_and_can_be_started(tmp_path: Path) -> None:
    async def live() -> None:
        clock, job = ManualClock(START), make_job("any/image:1")
        await platform(tmp_path, clock).start(job)
        again = platform(tmp_path, clock)
        assert (await again.poll(job)).state is State.ABSENT
        await again.start(job)
        assert (await again.poll(job)).state is State.RUNNING

    asyncio.run(live())


def test_nothing_is_written(tmp_path: Path) -> None:
    async def live() -> None:
        clock = ManualClock(START)
        here, job = platform(tmp_path, clock, stage_seconds=0.0, image_seconds=0.0), make_job("any/image:1")
        item = make_item("http://nowhere.example/a")
        await stage_one(here, job.id, item, make_move(item))
        await here.make_storage(job.id, "results")
        await here.prepare(job)
        await here.start(job)
        await here.release(job.id)

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


async def through(platform: Platform, clock: ManualClock, job: Job, reached: list[str]) -> None:
    """A whole session; the names of the steps that were done."""
    item = make_item("http://nowhere.example/a")
    await platform.make_storage(job.id, "results")
    reached.append("storage")
    await stage_one(platform, job.id, item, make_move(item))
    reached.append("data")
    await platform.prepare(job)
    reached.append("image")
    await platform.start(job)
    reached.append("start")
    assert (await platform.poll(job)).state is State.RUNNING
    clock.advance(3600)
    assert (await platform.poll(job)).state is State.EXITED
    reached.append("run")
    await platform.release(job.id)
    reached.append("release")


@pytest.mark.parametrize("step", [*STEPS, None])
def test_a_step_fails_where_it_is_told_to_and_no_sooner(tmp_path: Path, step: str | None) -> None:
    clock, job, reached = ManualClock(START), make_job("any/image:1"), list[str]()
    options = {"stage_seconds": 0.0, "image_seconds": 0.0} | ({} if step is None else {"fail_at": step})
    session = through(platform(tmp_path, clock, **options), clock, job, reached)
    if step is None:
        asyncio.run(session)
        assert reached == list(STEPS)
        return
    with pytest.raises(PlatformError, match=r"^site here: .*\(simulated\)$"):
        asyncio.run(session)
    assert reached == list(STEPS[: STEPS.index(step)])


def test_an_unknown_step_is_refused_at_start_up(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'fail_at': expected one of storage, .*, got 'lunch'"):
        platform(tmp_path, ManualClock(START), fail_at="lunch")


def test_a_job_prints_what_it_is_told_to(tmp_path: Path) -> None:
    async def live() -> None:
        clock, job = ManualClock(START), make_job("any/image:1")
        here = platform(tmp_path, clock, stdout="42\n", stderr="oh\n")
        await here.start(job)
        clock.advance(60)
        status = await here.poll(job)
        first, second = status.stdout.splitlines()
        assert first.startswith("simulated: any/image:1 on 1 core and ")
        assert (second, status.stderr) == ("42", "oh\n")

    asyncio.run(live())


def test_nobody_can_take_a_connector_for_a_real_one(tmp_path: Path) -> None:
    async def live() -> None:
        job = make_job("any/image:1", ports=(Port(8080, "HTTP", "/lab", access=True), Port(53, "UDP")))
        web, name = await platform(tmp_path, ManualClock(START)).start(job)
        assert web.location == f"http://simulated.invalid:{web.port}/lab"
        assert name.location == f"udp://simulated.invalid:{name.port}"
        assert web.port != name.port
        assert all(32768 <= one.port <= 60999 for one in (web, name))

    asyncio.run(live())


@pytest.mark.parametrize("kind", ExecutableKind)
def test_every_kind_runs(tmp_path: Path, kind: ExecutableKind) -> None:
    async def live() -> None:
        clock = ManualClock(START)
        here, draft = platform(tmp_path, clock, image_seconds=0.0), make_job("unused")
        executable = Executable("x", ("https://example.org/some/thing.ipynb",), kind=kind)
        job = replace(draft, executable=executable)
        assert not here.check(executable)
        await here.prepare(job)
        urls = [connector.location for connector in await here.start(job)]
        if kind is ExecutableKind.NOTEBOOK:
            assert urls[0].endswith("/lab/tree/thing.ipynb?token=simulated")
        else:
            assert urls == []
        clock.advance(60)
        assert (await here.poll(job)).exit_code == 0

    asyncio.run(live())


@pytest.mark.parametrize("locations", [("ghcr.io/a/b:1",), ("localhost/nowhere:1",), ("what ever",), ()])
def test_any_image_is_accepted(tmp_path: Path, locations: tuple[str, ...]) -> None:
    executable = Executable("x", locations, digest="sha256:" + "ab" * 32, privileged=True)
    assert not platform(tmp_path, ManualClock(START)).check(executable)
