"""A session's reservation at its site's cloud: made, followed until it is active, moved, watched, given up.

The cloud is asked in threads, and never within a transaction. That it is about to be asked is written down
first: whoever is killed then leaves a trace, and who comes after asks again with the same reference, which is
the session's uuid, or looks for it to give it up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from broker.model import Level, Note, Placement, Request
from broker.offers.calendars import lease_times
from broker.offers.moving import next_placement
from broker.offers.spaces import Booking
from broker.platforms import PlatformError
from broker.records import SessionRecord
from broker.sessions import cloud_leases, ledger, store
from broker.sessions.cloud_leases import CloudLease, Standing
from broker.sessions.limits import in_thread
from broker.sessions.row import Row, going, without
from broker.sessions.run import bookings
from federation.errors import OutsideError
from reservations.capacity import Capacity, Timeline
from reservations.leases import Lease, LeaseState, RefusedError

log = logging.getLogger(__name__)
T = TypeVar("T")

# between two questions to a cloud that can't be reached
RETRY_SECONDS = 10.0
# between two looks at a reservation that is to begin, and at one under a running session
LOOK_SECONDS = 2.0
WATCH_SECONDS = 15.0
# a reservation that hasn't begun so long after its start won't
BEGINS = timedelta(minutes=10)
# what was asked for is at the cloud by then, or never will be
SETTLES = timedelta(minutes=3)
# how often one session is moved at most, and which refusals another time may help against
MOST_MOVES = 5
MOVABLE = frozenset({"capacity", "conflict"})
# a refusal that may be none: the cloud failed while it was at it
FAULT = "fault"
# how far beyond the last start calendars are asked for, so that the longest session lies within
AHEAD = timedelta(days=1)


class ReservationError(PlatformError):
    """The session has no reservation (any more): `note` says why."""

    def __init__(self, note: Note) -> None:
        super().__init__(note.text)
        self.note = note


@dataclass(frozen=True)
class Reserved:
    """The window in which a session runs, and what is reserved for it then; None: it needs nothing."""

    placement: Placement
    lease: Lease | None


async def reserve(row: Row, request: Request, placement: Placement) -> Placement | None:
    """Have the cloud reserve what isn't reserved yet. Returns the window then, which may be another; None
    where there was nothing to do.

    Raises ReservationError for what it refuses, or where nobody could be asked until it was too late.
    """
    known = await _read(row)
    if known is None or known.state in (Standing.MADE, Standing.GONE):
        return None
    while True:
        booking = _booking(row, placement)
        try:
            lease = await _patiently(row, placement, partial(_make, row, booking, placement))
        except RefusedError as error:
            log.info("session %s: %s refuses its reservation: %s", row.uuid, booking.site, error)
            if error.limit != FAULT:
                await row.change(lambda connection, _, now: cloud_leases.refused(connection, row.uuid))
            reason = Note("lease-refused", "{site}: {reason}", {"site": booking.site, "reason": str(error)})
            placement = await _move(row, request, placement, reason, error.limit in MOVABLE)
            continue
        row.around.spaces.forget(booking.site)
        await row.change(partial(_made, lease))
        return placement


async def active(row: Row, request: Request, placement: Placement) -> Reserved:
    """Wait until what is reserved may be used. A session that can't have it is moved, or ReservationError."""
    while True:
        placement = await reserve(row, request, placement) or placement
        known = await _read(row)
        if known is None or known.lease is None:
            return Reserved(placement, None)
        lease, problem = await _until_active(row, placement, known.lease)
        if problem is None:
            if lease != known.lease:
                await row.change(partial(_seen, lease))
            return Reserved(placement, lease)
        cancel = partial(_booking(row, placement).leases.cancel, lease.id)
        try:
            await _patiently(row, placement, partial(in_thread, cancel))
        except RefusedError as error:
            # under our reference there is this one still: nothing else can be had
            raise ReservationError(problem) from error
        placement = await _move(row, request, placement, problem, True)


async def lease_of(row: Row) -> Lease | None:
    """What is reserved, as the cloud told last."""
    known = await _read(row)
    return None if known is None else known.lease


