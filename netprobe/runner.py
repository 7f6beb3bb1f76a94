"""Run a plan: round after round, each result into the archive at once.

The id of a result is made of the run and the test: what is done of a run can be seen in the archive alone,
and a run that is taken up again can neither repeat nor double it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from federation.clock import Clock
from federation.sites import Federation
from netprobe import context
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.plan import Plan, Planned, Round, expand, rounds

# of tests that don't fill a path, such as ping: a process each
MOST_BESIDE = 32
# The family of the ids of results: were it another, a run that is continued would repeat everything.
_RESULTS = uuid.UUID("0b8c8c1e-6b0f-5c0a-8a35-2f6f1f8a9d10")
_KINDS = {"ping": Kind.LATENCY, "transfer": Kind.TRANSFER}


class Archive(Protocol):
    """Where results go; `netprobe.archive.Archive` is the real one."""

    def add(self, measurements: Iterable[Measurement]) -> int: ...

    def known(self, ids: Collection[str]) -> set[str]: ...


@dataclass(frozen=True)
class Summary:
    """What came of a run so far, `results` in the order in which they came; `total` was planned."""

    total: int
    results: tuple[Measurement, ...] = ()
    round: int = 0
    rounds: int = 0
    seconds: float = 0.0
    # were done already, by the run that this one continues
    earlier: int = 0
    # not all was done, because somebody stopped it
    stopped: bool = False

    @property
    def succeeded(self) -> int:
        return sum(one.succeeded for one in self.results)

    @property
    def failed(self) -> int:
        return len(self.results) - self.succeeded


# called with the newest result (None where a round begins) and the summary so far
OnProgress = Callable[[Measurement | None, Summary], None]


async def run_round(together: Round, one: Callable[[Planned], Awaitable[None]]) -> None:
    """Do `one` for every test of a round at the same time, and return when all are done."""
    beside = asyncio.Semaphore(len(together.tests) if together.exclusive else MOST_BESIDE)

    async def limited(planned: Planned) -> None:
        async with beside:
            await one(planned)

    async with asyncio.TaskGroup() as group:
        for planned in together.tests:
            group.create_task(limited(planned))


async def run_test(planned: Planned, clock: Clock, result_id: str) -> Measurement:
    """The result of one test, under that id; a tool that breaks its promise must not take others along."""
    planned = replace(planned, test=replace(planned.test, result_id=result_id))
    return replace(await _run_test(planned, clock), id=result_id)


async def _run_test(planned: Planned, clock: Clock) -> Measurement:
    started = clock.now()
    source, destination = planned.test.source.site, planned.test.destination.site
    try:
        name, fills = f"{planned.tool.name} {source} to {destination}", planned.tool.exclusive
        with context.running(name, fills=fills) as others:
            return context.beside(await planned.tool.run(planned.test), others)
    except Exception as problem:
        return Measurement(
            kind=_KINDS.get(planned.tool.name, Kind.THROUGHPUT),
            source=source,
            destination=destination,
            started=started,
            seconds=(clock.now() - started).total_seconds(),
            tool=planned.tool.name,
            origin=Origin.SCRIPTED,
            parameters=dict(planned.test.parameters),
            error=f"{source} to {destination}: {planned.tool.name} broke: {problem!r}",
        )


def result_id(run: str, planned: Planned) -> str:
    """The id of the result of a test in the run (or the occurrence of a block) called `run`."""
    return str(uuid.uuid5(_RESULTS, f"{run}/{planned.key}"))


@dataclass
class _Run:
    id: str
    archive: Archive
    clock: Clock
    on_progress: OnProgress
    summary: Summary
    begun: float = field(default_factory=time.monotonic)

    async def round(self, number: int, together: Round) -> None:
        self.summary = replace(self.summary, round=number)
        self.tell(None)
        await run_round(together, self.one)

    async def one(self, planned: Planned) -> None:
        result = await run_test(planned, self.clock, result_id(self.id, planned))
        # what has been measured is kept, also where we are being stopped
        storing = asyncio.ensure_future(asyncio.to_thread(self.archive.add, [result]))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):
                await storing
            self.tell(result)
            raise
        self.tell(result)

    def tell(self, result: Measurement | None) -> None:
        results = self.summary.results + ((result,) if result else ())
        seconds = time.monotonic() - self.begun
        self.summary = replace(self.summary, results=results, seconds=seconds)
        self.on_progress(result, self.summary)


class Stopped(asyncio.CancelledError):
    """The run was cancelled; `summary` says how far it came. All tools have ended."""

    def __init__(self, summary: Summary) -> None:
        super().__init__("stopped")
        self.summary = summary


async def run_plan(
    plan: Plan,
    federation: Federation,
    archive: Archive,
    clock: Clock,
    on_progress: OnProgress = lambda result, summary: None,
    *,
    run_id: str | None = None,
) -> Summary:
    """Run every test of `plan`, and store each result, failures too, as soon as it is there.

    Of the run called `run_id` (None: a new one) only what isn't in the archive yet is run.
    A failing test never keeps others from running. Raises InputError before anything has run. Cancelled: the
    tools have ended and what they had measured is stored before Stopped (a CancelledError) leaves.
    Raises what the archive raises, where it can't store.
    """
    planned = expand(plan, federation)
    left = planned
    if run_id is None:
        run_id = str(uuid.uuid4())
    else:
        ids = {result_id(run_id, one): one for one in planned}
        done = await asyncio.to_thread(archive.known, ids.keys())
        left = [one for id_, one in ids.items() if id_ not in done]
    todo = rounds(left, plan.parallel, plan.bottlenecks)
    earlier = len(planned) - len(left)
    summary = Summary(total=len(planned), rounds=len(todo), earlier=earlier)
    run = _Run(run_id, archive, clock, on_progress, summary)
    try:
        for number, together in enumerate(todo, start=1):
            await run.round(number, together)
    except asyncio.CancelledError as cancelled:
        raise Stopped(replace(run.summary, stopped=True)) from cancelled
    except ExceptionGroup as several:
        # of a round's failures to store, which are all the same, one says enough
        raise several.exceptions[0] from several
    return run.summary
