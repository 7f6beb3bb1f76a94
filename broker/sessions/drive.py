"""One accepted session from storage to release. Every step is idempotent and recorded; see `supervisor`."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from broker.model import Job, Level, Note, Phase, Placement, Request
from broker.phases import DRIVEN, Actor
from broker.platforms import Platform, PlatformError
from broker.records import NotAllowed, SessionRecord
from broker.sessions import store
from broker.sessions.clean import clean, end
from broker.sessions.follow import follow
from broker.sessions.job import make_job
from broker.sessions.lease import LeaseLost
from broker.sessions.prepare import prepare
from broker.sessions.reserving import ReservationError, active, guarded, lease_of, reserve
from broker.sessions.row import Row, going, without
from broker.sessions.run import check_time_left, lost, start, start_again, watch
from reservations.leases import Lease

log = logging.getLogger(__name__)

# The database can't be asked just now. That is no fault of the session: it is driven again later.
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)


async def drive(row: Row) -> None:
    """Take the session as far as it goes. Returns when there is nothing left to do for it.

    Raises LeaseLost; PlatformError where its end couldn't be cleaned up; what is in DATABASE_AWAY. Called
    again, it goes on from what the database says.
    """
    try:
        if not await _drive(row):
            return
    except NotAllowed:
        log.info("session %s was cancelled", row.uuid)
    except ReservationError as error:
        await row.fail(error.note)
    except PlatformError as error:
        await row.fail(Note("failed", "{reason}", {"reason": str(error)}))
    except (LeaseLost, *DATABASE_AWAY):
        raise
    except Exception:
        log.exception("session %s failed inside the broker", row.uuid)
        await row.fail(Note("internal-error", "The broker made a mistake; its log says more"))
    try:
        await clean(row)
    except PlatformError:
        # It has ended all the same. What it has at its platform and in the ledger stays until it is freed.
        await row.change(lambda connection, session, now: end(connection, session, now))
        raise


async def _drive(row: Row) -> bool:
    """Returns whether it is over, and all that it has is to be freed; else it is to be driven again."""
    session, progress = await row.read()
    phase, request, placement = session.phase, session.request, session.placement
    if phase not in DRIVEN:
        return True  # it ended after the supervisor had looked
    if request is None or placement is None:
        raise PlatformError("the session has no placement")
    platform = row.platform(session)
    if placement.reference is not None:
        if phase is not Phase.RELEASING:
            await follow(row, platform, session, placement)
        return True
    if phase is Phase.RELEASING:
        return True
    if phase in (Phase.ACCEPTED, Phase.WAITING):
        # long before it is to be prepared, mostly
        if await reserve(row, request, placement) is not None:
            return False
        await row.phase(Phase.PREPARING)
        phase = Phase.PREPARING
    lease = await lease_of(row)
    if phase is Phase.PREPARING:
        progress = await _prepare(row, platform, request, placement, lease)
        if row.reserves:
            reserved = await active(row, request, placement)
            placement, lease = reserved.placement, reserved.lease
            await row.phase(Phase.AVAILABLE)
        phase = Phase.AVAILABLE
        row.worker.prepared()
    job = make_job(row.uuid, request, placement, progress, lease)
    await guarded(row, placement, lease, _run(row, platform, phase, job, request, placement))
    return True


async def _run(
    row: Row, platform: Platform, phase: Phase, job: Job, request: Request, placement: Placement
) -> None:
    """From AVAILABLE or RUNNING until the container has ended."""
    if phase is Phase.AVAILABLE:
        await start(row, platform, job, request, placement)
    elif await lost(row, platform, job):
        _, progress = await row.read()
        check_time_left(row, progress)
        progress = await _prepare(row, platform, request, placement, job.lease)
        job = make_job(row.uuid, request, placement, progress, job.lease)
        await start_again(row, platform, job)
    await watch(row, platform, job, placement)


async def _prepare(
    row: Row, platform: Platform, request: Request, placement: Placement, lease: Lease | None
) -> store.Progress:
    """Have everything in place, and say so: phase AVAILABLE for one that was PREPARING, unless something that
    is reserved for it is to begin first."""
    paths = await prepare(row, platform, request, placement, lease)

    def done(connection: Connection, session: SessionRecord, now: datetime) -> store.Progress:
        going(session)
        progress = store.read_progress(connection, row.uuid)
        progress = replace(progress, paths=paths, prepared=progress.prepared or now.isoformat())
        store.write_progress(connection, row.uuid, progress)
        if any(timed.note.kind == "progress" for timed in session.notes):
            text, values = "Preparing: done, {percent} %", {"step": "done", "percent": "100"}
            values |= {"seconds_left": "0"}
            told = store.timed([Note("progress", text, values, Level.INFO)], now)
            session = without(session, "progress")
        else:
            told = ()
        if session.phase is Phase.PREPARING and not row.reserves:
            store.change_phase(connection, session, Phase.AVAILABLE, Actor.BROKER, now, told)
        elif told:
            store.add_notes(connection, session, told, now)
        return progress

    return await row.change(done)
