"""What of each site is promised to whom. Nothing is oversold, because one transaction decides.

Every function takes the connection of a transaction that was opened with `federation.database.write`. The
callers lock the sites first and look at the clock after that: who waits for the lock then sees what was
decided meanwhile, and with the right time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from broker.model import Placement
from broker.offers.calendars import Held
from broker.records import SessionRecord
from broker.tables import holds
from reservations.capacity import Booking, Capacity, free_throughout

Occupancy = dict[str, list[Booking]]
# what a booking is made of: the rest would be read for nothing, thousands of times a second
_BOOKED = (
    holds.c.site,
    holds.c.storage_start,
    holds.c.start,
    holds.c.end,
    holds.c.cores,
    holds.c.memory_gib,
    holds.c.storage_gib,
)


def lock_sites(connection: Connection, sites: Iterable[str]) -> None:
    """Make whoever else decides about these sites wait for the end of this transaction.

    SQLite has one writer at a time anyway. On PostgreSQL: advisory locks, in the order of the keys, so that
    two transactions never wait for each other.
    """
    if connection.dialect.name != "postgresql":
        return
    for key in sorted({_lock_key(site) for site in sites}):
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _lock_key(site: str) -> int:
    """A number for `site` that is the same in every process: 8 bytes, signed."""
    digest = hashlib.sha256(f"fairlead.ledger.{site}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def occupancy(
    connection: Connection, now: datetime, sites: Collection[str], but: str | None = None
) -> Occupancy:
    """What is held and booked at these sites, without holds that have expired and without session `but`."""
    query = select(*_BOOKED).where(
        holds.c.site.in_(sites),
        holds.c.end > now,
        or_(holds.c.expires.is_(None), holds.c.expires > now),
        holds.c.session != (but or ""),
    )
    taken: Occupancy = {}
    for site, storage_start, start, end, cores, memory_gib, storage_gib in connection.execute(query):
        bookings = taken.setdefault(site, [])
        bookings.append(Booking(start, end, cores, memory_gib, storage_gib))
        if storage_gib and storage_start < start:
            bookings.append(Booking(storage_start, start, 0, 0, storage_gib))
    return taken


def held(
    connection: Connection, now: datetime, sites: Collection[str], but: str = ""
) -> dict[str, list[Held]]:
    """The same by session: what the site's own calendars may not have yet."""
    query = select(holds).where(
        holds.c.site.in_(sites),
        holds.c.end > now,
        or_(holds.c.expires.is_(None), holds.c.expires > now),
        holds.c.session != but,
    )
    found: dict[str, list[Held]] = {}
    for row in connection.execute(query):
        size = Capacity(row.cores, row.memory_gib, row.storage_gib)
        found.setdefault(row.site, []).append(Held(row.session, row.start, row.end, size))
    return found


def move(connection: Connection, session: str, placement: Placement) -> None:
    """Book the new window of a placement in the place of the old one. The caller has just found it free, in
    this transaction."""
    values = {
        "storage_start": placement.prepare_start,
        "start": placement.start,
        "end": placement.start + placement.start_within + placement.duration,
    }
    connection.execute(update(holds).where(holds.c.session == session).values(**values))


def hold(connection: Connection, made: Iterable[SessionRecord]) -> None:
    """Take what the placements of new sessions need. The caller has just found it free, in this transaction.

    A booking covers every start within `start_within`, for the whole duration.
    """
    rows = [
        {
            "session": session.uuid,
            "site": placement.site_id,
            "storage_start": placement.prepare_start,
            "start": placement.start,
            "end": placement.start + placement.start_within + placement.duration,
            "cores": placement.cores,
            "memory_gib": placement.memory_gib,
            "storage_gib": placement.storage_gib,
            "expires": session.expires,
        }
        for session in made
        if (placement := session.placement) is not None
    ]
    if rows:
        connection.execute(insert(holds), rows)


def confirm(connection: Connection, session: str) -> None:
    """Make an offer's hold a booking, which doesn't expire."""
    connection.execute(update(holds).where(holds.c.session == session).values(expires=None))


def free(connection: Connection, sessions: Collection[str]) -> None:
    """Give back what these sessions held; those that hold nothing are fine, too."""
    if sessions:
        connection.execute(delete(holds).where(holds.c.session.in_(sessions)))


def begin(
    connection: Connection,
    session: str,
    pool: Capacity,
    others: Iterable[Booking],
    now: datetime,
    duration: timedelta,
) -> datetime | None:
    """Move a booking so that it starts now, and lasts `duration`. Returns its end; None: not yet.

    `others` is what everybody else holds at the site. Where the booking itself has begun, the answer is never
    None: if nothing is free behind its end, it just ends there, earlier than asked.
    """
    row = connection.execute(select(holds).where(holds.c.session == session)).one_or_none()
    if row is None:
        return None
    end = now + duration
    need = Capacity(row.cores, row.memory_gib, row.storage_gib)
    # Between the booking's own start and end nothing needs to be asked: that is ours already.
    pieces = ((now, min(row.start, end)), (max(row.end, now), end))
    known = list(others)
    fits = all(
        free_throughout(pool, known, since, until).fits(need) for since, until in pieces if since < until
    )
    if not fits:
        if now < row.start or now >= row.end:
            return None
        end = row.end
    moved = update(holds).where(holds.c.session == session)
    connection.execute(moved.values(storage_start=min(row.storage_start, now), start=now, end=end))
    return end


def keep_storage(
    connection: Connection,
    session: str,
    pool: Capacity,
    others: Iterable[Booking],
    now: datetime,
    until: datetime,
    storage_gib: int,
) -> datetime | None:
    """Keep `storage_gib` for what a session wrote, and give back the rest that it had booked.

    Returns until when: earlier than `until` where somebody has booked that room, None (and the booking stays
    as it is) where it is needed at once. `others` is what everybody else holds at the site.
    """
    known = list(others)
    need = Capacity(0, 0, storage_gib)
    # room only gets less where a booking begins
    ends = sorted({until, *(other.start for other in known if now < other.start < until)}, reverse=True)
    for end in ends:
        if free_throughout(pool, known, now, end).fits(need):
            kept = update(holds).where(holds.c.session == session)
            values = {"storage_start": now, "start": now, "end": end, "storage_gib": storage_gib}
            connection.execute(kept.values(cores=0, memory_gib=0, **values))
            return end
    return None
