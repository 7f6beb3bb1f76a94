"""One session's row, as the supervisor that has its lease reads and writes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine

from broker.model import Note, Phase
from broker.offers.spaces import Spaces
from broker.phases import DRIVEN, Actor, allowed
from broker.platforms import Platform, PlatformError
from broker.records import NotAllowed, SessionRecord, TimedNote
from broker.sessions import cloud_leases, lease, store
from broker.sessions.unpacking import Unpacker
from federation.clock import Clock
from federation.database import write
from federation.sites import Federation
from netprobe.archive import Archive
from reservations.capacity import Booking

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Surroundings:
    """What driving sessions needs. `others`: what others than this broker have booked at a site; `spaces`:
    the clouds at which sites are booked."""

    federation: Federation
    platforms: Mapping[str, Platform]
    engine: Engine
    archive: Archive
    clock: Clock
    others: Callable[[str], Sequence[Booking]]
    spaces: Spaces
    unpacker: Unpacker
    sessions_per_site: int = 64
    result_lifetime: timedelta = timedelta(days=1)
    retention: timedelta = timedelta(days=30)


@dataclass(frozen=True)
class Worker:
    """A supervisor, as its drivers see it.

    It has threads of its own for the database: a site that keeps the common ones waiting delays nobody's
    transactions.
    """

    id: str
    around: Surroundings
    threads: Executor
    # there is room for the next
    prepared: Callable[[], None]

    async def in_thread(self, work: Callable[[], T]) -> T:
        """`work`, which asks the database and nothing slower."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)


class Row:
    """A session. Every write raises LeaseLost where somebody else has it now."""

    def __init__(self, worker: Worker, uuid: str) -> None:
        self.worker, self.around, self.clock, self.uuid = worker, worker.around, worker.around.clock, uuid
        # whether something is, or is to be, reserved for it at a cloud; known once it was read
        self.reserves = True

    async def change(self, work: Callable[[Connection, SessionRecord, datetime], T]) -> T:
        """`work` in one transaction in which nobody else changes this session, in a worker's thread."""

        def in_transaction() -> T:
            with write(self.around.engine) as connection:
                session = store.lock_offerset_of(connection, self.uuid)
                if session is None:
                    raise lease.LeaseLost(self.uuid)  # removed: then it had ended long ago
                lease.mine(connection, self.worker.id, self.uuid)
                return work(connection, session, self.clock.now())

        return await self.worker.in_thread(in_transaction)

    async def read(self) -> tuple[SessionRecord, store.Progress]:
        """As it is now; raises LeaseLost as a write does."""

        def read(
            connection: Connection, session: SessionRecord, now: datetime
        ) -> tuple[SessionRecord, store.Progress]:
            self.reserves = cloud_leases.read(connection, self.uuid) is not None
            return session, store.read_progress(connection, self.uuid)

        return await self.change(read)

    async def phase(self, phase: Phase, *notes: Note) -> None:
        """Raises NotAllowed where the session was cancelled meanwhile."""
        await self.change(
            lambda connection, session, now: store.change_phase(
                connection, session, phase, Actor.BROKER, now, store.timed(notes, now)
            )
        )

    async def note(self, note: Note) -> None:
        await self.change(
            lambda connection, session, now: store.add_notes(
                connection, session, store.timed([note], now), now
            )
        )

    async def show(self, note: Note) -> None:
        """Show how far something is: takes the place of the last note of its kind."""

        def show(connection: Connection, session: SessionRecord, now: datetime) -> None:
            store.add_notes(connection, without(session, note.kind), store.timed([note], now), now)

        await self.change(show)

    async def staged(self, paths: Mapping[str, str]) -> None:
        """Note where storages and data items lie at the site, by uuid: what is in place is shown as such."""

        def staged(connection: Connection, session: SessionRecord, now: datetime) -> None:
            progress = store.read_progress(connection, self.uuid)
            progress = replace(progress, paths={**progress.paths, **paths})
            store.write_progress(connection, self.uuid, progress)

        await self.change(staged)

    async def fail(self, note: Note) -> None:
        """Phase FAILED with a note; a session that has ended already stays as it is."""

        def failed(connection: Connection, session: SessionRecord, now: datetime) -> None:
            notes = [TimedNote(now, note)]
            try:
                store.change_phase(connection, session, Phase.FAILED, Actor.BROKER, now, notes)
            except NotAllowed:
                log.info("session %s ended as %s: %s", self.uuid, session.phase, note.text)

        await self.change(failed)

    def platform(self, session: SessionRecord) -> Platform:
        """The platform of the session's site. Raises PlatformError where the site has none any more."""
        site = "" if session.placement is None else session.placement.site_id
        if site not in self.around.platforms:
            raise PlatformError(f"{site or 'its site'} is no longer in the catalogue of sites")
        return self.around.platforms[site]


def going(session: SessionRecord) -> None:
    """Raises NotAllowed where the session has ended: cancelled, mostly."""
    if session.phase not in DRIVEN:
        raise NotAllowed(session.phase, Phase.RUNNING, allowed(session.phase, Actor.BROKER))


def without(session: SessionRecord, kind: str) -> SessionRecord:
    """The session without its notes of a kind."""
    return replace(session, notes=tuple(known for known in session.notes if known.note.kind != kind))
