"""What is left of a session when its container is no longer wanted: stopped, told, kept or removed."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from broker.model import Job, Note, Phase
from broker.phases import Actor
from broker.platforms import Platform, PlatformError, State, Status
from broker.records import SessionRecord
from broker.sessions import ledger, store
from broker.sessions.bringing import end_bringing
from broker.sessions.follow import give_up
from broker.sessions.job import make_job
from broker.sessions.limits import within
from broker.sessions.outcome import begin_of, kept_note, seen, written_storages
from broker.sessions.reserving import free, lease_of
from broker.sessions.row import Row
from broker.sessions.run import POLL_LIMIT, STOP_LIMIT, bookings
from broker.sessions.store import Progress

log = logging.getLogger(__name__)

RELEASE_LIMIT = 300.0


async def clean(row: Row) -> None:
    """Free what the session has at its data's own systems and at its platform, then what is reserved at a
    cloud, then what it has booked.

    For a session that has ended, and for one in phase RELEASING, which ends by it. What the container wrote
    stays for a while, if it ran. Raises PlatformError: then nothing is given back yet, and it is to be tried
    again.
    """
    session, progress = await row.read()
    trouble = await end_bringing(row, session, progress)
    try:
        platform = row.platform(session)
    except PlatformError as error:
        # a site that left the catalogue can't be asked
        log.warning("session %s: nothing can be released: %s", row.uuid, error)
        if session.placement is not None:
            await free(row, session.placement)
        await _leave(row, trouble)
        return
    if session.placement is not None and session.placement.reference is not None:
        await give_up(row, platform, session.placement)
        await _leave(row, trouble)
        return
    written = {}
    # where results have been kept already, their time is over
    if session.results_until is None and await _end_container(row, platform, session, progress):
        written = written_storages(session.request)
    await within(row.clock, RELEASE_LIMIT, "releasing", platform.release(row.uuid, keep=tuple(written)))
    if session.placement is not None:
        await free(row, session.placement)
    if written:
        if await _keep(row, session, sum(written.values())):
            return
        await within(row.clock, RELEASE_LIMIT, "releasing", platform.release(row.uuid))
    await _leave(row, trouble)


async def _keep(row: Row, session: SessionRecord, storage_gib: int) -> bool:
    """Keep what the container wrote, as long as nobody else has booked the room; else False."""
    assert session.placement is not None
    site = row.around.federation[session.placement.site_id]
    size, others = await bookings(row, site)
    lifetime = row.around.result_lifetime

    def keep(connection: Connection, session: SessionRecord, _: datetime) -> bool:
        ledger.lock_sites(connection, [site.id])
        now = row.clock.now()
        taken = [*ledger.occupancy(connection, now, [site.id], row.uuid).get(site.id, []), *others]
        until = ledger.keep_storage(connection, row.uuid, size, taken, now, now + lifetime, storage_gib)
        if until is None:
            return False
        end(connection, session, now, kept_note(until, lifetime, now))
        store.keeps_results(connection, row.uuid, until)
        return True

    return await row.change(keep)


async def _leave(row: Row, trouble: str | None) -> None:
    """The platform holds nothing any more, and the ledger neither; with `trouble` something else does, which
    is a PlatformError."""

    def leave(connection: Connection, session: SessionRecord, now: datetime) -> None:
        end(connection, session, now)
        if trouble is None:
            store.left_platform(connection, row.uuid)
        else:
            ledger.free(connection, [row.uuid])

    await row.change(leave)
    if trouble is not None:
        raise PlatformError(trouble)


def end(connection: Connection, session: SessionRecord, now: datetime, *notes: Note) -> None:
    """Say what became of a session that went well until here; one that has ended stays as it did."""
    told = store.timed(notes, now)
    if session.phase is Phase.RELEASING:
        failed = store.read_progress(connection, session.uuid).failed
        last = Phase.FAILED if failed else Phase.COMPLETED
        store.change_phase(connection, session, last, Actor.BROKER, now, told)
    elif told:
        store.add_notes(connection, session, told, now)


async def _end_container(row: Row, platform: Platform, session: SessionRecord, progress: Progress) -> bool:
    """Stop the container, if it may run, and note how it ended. Returns whether it ever ran."""
    request, placement, known = session.request, session.placement, session.outcome
    if request is None or placement is None:
        return False
    begun = begin_of(placement, progress)
    if known is not None and known.ended is not None:
        return True
    if begun is None:
        return False
    job = make_job(row.uuid, request, placement, progress, await lease_of(row))
    try:
        status = await _stopped(row, platform, job)
    except PlatformError as error:
        # what can't be asked or stopped is removed all the same
        log.warning("session %s: how its container ended is not known: %s", row.uuid, error)
        status = Status(State.ABSENT)
    if status.state is State.ABSENT and known is None:
        return False
    now = row.clock.now()
    if known is None or status.state is not State.ABSENT:
        last = seen(begun if known is None else known.started, status, now)
    else:
        last = known
    last = replace(last, ended=now)
    await row.change(lambda connection, _, now: store.write_outcome(connection, row.uuid, last))
    return True


async def _stopped(row: Row, platform: Platform, job: Job) -> Status:
    """How the container ended; stopped, if it still ran."""
    status = await within(row.clock, POLL_LIMIT, "asking for the container", platform.poll(job))
    if status.state is State.RUNNING:
        await within(row.clock, STOP_LIMIT, "stopping the container", platform.stop(job))
        status = await within(row.clock, POLL_LIMIT, "asking for the container", platform.poll(job))
    return status
