"""Sees to it that every accepted session is driven, and that every offer ends in time.

All state is in the database: killing the process at any point loses nothing. One task drives one session, so
that a slow or failing one never delays another. Several supervisors may work on a database: see `lease`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model import Phase
from broker.platforms import PlatformError
from broker.sessions import lease, retention, store
from broker.sessions.clean import clean
from broker.sessions.drive import DATABASE_AWAY, drive
from broker.sessions.lease import Claim, LeaseLost
from broker.sessions.limits import until_done, until_set
from broker.sessions.row import Row, Surroundings, Worker
from broker.sessions.worker_id import new_worker_id
from federation.database import write
from federation.errors import one_line

log = logging.getLogger(__name__)

# Accepted sessions wake the supervisor; this is for what other processes changed, and for the leases.
LOOK_SECONDS = 2.0
# what failed outside the session is tried again after this, then after twice as long, until the last
RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 120.0
# old sessions are removed so often
RETENTION_SECONDS = 600.0
# for the drivers' transactions: SQLite has one writer at a time anyway
DATABASE_THREADS = 4
# what else the process does in the event loop's threads
OTHER_THREADS = 32


@dataclass
class _Work:
    """A session that this supervisor is at."""

    task: asyncio.Task[None]
    claim: Claim
    lease_until: datetime
    lost: bool = False


@dataclass(frozen=True)
class _Doing:
    """What a supervisor is at, with the sites, what it has given up for a while, and what others have to look
    at once more."""

    working: dict[str, str | None]
    waiting: list[str]
    again: list[str]


@dataclass(frozen=True)
class _Look:
    """What one look at the database found."""

    time: datetime
    held: dict[str, tuple[Phase, datetime]]
    claims: list[Claim]
    next_due: datetime | None


class Supervisor:
    """`run` drives; `wake` may be called from any thread, whether it runs or not."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around, self._clock = surroundings, surroundings.clock
        self.id = new_worker_id()
        self._work: dict[str, _Work] = {}
        # how often in a row a session was given up, and when it is taken up again
        self._failures: Counter[str] = Counter()
        self._not_before: dict[str, datetime] = {}
        # sessions that others may have cleaned up after while a call of ours was still under way
        self._again: set[str] = set()
        self._woken: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def wake(self) -> None:
        """Look at the database now, not at the next turn."""
        if self._woken is not None:
            loop, event = self._woken
            # The loop may have been closed since: then there is nobody to wake.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    async def run(self) -> None:
        """Until cancelled. Sessions that are being driven then stay as they are in the database."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        self._woken = (loop, event)
        # Platforms do slow things in the loop's threads (checksums of large files, say). There are as many as
        # they could ever occupy: with the usual few, one site could keep all others waiting.
        most = self._around.sessions_per_site * len(self._around.platforms)
        loop.set_default_executor(ThreadPoolExecutor(OTHER_THREADS + most, "platforms"))
        looking = ThreadPoolExecutor(1, "supervisor")
        driving = ThreadPoolExecutor(DATABASE_THREADS, "sessions")
        worker = Worker(self.id, self._around, driving, self.wake)
        removing = asyncio.create_task(self._remove_old())
        try:
            while True:
                event.clear()
                pause = await self._turn(worker, looking)
                await until_set(self._clock, pause, event)
        finally:
            self._woken = None
            tasks = [removing, *(work.task for work in self._work.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Behind what the drivers' threads are still writing. Where it can't be done, the leases run out.
            driving.shutdown(wait=True)
            with contextlib.suppress(*DATABASE_AWAY):
                self._give_back()
            looking.shutdown(wait=False)

    async def _turn(self, worker: Worker, thread: ThreadPoolExecutor) -> float:
        """One look, and what follows from it. Returns the seconds until the next."""
        loop, doing = asyncio.get_running_loop(), self._doing()
        look = asyncio.ensure_future(loop.run_in_executor(thread, self._look, doing))
        while not await until_done(self._clock, LOOK_SECONDS, look):
            self._drop_what_ran_out()
        try:
            found = look.result()
        except Exception:
            log.exception("the supervisor could not read what there is to do; it will try again")
            self._drop_what_ran_out()
            return LOOK_SECONDS
        self._again.difference_update(doing.again)
        for uuid, work in self._work.items():
            phase, work.lease_until = found.held.get(uuid, (None, work.lease_until))
            if phase is None and not work.task.done():
                self._drop(uuid, work)
            elif phase is Phase.CANCELLED and not work.claim.cleaning:
                # its end wakes us, and the next look begins to clean up
                work.task.cancel()
        for claim in found.claims:
            self._begin(worker, claim, found.time + lease.LEASE)
        if found.next_due is None:
            return LOOK_SECONDS
        return min(max((found.next_due - self._clock.now()).total_seconds(), 0.0), LOOK_SECONDS)

    def _doing(self) -> _Doing:
        now = self._clock.now()
        self._not_before = {uuid: since for uuid, since in self._not_before.items() if since > now}
        working = {uuid: work.claim.site for uuid, work in self._work.items()}
        return _Doing(working, list(self._not_before), list(self._again))

    def _look(self, doing: _Doing) -> _Look:
        """In a thread: end offers, renew leases, and take what there is to do."""
        engine, clock = self._around.engine, self._clock
        self._look_again(doing.again)
        with engine.connect() as connection:
            overdue = store.overdue(connection, clock.now())
        if overdue:
            with write(engine) as connection:
                store.expire(connection, clock.now(), overdue, patient=False)
        with write(engine) as connection:
            now = clock.now()
            lease.give_back(connection, self.id, but=doing.working)
            held = lease.held(connection, self.id)
            if any(until - now < lease.RENEW_BELOW for _, until in held.values()):
                lease.renew(connection, self.id, now)
                held = lease.held(connection, self.id)
            lease.wait_for_start(connection, now)
            busy = [*doing.working, *doing.waiting]
            preparing = Counter(
                site
                for uuid, site in doing.working.items()
                if site and uuid in held and held[uuid][0] in lease.TO_PREPARE
            )
            most = self._around.sessions_per_site
            sites = self._around.platforms
            claims = lease.claim(connection, self.id, now, busy, preparing, most, sites)
            return _Look(now, held, claims, lease.next_due(connection, now))

    def _begin(self, worker: Worker, claim: Claim, lease_until: datetime) -> None:
        row = Row(worker, claim.uuid)
        coroutine = clean(row) if claim.cleaning else drive(row)
        task = asyncio.create_task(coroutine, name=f"session {claim.uuid}")
        self._work[claim.uuid] = _Work(task, claim, lease_until)
        task.add_done_callback(lambda task: self._ended(claim.uuid, task))

    def _ended(self, uuid: str, task: asyncio.Task[None]) -> None:
        work = self._work.pop(uuid)
        error = None if task.cancelled() else task.exception()
        if work.lost or isinstance(error, LeaseLost):
            log.warning("session %s: its lease is lost, and it is left to another supervisor", uuid)
            self._again.add(uuid)
            self.wake()
        elif error is not None:
            self._failures[uuid] += 1
            pause = min(RETRY_SECONDS * 2 ** (self._failures[uuid] - 1), LONGEST_RETRY_SECONDS)
            self._not_before[uuid] = self._clock.now() + timedelta(seconds=pause)
            known = isinstance(error, (PlatformError, *DATABASE_AWAY))
            log.error(
                "session %s: %s; it is tried again in %.0f s",
                uuid,
                one_line(error),
                pause,
                exc_info=None if known else error,
            )
        else:
            del self._failures[uuid]
            # there may be room for another now, or something to clean up
            self.wake()

    def _drop_what_ran_out(self) -> None:
        """Stop what others may have taken, since we can't ask."""
        for uuid, work in self._work.items():
            if work.lease_until <= self._clock.now():
                self._drop(uuid, work)

    def _drop(self, uuid: str, work: _Work) -> None:
        work.lost = True
        work.task.cancel()

    def _look_again(self, uuids: Collection[str]) -> None:
        for uuid in uuids:
            # who waits for one row has locked no other
            with write(self._around.engine) as connection:
                lease.look_again(connection, uuid)

    def _give_back(self) -> None:
        self._look_again(self._again)
        with write(self._around.engine) as connection:
            lease.give_back(connection, self.id)

    async def _remove_old(self) -> None:
        while True:
            try:
                await asyncio.to_thread(
                    retention.remove_old, self._around.engine, self._clock.now(), self._around.retention
                )
            except Exception:
                log.exception("old sessions could not be removed; it will be tried again")
            await self._clock.sleep(RETENTION_SECONDS)
