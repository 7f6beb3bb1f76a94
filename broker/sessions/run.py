"""A session's container from its start to its end. Every step may be repeated by another process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from broker.model import Connector, Job, Level, Note, Outcome, Phase, Placement, Request
from broker.offers.checks import pool
from broker.phases import Actor
from broker.platforms import Platform, PlatformError, State, Status, Unreachable
from broker.records import SessionRecord
from broker.sessions import ledger, store
from broker.sessions.limits import patiently, within
from broker.sessions.outcome import begin_of, end_notes, seen
from broker.sessions.queued import Queue
from broker.sessions.row import Row, going
from broker.sessions.staging import told
from federation.sites import Site
from netprobe.measurement import Measurement
from reservations.capacity import Booking, Capacity

log = logging.getLogger(__name__)

# limits of single steps, in seconds
BOOKINGS_LIMIT = 60.0
START_LIMIT = 120.0
POLL_LIMIT = 60.0
STOP_LIMIT = 60.0
# of what is reserved at a cloud, so much is left for stopping and releasing
RELEASE = timedelta(minutes=2)
# Between two looks at a running container: at least the first, and so many times what a look takes, so that
# many sessions at a slow engine don't keep it from its work; but never more than the last.
POLL_SECONDS = 0.5
POLL_SHARE = 5.0
LONGEST_POLL_SECONDS = 5.0
# between two tries to start earlier than promised, or to ask a platform that couldn't be asked
RETRY_SECONDS = 2.0
# a platform that can't be asked so many times in a row has lost the session
POLL_FAILURES = 5
TOO_LATE = "the time that was booked was over before the session could start"
# the output so far is written no more often than this
OUTCOME_SECONDS = 3.0


async def start(row: Row, platform: Platform, job: Job, request: Request, placement: Placement) -> None:
    """Start as soon as there is room: at the start that was promised, or sooner where that is free. What is
    reserved at a cloud is used in its own time alone."""
    while (end := await _begin(row, job, request, placement)) is None:
        left = (placement.start - row.clock.now()).total_seconds()
        await row.clock.sleep(min(RETRY_SECONDS, left) if left > 0 else RETRY_SECONDS)
    # it may have been begun by a process that was ended, long ago
    if row.clock.now() >= end and await lost(row, platform, job):
        raise PlatformError(TOO_LATE)
    connectors = await _start(row, platform, job)
    text, values = "Started at {site}; it may run until {end}", {"site": placement.site_id}
    values["end"] = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    await _started(row, connectors, Note("started", text, values, Level.INFO))


async def _start(row: Row, platform: Platform, job: Job) -> Sequence[Connector]:
    return await patiently(row.clock, START_LIMIT, "starting the container", lambda: platform.start(job))


async def _started(row: Row, connectors: Sequence[Connector], note: Note) -> None:
    def started(connection: Connection, session: SessionRecord, now: datetime) -> None:
        notes = store.timed([note], now)
        if not store.change_phase(connection, session, Phase.RUNNING, Actor.BROKER, now, notes):
            store.add_notes(connection, session, notes, now)
        store.write_connectors(connection, row.uuid, connectors)
        store.write_outcome(connection, row.uuid, Outcome(now))

    await row.change(started)


async def _begin(row: Row, job: Job, request: Request, placement: Placement) -> datetime | None:
    """When the session must be over, once it may start; None: not yet."""
    earliest = request.earliest_start if job.lease is None else max(request.earliest_start, placement.start)
    booked_until = placement.start + placement.start_within + placement.duration
    if row.clock.now() < earliest:
        return None
    site = row.around.federation[placement.site_id]
    size, others = await bookings(row, site)

    def begin(connection: Connection, session: SessionRecord, _: datetime) -> datetime | None:
        going(session)
        progress = store.read_progress(connection, row.uuid)
        if progress.end is not None:
            return datetime.fromisoformat(progress.end)
        ledger.lock_sites(connection, [site.id])
        now = row.clock.now()
        taken = ledger.occupancy(connection, now, [site.id], row.uuid).get(site.id, [])
        duration = placement.duration
        if job.lease is not None:
            # a cloud takes a moment to begin: who comes a little late has all of the time nevertheless
            duration = min(duration, job.lease.end - RELEASE - now)
            if duration <= timedelta(0):
                return None
        end = ledger.begin(connection, row.uuid, size, [*taken, *others], now, duration)
        if end is not None:
            begun = replace(progress, begun=now.isoformat(), end=end.isoformat())
            store.write_progress(connection, row.uuid, begun)
        return end

    end = await row.change(begin)
    if end is None and row.clock.now() >= booked_until:
        raise PlatformError(TOO_LATE)
    return end


async def bookings(row: Row, site: Site) -> tuple[Capacity, Sequence[Booking]]:
    """How big the site is, and what others than this broker have booked there. Raises PlatformError."""
    if site.platform is None:
        raise PlatformError(f"{site.id} has no platform any more")
    asked = asyncio.to_thread(row.around.others, site.id)
    return pool(site.platform), await within(row.clock, BOOKINGS_LIMIT, f"asking {site.id}", asked)


async def lost(row: Row, platform: Platform, job: Job) -> bool:
    """Whether a container that was started is no more, as after a restart of its machine."""
    return (await poll(row, platform, job)).state is State.ABSENT


def check_time_left(row: Row, progress: store.Progress) -> None:
    """Raises PlatformError where what was lost has no time left to run again."""
    if progress.end is not None and row.clock.now() >= datetime.fromisoformat(progress.end):
        raise PlatformError("the container was gone after a restart of the broker, and its time is over")


async def start_again(row: Row, platform: Platform, job: Job) -> None:
    """Start what was lost, from its beginning, for what is left of its time."""
    text = "The container was gone after a restart of the broker: it runs again from its beginning"
    connectors = await _start(row, platform, job)
    await _started(row, connectors, Note("restarted", text, {}, Level.WARN))


async def watch(row: Row, platform: Platform, job: Job, placement: Placement) -> None:
    """Until the container has ended, or its time has; then records what came of it: phase RELEASING."""
    session, progress = await row.read()
    end = row.clock.now() if progress.end is None else datetime.fromisoformat(progress.end)
    started = (
        session.outcome.started if session.outcome else begin_of(placement, progress) or session.modified
    )
    written, written_at = session.outcome, row.clock.now()
    queue, connectors, learnt = Queue(session.placement, written_at), session.connectors, False
    while True:
        asked = row.clock.now()
        status = await poll(row, platform, job)
        now = row.clock.now()
        note = queue.note(status.waiting, now)
        if note is not None:
            await row.show(note)
        if status.connectors and status.connectors != connectors:
            connectors = status.connectors
            await row.change(partial(_write_connectors, connectors))
        if status.measurements and not learnt:
            learnt = await _learn(row, session, status.measurements)
        if status.state is not State.RUNNING or now >= end:
            break
        so_far = seen(started, status, now)
        if so_far != written and (now - written_at).total_seconds() >= OUTCOME_SECONDS:
            await row.change(partial(_write_outcome, so_far))
            written, written_at = so_far, now
        pause = min(max(POLL_SECONDS, POLL_SHARE * (now - asked).total_seconds()), LONGEST_POLL_SECONDS)
        await row.clock.sleep(min(pause, (end - now).total_seconds()))
    over_time = status.state is State.RUNNING
    if over_time:
        await patiently(row.clock, STOP_LIMIT, "stopping the container", lambda: platform.stop(job))
        status = await poll(row, platform, job)
    if status.state is State.ABSENT:
        raise PlatformError("the container is gone: something else than this broker removed it")

    def ended(connection: Connection, session: SessionRecord, now: datetime) -> None:
        progress = store.read_progress(connection, row.uuid)
        failed = over_time or status.problem is not None or status.exit_code != 0
        store.write_progress(connection, row.uuid, replace(progress, failed=failed))
        store.write_outcome(connection, row.uuid, replace(seen(started, status, now), ended=now))
        notes = store.timed(end_notes(status, over_time), now)
        store.change_phase(connection, session, Phase.RELEASING, Actor.BROKER, now, notes)

    await row.change(ended)


async def _learn(row: Row, session: SessionRecord, measurements: Sequence[Measurement]) -> bool:
    """Keep what data took that came after the start, and say it; returns True. Repeated, it adds nothing."""
    if session.request is not None and session.placement is not None:
        moved = told(measurements, session.request.data, session.placement.staging)
        await row.worker.in_thread(partial(row.around.archive.add, [each for each, _ in moved]))
        await row.change(partial(_tell, [note for _, note in moved]))
    return True


def _tell(notes: Sequence[Note], connection: Connection, session: SessionRecord, now: datetime) -> None:
    if not any(timed.note.kind == notes[0].kind for timed in session.notes):
        store.add_notes(connection, session, store.timed(notes, now), now)


def _write_connectors(
    connectors: Sequence[Connector], connection: Connection, session: SessionRecord, now: datetime
) -> None:
    if session.phase is Phase.RUNNING:
        store.write_connectors(connection, session.uuid, connectors)


def _write_outcome(so_far: Outcome, connection: Connection, session: SessionRecord, now: datetime) -> None:
    if session.phase is Phase.RUNNING:
        store.write_outcome(connection, session.uuid, so_far)


async def poll(row: Row, platform: Platform, job: Job) -> Status:
    """The container's state; a platform that can't be asked is asked again a few times."""
    for _ in range(POLL_FAILURES - 1):
        try:
            return await _ask(row, platform, job)
        except Unreachable:
            raise
        except PlatformError as error:
            log.warning("session %s: %s; asking again", row.uuid, error)
            await row.clock.sleep(RETRY_SECONDS)
    return await _ask(row, platform, job)


async def _ask(row: Row, platform: Platform, job: Job) -> Status:
    return await patiently(row.clock, POLL_LIMIT, "asking for the container", lambda: platform.poll(job))
