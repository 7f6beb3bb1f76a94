"""The simulated platform: seconds on the clock, nothing on disk, all forgotten at a restart."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable
from broker.platforms import Platform, State
from federation.clock import ManualClock
from tests.contracts.platform_support import make_item, make_job, make_move, make_platform

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
        staging = platform(tmp_path, clock).stage("job", item, make_move(item, forecast), lambda size: None)
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
        await here.stage(job.id, item, make_move(item), lambda size: None)
        await here.make_storage(job.id, "results")
        await here.prepare(job)
        await here.start(job)
        await here.release(job.id)

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("locations", [("ghcr.io/a/b:1",), ("localhost/nowhere:1",), ("what ever",), ()])
def test_any_image_is_accepted(tmp_path: Path, locations: tuple[str, ...]) -> None:
    executable = Executable("x", locations, digest="sha256:" + "ab" * 32, privileged=True)
    assert not platform(tmp_path, ManualClock(START)).check(executable)
