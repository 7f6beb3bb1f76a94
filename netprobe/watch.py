"""A plan as a service: each block again and again, with jitter, by its calendars and within the budget.

Time is cut into periods of a block's `every`, the same for every watcher whenever it was started; what a
period has done is seen in the archive by the ids of its results. So nothing needs to be remembered: a watcher
that was ended, however, goes on in the middle of a period without repeating a test.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from federation.clock import Clock
from federation.errors import OutsideError, one_line
from federation.sites import Federation
from netprobe.budget import Ledger
from netprobe.history import History
from netprobe.measurement import Measurement
from netprobe.plan import Block, Plan, Planned, Round, expand, rounds
from netprobe.runner import result_id, run_round, run_test

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# how long to wait after the archive couldn't be read or written
RETRY_SECONDS = 30.0
# look again at least this often: room in the budget comes back bit by bit
LONGEST_SLEEP_SECONDS = 600.0


class Archive(Protocol):
    """Where results go; `netprobe.archive.Archive` is the real one."""

    def add(self, measurements: Iterable[Measurement]) -> int: ...

    def known(self, ids: Collection[str]) -> set[str]: ...

    def history(self, per_path: int = ..., since: datetime | None = ...) -> History: ...


@dataclass(frozen=True)
class Status:
    """What the watcher has done since it was started, and what it does now.

    `due` is when the next test may begin (None: now, or never); `unstored` are results that the archive
    couldn't take yet; `over_budget` is how many tests of the present periods find no room.
    """

    succeeded: int = 0
    failed: int = 0
    running: int = 0
    over_budget: int = 0
    unstored: int = 0
    due: datetime | None = None
    # the archive's last complaint, None where it works
    problem: str | None = None


# called with the newest result (None where something else has changed) and the status
OnStatus = Callable[[Measurement | None, Status], None]


@dataclass(frozen=True)
class Period:
    """One turn of a block. Tests may begin from `begins`, which is late by the jitter, until `ends`."""

    name: str
    begins: datetime
    ends: datetime


def period(block: Block, now: datetime) -> Period:
    """The period of a block that has an `every` in which `now` lies."""
    every = block.every_seconds or 0.0
    number = int((now - EPOCH).total_seconds() // every)
    name = f"{block.key}/{every:g}/{number}"
    begins = EPOCH + timedelta(seconds=number * every)
    late = random.Random(name).uniform(0, block.jitter_seconds)
    return Period(name, begins + timedelta(seconds=late), begins + timedelta(seconds=every))


async def watch(
    plan: Plan,
    federation: Federation,
    archive: Archive,
    clock: Clock,
    on_status: OnStatus = lambda result, status: None,
) -> None:
    """Run the blocks of `plan` that have an `every`, until cancelled; a test that has begun then is ended.

    Tests that fail, tools that break and an archive that can't store end nothing: results wait until the
    archive takes them. Raises InputError before anything has run.
    """
    watcher = _Watcher(plan, expand(plan, federation), archive, clock, on_status)
    try:
        while True:
            try:
                await watcher.store()
                todo = await watcher.next()
            except Exception as problem:
                # a database that is away or full comes back, and until then the results are kept here
                watcher.tell(problem=_line(problem))
                await clock.sleep(RETRY_SECONDS)
                continue
            if todo is not None:
                await watcher.run(*todo)
            else:
                await clock.sleep(watcher.pause())
    finally:
        # what has been measured is kept, also where we are being stopped
        watcher.store_last()


@dataclass
class _Watcher:
    plan: Plan
    planned: Sequence[Planned]
    archive: Archive
    clock: Clock
    on_status: OnStatus
    status: Status = field(default_factory=Status)
    unstored: list[Measurement] = field(default_factory=list)
    # of the present periods: what has been asked of the archive already, and what is done
    asked: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def tell(self, result: Measurement | None = None, **changes: object) -> None:
        changed = replace(self.status, unstored=len(self.unstored), **changes)  # type: ignore[arg-type]
        if changed != self.status or result is not None:
            self.status = changed
            self.on_status(result, changed)

    async def store(self) -> None:
        async with self.storing:
            waiting = list(self.unstored)
            if waiting:
                await asyncio.to_thread(self.archive.add, waiting)
                self.unstored = self.unstored[len(waiting) :]

    def store_last(self) -> None:
        """Without the event loop, which is being stopped. Raises OutsideError where they are lost."""
        try:
            if self.unstored:
                self.archive.add(self.unstored)
        except Exception as problem:
            lost = len(self.unstored)
            raise OutsideError(
                f"{lost} results could not be stored, and are lost: {_line(problem)}"
            ) from problem
        self.unstored = []
        self.tell()

    async def next(self) -> tuple[Round, dict[str, str]] | None:
        """The next round, with the id of each test's result by the test's key; None where it isn't time."""
        now = self.clock.now()
        open_now = []
        for block in self.plan.blocks:
            here = period(block, now) if block.every_seconds is not None else None
            begun = here is not None and here.begins <= now
            open_now.append(here if begun and all(one.is_open(now) for one in block.calendars) else None)
        wanted: dict[str, Planned] = {}
        for one in self.planned:
            here = open_now[one.block]
            if here is not None:
                wanted[result_id(here.name, one)] = one
        # periods that are over are forgotten
        self.asked &= wanted.keys()
        self.done &= wanted.keys()
        unknown = wanted.keys() - self.asked
        if unknown:
            self.done |= await asyncio.to_thread(self.archive.known, unknown)
            self.asked |= unknown
        left = {id_: one for id_, one in wanted.items() if id_ not in self.done}
        affordable = await self._affordable(left) if left else {}
        due = None if affordable else self._due(now)
        self.tell(over_budget=len(left) - len(affordable), due=due, problem=None)
        found = rounds(list(affordable.values()), self.plan.parallel, self.plan.bottlenecks)
        return (found[0], {one.key: id_ for id_, one in affordable.items()}) if found else None

    async def _affordable(self, left: dict[str, Planned]) -> dict[str, Planned]:
        if not self.plan.budgets:
            return left
        since = self.clock.now() - DAY
        last_day = await asyncio.to_thread(self.archive.history, 10_000, since)
        ledger = Ledger.of(self.plan.budgets, last_day, await asyncio.to_thread(self.archive.history, 5))
        # ids differ from period to period: where there isn't room for all, others wait each time
        fits = {id_ for id_, one in sorted(left.items()) if ledger.take(one.tool, one.test)}
        return {id_: one for id_, one in left.items() if id_ in fits}

    async def run(self, together: Round, ids: dict[str, str]) -> None:
        self.tell(running=len(together.tests))

        async def one(planned: Planned) -> None:
            result = await run_test(planned, self.clock, ids[planned.key])
            self.unstored.append(result)
            self.done.add(result.id)
            counted = "succeeded" if result.succeeded else "failed"
            try:
                await self.store()
            except Exception as problem:
                self.tell(problem=_line(problem))
            finally:
                # also where we are being stopped: what is measured is kept, and so it counts
                more = getattr(self.status, counted) + 1
                self.tell(result, running=self.status.running - 1, **{counted: more})

        await run_round(together, one)

    def pause(self) -> float:
        """Seconds until the next test may begin, as far as that is known."""
        due = self.status.due
        if due is None:
            return LONGEST_SLEEP_SECONDS
        return min(max((due - self.clock.now()).total_seconds(), 0.001), LONGEST_SLEEP_SECONDS)

    def _due(self, now: datetime) -> datetime | None:
        """The first instant after `now` at which a block has a test that it hasn't now."""
        instants = (next_due(block, now) for block in self.plan.blocks if block.every_seconds is not None)
        return min((instant for instant in instants if instant is not None), default=None)


def next_due(block: Block, now: datetime) -> datetime | None:
    """When a block begins next: this period, the next one, or where its calendars open; None: never."""
    here = period(block, now)
    if here.begins > now:
        begins = here.begins
    elif all(calendar.is_open(now) for calendar in block.calendars):
        begins = period(block, here.ends).begins
    else:
        begins = now
    # open in all: each in turn, until none moves it any further
    while True:
        opened = begins
        for calendar in block.calendars:
            found = calendar.opens(opened)
            if found is None or found > now + timedelta(days=400):
                return None
            opened = found
        if opened == begins:
            # closed until another period has begun, which begins late by its own jitter
            late = period(block, begins).begins
            if late <= begins:
                return begins
            opened = late
        begins = opened


def _line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {one_line(problem)[:200]}"
