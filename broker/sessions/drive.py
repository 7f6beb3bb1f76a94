"""One accepted session from storage to release. Every step is idempotent and recorded; see `supervisor`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine

from broker.model import Job, Level, Note, Phase, Placement, Request
from broker.offers.checks import pool
from broker.platforms import Platform, PlatformError, State, Status
from broker.records import NotAllowed, SessionRecord, TimedNote
from broker.sessions import ledger, store
from broker.sessions.job import make_job, outcome
from broker.sessions.limits import within
from broker.sessions.phases import DRIVEN, Actor
from broker.sessions.staging import stage
from broker.sessions.store import Progress
from federation.clock import Clock
from federation.database import write
from federation.sites import Federation
from netprobe.archive import Archive
from reservations.capacity import Booking

log = logging.getLogger(__name__)
T = TypeVar("T")

# limits of single steps, in seconds
STORAGE_LIMIT = 60.0
IMAGE_LIMIT = 1800.0
START_LIMIT = 120.0
POLL_LIMIT = 60.0
STOP_LIMIT = 60.0
RELEASE_LIMIT = 300.0
# between two looks at a running container, and between two tries to start earlier than promised
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
# a platform that can't be asked so many times in a row has lost the session
POLL_FAILURES = 5


@dataclass(frozen=True)
class Surroundings:
    """What driving a session needs. `others`: what others than this broker have booked at a site."""

    federation: Federation
    platforms: Mapping[str, Platform]
    engine: Engine
    archive: Archive
    clock: Clock
    others: Callable[[str], Sequence[Booking]]


async def drive(around: Surroundings, uuid: str) -> None:
    """Take the session as far as it goes. Returns when there is nothing left to do for it."""
    drive_ = _Drive(around, uuid)
    try:
        await drive_.run()
        return
    except NotAllowed:
        log.info("session %s was cancelled", uuid)
    except PlatformError as error:
        await drive_.fail(Note("failed", "{reason}", {"reason": str(error)}))
    except Exception:
        log.exception("session %s failed inside the broker", uuid)
        await drive_.fail(Note("internal-error", "The broker made a mistake; its log says more"))
    await clean(around, uuid)


async def clean(around: Surroundings, uuid: str) -> None:
    """Free what the session has at its platform, and then what it has booked. Tried again where it fails."""
    drive_ = _Drive(around, uuid)
    session = await drive_.read()
    await drive_.release(session)
    await drive_.change(lambda connection, _, now: store.left_platform(connection, uuid))


class _Drive:
    """The steps of one session."""

    def __init__(self, around: Surroundings, uuid: str) -> None:
        self._around, self._clock, self._uuid = around, around.clock, uuid

    async def run(self) -> None:
        session = await self.read()
        if session.phase not in DRIVEN:
            return  # it ended after the supervisor had looked
        request, placement = session.request, session.placement
        if request is None or placement is None:
            raise PlatformError("the session has no placement")
        platform = self._around.platforms.get(placement.site_id)
        if platform is None:
            raise PlatformError(f"{placement.site_id} is no longer in the catalogue of sites")
        phase = session.phase
        if phase in (Phase.ACCEPTED, Phase.WAITING):
            await self._wait_to_prepare(placement)
            await self._phase(Phase.PREPARING)
            phase = Phase.PREPARING
        if phase is Phase.PREPARING:
            await self._prepare(platform, request, placement)
            await self._phase(Phase.AVAILABLE)
            phase = Phase.AVAILABLE
        progress = await self._progress()
        job = make_job(self._uuid, request, placement, progress)
        if phase is Phase.AVAILABLE:
            await self._start(platform, job, request, placement)
            phase = Phase.RUNNING
        elif phase is Phase.RUNNING:
            await self._resume(platform, job, request, placement)
        if phase is Phase.RUNNING:
            await self._watch(platform, job)
        await self._finish(session)

    async def _wait_to_prepare(self, placement: Placement) -> None:
        if self._clock.now() < placement.prepare_start:
            await self._phase(Phase.WAITING)
        while (left := (placement.prepare_start - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(left)

    async def _prepare(self, platform: Platform, request: Request, placement: Placement) -> None:
        """Storage, then data, then the image."""
        paths = dict((await self._progress()).paths)
        for place in request.storage:
            made = platform.make_storage(self._uuid, place.uuid)
            path = await within(self._clock, STORAGE_LIMIT, f"making storage {place.name}", made)
            paths[place.uuid] = str(path)
        items = {item.uuid: item for item in request.data}
        for move in placement.staging.moves:
            item = items[move.key]
            path, moved = await stage(self._clock, platform, self._uuid, item, move, self._show)
            if moved is not None:
                measurement, note = moved
                await asyncio.to_thread(self._around.archive.add, [measurement])
                await self._note(note)
            paths[item.uuid] = str(path)
        job = make_job(self._uuid, request, placement, Progress(paths))
        await within(self._clock, IMAGE_LIMIT, "bringing the image", platform.prepare(job))
        await self.change(
            lambda connection, _, now: store.write_progress(connection, self._uuid, Progress(paths))
        )

    async def _start(self, platform: Platform, job: Job, request: Request, placement: Placement) -> None:
        """Start as soon as there is room: at the start that was promised, or sooner where that is free."""
        while (end := await self._begin(request, placement)) is None:
            await self._clock.sleep(RETRY_SECONDS)
        await within(self._clock, START_LIMIT, "starting the container", platform.start(job))
        text, values = "Started at {site}; it may run until {end}", {"site": placement.site_id}
        values["end"] = f"{end:%Y-%m-%dT%H:%M:%SZ}"
        await self._phase(Phase.RUNNING, Note("started", text, values, Level.INFO))

    async def _begin(self, request: Request, placement: Placement) -> datetime | None:
        """When the session must be over, once it may start; None: not yet."""
        if self._clock.now() < request.earliest_start:
            return None
        site = self._around.federation[placement.site_id]
        if site.platform is None:
            raise PlatformError(f"{site.id} has no platform any more")
        size = pool(site.platform)
        others = await asyncio.to_thread(self._around.others, site.id)

        def begin(connection: Connection, session: SessionRecord, _: datetime) -> datetime | None:
            progress = store.read_progress(connection, self._uuid)
            if progress.end is not None:
                return datetime.fromisoformat(progress.end)
            ledger.lock_sites(connection, [site.id])
            now = self._clock.now()
            taken = ledger.occupancy(connection, now, but=self._uuid).get(site.id, [])
            end = ledger.begin(connection, self._uuid, size, [*taken, *others], now, request.duration)
            if end is not None:
                ended = replace(progress, end=end.isoformat())
                store.write_progress(connection, self._uuid, ended)
            return end

        end = await self.change(begin)
        booked_until = placement.start + placement.start_within + placement.duration
        if end is None and self._clock.now() >= booked_until:
            raise PlatformError("the time that was booked was over before the session could start")
        return end

    async def _resume(self, platform: Platform, job: Job, request: Request, placement: Placement) -> None:
        """After a restart of the broker: a container that a restart of the machine took away runs again."""
        status = await within(self._clock, POLL_LIMIT, "asking for the container", platform.poll(job))
        if status.state is not State.ABSENT:
            return
        text = "The container was gone after a restart of the broker: it runs again from its beginning"
        await self._note(Note("restarted", text, {}, Level.WARN))
        await self._prepare_again(platform, request, placement)
        await within(self._clock, START_LIMIT, "starting the container", platform.start(job))

    async def _prepare_again(self, platform: Platform, request: Request, placement: Placement) -> None:
        end = (await self._progress()).end
        await self._prepare(platform, request, placement)
        paths = (await self._progress()).paths
        kept = Progress(paths, end)
        await self.change(lambda connection, _, now: store.write_progress(connection, self._uuid, kept))

    async def _watch(self, platform: Platform, job: Job) -> None:
        """Until the container has ended, or its time has; then records what came of it."""
        progress = await self._progress()
        end = self._clock.now() if progress.end is None else datetime.fromisoformat(progress.end)
        while True:
            status = await self._poll(platform, job)
            if status.state is not State.RUNNING or self._clock.now() >= end:
                break
            left = (end - self._clock.now()).total_seconds()
            await self._clock.sleep(min(POLL_SECONDS, left))
        over_time = status.state is State.RUNNING
        if over_time:
            await within(self._clock, STOP_LIMIT, "stopping the container", platform.stop(job))
            status = await self._poll(platform, job)
        if status.state is State.ABSENT:
            raise PlatformError("the container is gone: something else than this broker removed it")
        notes = outcome(status, over_time)
        failed = over_time or status.exit_code != 0

        def ended(connection: Connection, session: SessionRecord, now: datetime) -> None:
            ended_progress = replace(progress, failed=failed)
            store.write_progress(connection, self._uuid, ended_progress)
            store.change_phase(
                connection,
                session,
                Phase.RELEASING,
                Actor.BROKER,
                now,
                [TimedNote(now, note, private) for note, private in notes],
            )

        await self.change(ended)

    async def _poll(self, platform: Platform, job: Job) -> Status:
        for failures in range(POLL_FAILURES):
            try:
                return await within(self._clock, POLL_LIMIT, "asking for the container", platform.poll(job))
            except PlatformError as error:
                if failures == POLL_FAILURES - 1:
                    raise
                log.warning("session %s: %s; asking again", self._uuid, error)
                await self._clock.sleep(RETRY_SECONDS)
        raise AssertionError("unreachable: the last failure is raised")

    async def _finish(self, session: SessionRecord) -> None:
        """Free everything, then say what became of the session."""
        await self.release(session)
        failed = (await self._progress()).failed

        def finish(connection: Connection, session: SessionRecord, now: datetime) -> None:
            last = Phase.FAILED if failed else Phase.COMPLETED
            store.change_phase(connection, session, last, Actor.BROKER, now)
            store.left_platform(connection, self._uuid)

        await self.change(finish)

    async def release(self, session: SessionRecord) -> None:
        """Free what the platform has for the session. A site that left the catalogue can't be asked."""
        site = "" if session.placement is None else session.placement.site_id
        platform = self._around.platforms.get(site)
        if platform is not None:
            await within(self._clock, RELEASE_LIMIT, "releasing", platform.release(self._uuid))

    async def fail(self, note: Note) -> None:
        """Phase FAILED with a note; a session that has ended already stays as it is."""

        def failed(connection: Connection, session: SessionRecord, now: datetime) -> None:
            notes = [TimedNote(now, note)]
            try:
                store.change_phase(connection, session, Phase.FAILED, Actor.BROKER, now, notes)
            except NotAllowed:
                log.info("session %s ended as %s: %s", self._uuid, session.phase, note.text)

        await self.change(failed)

    async def read(self) -> SessionRecord:
        return await self.change(lambda connection, session, now: session)

    async def change(self, work: Callable[[Connection, SessionRecord, datetime], T]) -> T:
        """`work` in one transaction in which nobody else changes this session, in a worker thread."""

        def in_transaction() -> T:
            with write(self._around.engine) as connection:
                session = store.lock_offerset_of(connection, self._uuid)
                if session is None:
                    raise PlatformError(f"session {self._uuid} is not in the database any more")
                return work(connection, session, self._clock.now())

        return await asyncio.to_thread(in_transaction)

    async def _progress(self) -> Progress:
        return await self.change(lambda connection, _, now: store.read_progress(connection, self._uuid))

    async def _phase(self, phase: Phase, *notes: Note) -> None:
        """Raises NotAllowed where the session was cancelled meanwhile."""
        await self.change(
            lambda connection, session, now: store.change_phase(
                connection, session, phase, Actor.BROKER, now, store.timed(notes, now)
            )
        )

    async def _note(self, note: Note) -> None:
        await self.change(
            lambda connection, session, now: store.add_notes(
                connection, session, store.timed([note], now), now
            )
        )

    async def _show(self, note: Note) -> None:
        """Show how far something is: takes the place of the last note of its kind."""

        def show(connection: Connection, session: SessionRecord, now: datetime) -> None:
            others = tuple(known for known in session.notes if known.note.kind != note.kind)
            kept = replace(session, notes=others)
            store.add_notes(connection, kept, store.timed([note], now), now)

        await self.change(show)
