"""A plan as a service, on a clock that is turned: when tests run, and what a restart or a fault leaves."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from federation.clock import ManualClock
from federation.errors import OutsideError
from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.budget import Budget
from netprobe.calendar import read_calendar
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.plan import Block, Plan
from netprobe.tools import Test
from netprobe.watch import Status, next_due, period, watch
from tests.waiting import ThreadsAtWork

START = datetime(2026, 11, 26, 0, 30, tzinfo=UTC)
HOUR = 3600.0
SITES = Federation(
    "test", {one: Site(one, one, Place(0, 0), iperf3_address="192.0.2.1") for one in ("a", "b", "c")}
)


@dataclass
class Instant:
    """A tool whose tests take no time; at 80 Mbit/s, 10 s are 100 MB."""

    clock: ManualClock
    name: str = "instant"
    exclusive: bool = True
    broken: set[tuple[str, str]] = field(default_factory=set)
    ran: list[tuple[str, str, datetime]] = field(default_factory=list)

    def check(self, parameters: object) -> None:
        pass

    async def run(self, test: Test) -> Measurement:
        ends, now = (test.source.site, test.destination.site), self.clock.now()
        self.ran.append((*ends, now))
        if ends in self.broken:
            raise RuntimeError("it broke")
        figures, told = {"bits_per_second": 80e6}, dict(test.parameters)
        return Measurement(Kind.THROUGHPUT, *ends, now, 0, self.name, Origin.SCRIPTED, figures, told)

    def hours(self) -> list[float]:
        return sorted({(at - START) / timedelta(hours=1) for _, _, at in self.ran})


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Instant:
    found = Instant(ManualClock(START))
    monkeypatch.setattr("netprobe.plan.load_tool", lambda name: found)
    return found


def block(**more: Any) -> Block:
    one = Block("mesh", "plan", "instant", 1, 5.0, {"duration": 10}, ("a", "b"), every_seconds=HOUR)
    return replace(one, **more)


async def turned(clock: ManualClock, seconds: float, step: float = 300.0) -> None:
    for _ in range(round(seconds / step)):
        await settled()
        clock.advance(step)
    await settled()


async def settled() -> None:
    """Let everything run that doesn't wait for the clock; calls of the database are in threads."""
    await ThreadsAtWork.of(asyncio.get_running_loop()).all_done()


def watched(
    plan: Plan,
    archive: Any,
    clock: ManualClock,
    during: Callable[[], Awaitable[None]],
    told: list[Status] | None = None,
) -> None:
    async def main() -> None:
        def on_status(result: Measurement | None, status: Status) -> None:
            if told is not None:
                told.append(status)

        watching = asyncio.create_task(watch(plan, SITES, archive, clock, on_status))
        await during()
        assert not watching.done(), watching
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(main())


@pytest.fixture
def archive(engine: Engine) -> Archive:
    return Archive(engine)


def test_each_period_once_and_a_restart_in_the_middle_repeats_nothing(
    tool: Instant, archive: Archive
) -> None:
    plan = Plan("p", (block(), block(every_seconds=2 * HOUR, repeat=2, parameters={"duration": 1})))
    for _ in range(4):
        # watchers of an hour each: half an hour into a period, they take up where the last one was ended
        watched(plan, archive, tool.clock, lambda: turned(tool.clock, HOUR))
    kept = archive.recent(Kind.THROUGHPUT, limit=1000)
    # 0:30 to 4:30: five hours are begun, and three times two hours; 2 paths
    assert Counter(one.parameters["duration"] for one in kept) == {10: 5 * 2, 1: 3 * 2 * 2}
    assert len(tool.ran) == len(kept)
    assert tool.hours() == [0, 0.5, 1.5, 2.5, 3.5]


def test_jitter_is_less_than_the_period_and_differs() -> None:
    one = block(jitter_seconds=600.0)
    found = [period(one, START + timedelta(hours=hour)) for hour in range(24)]
    late = [(each.begins - each.ends).total_seconds() + HOUR for each in found]
    assert all(0 <= seconds <= 600 for seconds in late)
    assert len(set(late)) == 24
    assert late == [
        (each.begins - each.ends).total_seconds() + HOUR
        for each in (period(one, START + timedelta(hours=hour, minutes=29)) for hour in range(24))
    ]


def test_only_while_the_calendar_is_open(tool: Instant, archive: Archive) -> None:
    nights = read_calendar({"hours": ["02:00-04:00"]}, "plan")
    plan = Plan("p", (block(calendars=(nights,)),))
    watched(plan, archive, tool.clock, lambda: turned(tool.clock, 5 * HOUR))
    assert tool.hours() == [1.5, 2.5]


