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
from broker.sessions.row import Row, going, without
from broker.sessions.run import check_time_left, lost, start, start_again, watch

log = logging.getLogger(__name__)

# The database can't be asked just now. That is no fault of the session: it is driven again later.
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)


async def drive(row: Row) -> None:
    """Take the session as far as it goes. Returns when there is nothing left to do for it.

    Raises LeaseLost; PlatformError where its end couldn't be cleaned up; what is in DATABASE_AWAY. Called
    again, it goes on from what the database says.
    """
    try:
        await _drive(row)
    except NotAllowed:
        log.info("session %s was cancelled", row.uuid)
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


async def _drive(row: Row) -> None:
    session, progress = await row.read()
    phase, request, placement = session.phase, session.request, session.placement
    if phase not in DRIVEN:
        return  # it ended after the supervisor had looked
    if request is None or placement is None:
        raise PlatformError("the session has no placement")
    platform = row.platform(session)
    if placement.reference is not None:
        if phase is not Phase.RELEASING:
            await follow(row, platform, session, placement)
        return
    job = make_job(row.uuid, request, placement, progress)
    if phase in (Phase.ACCEPTED, Phase.WAITING):
        await row.phase(Phase.PREPARING)
        phase = Phase.PREPARING
    if phase is Phase.PREPARING:
        job = await _prepare(row, platform, request, placement)
        phase = Phase.AVAILABLE
        row.worker.prepared()
    if phase is Phase.AVAILABLE:
        await start(row, platform, job, request, placement)
    elif phase is Phase.RUNNING and await lost(row, platform, job):
        check_time_left(row, progress)
        job = await _prepare(row, platform, request, placement)
        await start_again(row, platform, job)
    if phase is not Phase.RELEASING:
        await watch(row, platform, job, request)


async def _prepare(row: Row, platform: Platform, request: Request, placement: Placement) -> Job:
    """Have everything in place, and say so: phase AVAILABLE, for one that was PREPARING."""
    paths = await prepare(row, platform, request, placement)

    def done(connection: Connection, session: SessionRecord, now: datetime) -> store.Progress:
        going(session)
        progress = replace(store.read_progress(connection, row.uuid), paths=paths)
        store.write_progress(connection, row.uuid, progress)
        if any(timed.note.kind == "progress" for timed in session.notes):
            text, values = "Preparing: done, {percent} %", {"step": "done", "percent": "100"}
            values |= {"seconds_left": "0"}
            told = store.timed([Note("progress", text, values, Level.INFO)], now)
            session = without(session, "progress")
        else:
            told = ()
        if session.phase is Phase.PREPARING:
            store.change_phase(connection, session, Phase.AVAILABLE, Actor.BROKER, now, told)
        elif told:
            store.add_notes(connection, session, told, now)
        return progress

    return make_job(row.uuid, request, placement, await row.change(done))