async def guarded(row: Row, placement: Placement, lease: Lease | None, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, as long as the reservation under it holds; else ReservationError. In every case
    `work` has ended when this returns."""
    if lease is None:
        return await work
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_watch(row, placement, lease))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ReservationError(watch.result())
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def free(row: Row, placement: Placement) -> None:
    """Give up what is reserved. Raises PlatformError where the cloud didn't confirm it: try again."""
    known = await _read(row)
    if known is None or known.state is Standing.GONE:
        return
    if known.state is not Standing.WANTED:
        over = placement.start + placement.start_within + placement.duration
        end = over if known.lease is None else known.lease.end
        try:
            await _give_up(row, placement, known)
        except (OutsideError, RefusedError, PlatformError) as error:
            if row.clock.now() < end + SETTLES:
                raise PlatformError(
                    f"the reservation at {placement.site_id} is not given up: {error}"
                ) from error
            log.warning("session %s: its reservation is over, and was never given up: %s", row.uuid, error)
        row.around.spaces.forget(placement.site_id)
    await row.change(lambda connection, _, now: cloud_leases.gone(connection, row.uuid))


async def _give_up(row: Row, placement: Placement, known: CloudLease) -> None:
    """All that the cloud has under our reference: an answer that got lost may have been a yes."""
    leases = _booking(row, placement).leases
    found = () if known.state is Standing.MADE else await in_thread(leases.list)
    ids = {lease.id for lease in found if lease.reference == row.uuid}
    ids |= set() if known.lease is None else {known.lease.id}
    for each in sorted(ids):
        await in_thread(partial(leases.cancel, each))
    if not ids and known.asked is not None and row.clock.now() < known.asked + SETTLES:
        raise PlatformError("it was just asked for, and may still be made")


async def _make(row: Row, booking: Booking, placement: Placement) -> Lease:
    """Ask the cloud for it, once that is written down."""
    size = Capacity(placement.cores, placement.memory_gib, placement.storage_gib)
    end = placement.start + placement.start_within + placement.duration
    calendars = await in_thread(lambda: row.around.spaces.calendars(booking.site, end + AHEAD))
    if calendars is None:
        raise OutsideError(f"nothing is known of {booking.source} at {booking.site}")
    calendar = calendars.calendars[0]
    need = calendars.need(calendar, size)
    if need is None:
        raise RefusedError("no flavour has what was offered any more", "flavour", "")
    since, until = lease_times(placement.start, end, calendar.rules.step)

    def asking(connection: Connection, session: SessionRecord, now: datetime) -> None:
        going(session)
        cloud_leases.asking(connection, row.uuid, now)

    await row.change(asking)
    begins = None if since <= row.clock.now() else since
    return await in_thread(lambda: booking.leases.reserve(row.uuid, need, booking.kind, begins, until))


def _made(lease: Lease, connection: Connection, session: SessionRecord, now: datetime) -> None:
    cloud_leases.made(connection, session.uuid, lease)
    site = "" if session.placement is None else session.placement.site_id
    values = {"site": site, "lease": lease.name, "start": _instant(lease.start), "end": _instant(lease.end)}
    text = "Reserved at {site} from {start} to {end} ({lease})"
    notes = [Note("lease", text, values, Level.INFO)]
    if lease.doubts:
        values = {"site": site, "doubts": "; ".join(lease.doubts)}
        notes.append(Note("lease", "{site} says of the reservation: {doubts}", values, Level.WARN))
    store.add_notes(connection, without(session, "lease"), store.timed(notes, now), now)


def _seen(lease: Lease, connection: Connection, session: SessionRecord, now: datetime) -> None:
    cloud_leases.made(connection, session.uuid, lease)


async def _move(row: Row, request: Request, placement: Placement, reason: Note, helps: bool) -> Placement:
    """Book the next window in the place of this one, where the site's policy has it so; else raises
    ReservationError."""
    site = row.around.federation[placement.site_id]
    known = await _read(row)
    moves = 0 if known is None else known.moves
    if not (site.policy.rebook and helps and moves < MOST_MOVES):
        raise ReservationError(reason)
    row.around.spaces.forget(site.id)
    until = request.latest_start + request.duration + AHEAD
    calendars = await in_thread(lambda: row.around.spaces.calendars(site.id, until))
    size, others = await bookings(row, site)

    def move(connection: Connection, session: SessionRecord, _: datetime) -> Placement | None:
        going(session)
        ledger.lock_sites(connection, [site.id])
        now = row.clock.now()
        taken = ledger.occupancy(connection, now, [site.id], row.uuid).get(site.id, [])
        held = ledger.held(connection, now, [site.id], row.uuid).get(site.id, [])
        beside = None if calendars is None else calendars.beside(held)
        found = next_placement(placement, request, Timeline.of(size, [*taken, *others]), beside, now)
        if found is None:
            return None
        ledger.move(connection, row.uuid, found)
        store.write_placement(connection, row.uuid, found)
        cloud_leases.want_again(connection, row.uuid, moves + 1)
        values = {**reason.values, "old": _instant(placement.start), "start": _instant(found.start)}
        text = "Moved from {old} to {start}, since " + reason.template
        note = Note("rebooked", text, values, Level.WARN)
        store.add_notes(connection, without(session, "lease"), store.timed([note], now), now)
        return found

    found = await row.change(move)
    if found is None:
        text = reason.template + "; and there is no later window in the start range"
        raise ReservationError(Note(reason.kind, text, reason.values))
    return found


async def _until_active(row: Row, placement: Placement, lease: Lease) -> tuple[Lease, Note | None]:
    """The reservation once it is active, or as it was last; and what is wrong with it."""
    leases = _booking(row, placement).leases
    while True:
        seen = await _patiently(row, placement, partial(in_thread, partial(leases.get, lease.id)))
        problem = _problem(placement.site_id, seen)
        if seen is None or problem is not None:
            return seen or lease, problem
        if seen.state is LeaseState.ACTIVE:
            return seen, None
        left = (seen.start - row.clock.now()).total_seconds()
        if left < -BEGINS.total_seconds():
            text = "{site}: the reservation has not begun {limit} min after its start"
            values = {"site": placement.site_id, "limit": f"{BEGINS.total_seconds() / 60:.0f}"}
            return seen, Note("lease-lost", text, values)
        await row.clock.sleep(min(max(left, LOOK_SECONDS), WATCH_SECONDS))


async def _watch(row: Row, placement: Placement, lease: Lease) -> Note:
    """What went wrong with an active reservation, once something does."""
    leases = _booking(row, placement).leases
    while True:
        try:
            seen = await asyncio.to_thread(leases.get, lease.id)
        except (OutsideError, RefusedError) as error:
            # a cloud that can't be asked says nothing against the reservation
            log.warning("session %s: its reservation can't be looked at: %s", row.uuid, error)
        else:
            problem = _problem(placement.site_id, seen)
            if problem is not None:
                return problem
        await row.clock.sleep(WATCH_SECONDS)


def _problem(site: str, lease: Lease | None) -> Note | None:
    """Why a session can't use what was reserved for it."""
    if lease is None:
        return Note("lease-lost", "{site}: the reservation is gone: somebody gave it up", {"site": site})
    values = {"site": site, "doubts": "; ".join(lease.doubts), "said": lease.said or lease.state}
    if lease.state is LeaseState.FAILED:
        text = "{site}: the reservation failed" + (": {doubts}" if lease.doubts else " ({said})")
        return Note("lease-lost", text, values)
    if lease.state is LeaseState.ENDED:
        return Note("lease-lost", "{site}: the reservation has ended before its time ({said})", values)
    # what a cloud says before may not be what it does then
    if lease.state is LeaseState.ACTIVE and lease.doubts:
        return Note("lease-lost", "{site}: the reservation is not as it was asked for: {doubts}", values)
    return None


async def _patiently(row: Row, placement: Placement, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the cloud says, asked again while it can't be reached, until the session is too late."""
    latest = placement.start + placement.start_within + placement.duration
    told = False
    while True:
        try:
            return await ask()
        except OutsideError as error:
            values = {"site": placement.site_id, "reason": str(error)}
            if row.clock.now() >= latest:
                text = "{site}: its cloud could not be asked until it was too late: {reason}"
                raise ReservationError(Note("lease-refused", text, values)) from error
            log.warning("session %s: %s; asking again", row.uuid, error)
            if not told:
                text = "{site}: its cloud can't be asked just now: {reason}; it is tried again"
                await row.show(Note("lease", text, values, Level.WARN))
                told = True
            await row.clock.sleep(RETRY_SECONDS)


async def _read(row: Row) -> CloudLease | None:
    if not row.reserves:
        return None
    return await row.change(lambda connection, session, now: cloud_leases.read(connection, row.uuid))


def _booking(row: Row, placement: Placement) -> Booking:
    booking = row.around.spaces.booking(placement.site_id)
    if booking is None:
        raise PlatformError(f"the catalogue doesn't say any more how {placement.site_id} is booked")
    return booking


def _instant(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