def test_a_failing_pair_stops_nobody(tool: Instant, archive: Archive) -> None:
    tool.broken = {("a", "b")}
    told: list[Status] = []
    watched(Plan("p", (block(),)), archive, tool.clock, lambda: turned(tool.clock, HOUR), told)
    assert (told[-1].succeeded, told[-1].failed, told[-1].running) == (2, 2, 0)
    errors = [one.error for one in archive.recent(Kind.THROUGHPUT)]
    assert sum("it broke" in str(error) for error in errors) == 2


def test_the_budget_leaves_out_what_has_no_room_and_room_comes_back(tool: Instant, archive: Archive) -> None:
    # a test is 100 MB, and there is room for five in 24 hours on each path
    plan = Plan("p", (block(),), budgets=(Budget("path", 5e8, assumed_rate=80e6),))
    told: list[Status] = []
    watched(plan, archive, tool.clock, lambda: turned(tool.clock, 23 * HOUR, 1800), told)
    assert len(tool.ran) == 5 * 2
    assert told[-1].over_budget == 2
    watched(plan, archive, tool.clock, lambda: turned(tool.clock, 3 * HOUR, 1800), told)
    # those of 0:30 and 1:00 are more than a day old
    assert len(tool.ran) == 7 * 2


class Away:
    """An archive that can't be reached for a while."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self.away = archive, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    def add(self, measurements: Iterable[Measurement]) -> int:
        if self.away:
            raise OSError(28, "No space left on device")
        return self._archive.add(measurements)


def test_results_wait_for_an_archive_that_is_away(tool: Instant, archive: Archive) -> None:
    flaky, told = Away(archive), list[Status]()

    async def during() -> None:
        flaky.away = True
        await turned(tool.clock, 2 * HOUR)
        # nothing more is measured than can be kept
        assert len(tool.ran) == 1
        assert told[-1].unstored == 1
        assert "No space left" in str(told[-1].problem)
        flaky.away = False
        await turned(tool.clock, 0.25 * HOUR)

    watched(Plan("p", (block(),)), flaky, tool.clock, during, told)
    assert len(archive.recent(Kind.THROUGHPUT)) == len(tool.ran) == 3
    assert (told[-1].unstored, told[-1].problem) == (0, None)


calendars = st.sampled_from(
    [
        read_calendar({"zone": "Europe/Zurich", "hours": ["22:00-06:00"]}, "plan"),
        read_calendar({"weekdays": ["sat", "sun"]}, "plan"),
        read_calendar({"hours": ["00:00-03:00", "12:00-13:00"]}, "plan"),
    ]
)


@given(
    st.lists(calendars, max_size=2),
    st.sampled_from([300.0, HOUR, 6 * HOUR, 36 * HOUR]),
    st.floats(0, 299),
    st.integers(0, 14 * 24 * 60),
)
def test_next_due_is_when_the_block_may_begin(
    chosen: list[Any], every: float, jitter: float, minutes: int
) -> None:
    one = block(every_seconds=every, jitter_seconds=jitter, calendars=tuple(chosen))
    now = START + timedelta(minutes=minutes)
    due = next_due(one, now)
    assert due is not None
    assert due > now or not all(calendar.is_open(now) for calendar in chosen)
    assert period(one, due).begins <= due
    assert all(calendar.is_open(due) for calendar in chosen)


class Slow(Away):
    """An archive that is still taking what it was given until it is let go."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.begun, self.go = threading.Event(), threading.Event()

    def add(self, measurements: Iterable[Measurement]) -> int:
        self.begun.set()
        assert self.go.wait(60)
        return super().add(measurements)


def test_what_is_being_stored_when_it_ends_is_kept_and_counted(tool: Instant, archive: Archive) -> None:
    slow, told = Slow(archive), list[Status]()

    async def main() -> None:
        def on_status(result: Measurement | None, status: Status) -> None:
            told.append(status)

        watching = asyncio.create_task(watch(Plan("p", (block(),)), SITES, slow, tool.clock, on_status))
        assert await asyncio.to_thread(slow.begun.wait, 60)
        watching.cancel()
        slow.go.set()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(main())
    assert len(archive.recent(Kind.THROUGHPUT)) == len(tool.ran) == 1
    assert (told[-1].succeeded, told[-1].unstored) == (1, 0)


def test_results_that_can_not_be_stored_at_the_end_are_told(tool: Instant, archive: Archive) -> None:
    flaky = Away(archive)
    flaky.away = True

    async def main() -> None:
        watching = asyncio.create_task(watch(Plan("p", (block(),)), SITES, flaky, tool.clock))
        await settled()
        watching.cancel()
        await watching

    with pytest.raises(
        OutsideError, match=r"1 results could not be stored, and are lost: OSError: .*No space"
    ):
        asyncio.run(main())
