"""Which supervisor drives which session.

A session that something is to be done for belongs to the worker that has its lease. Others may take it when
the lease is over, or when they know that the worker is dead. Whoever has been slow (a process that was
stopped, a host that lost its network) finds at its next write that the session is somebody else's: every
write of a driver locks the session's row and looks (`mine`), in its own transaction.

The hosts of several supervisors should agree about the time to within a few seconds: a lease that is taken
too early costs a repeated call to a platform, never a wrong entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, update

from broker.model import Phase
from broker.phases import DRIVEN, ENDED
from broker.sessions import cloud_leases
from broker.sessions.worker_id import is_dead
from broker.tables import cloud_leases as reserved
from broker.tables import holds, sessions

LEASE = timedelta(seconds=30)
# a lease is renewed when no more than this is left of it
RENEW_BELOW = timedelta(seconds=20)
# so many are begun at a time; the rest when these have been
MOST_NEW = 500

NOT_BEGUN = (Phase.ACCEPTED, Phase.WAITING)
# In these a session keeps its site busy. A container that runs has what was booked for it, and must not keep
# others from what was booked for them.
TO_PREPARE = (*NOT_BEGUN, Phase.PREPARING)


class LeaseLost(Exception):  # noqa: N818 - nobody's error: the session is somebody else's now
    """The session is driven by another supervisor: stop, and touch nothing."""


@dataclass(frozen=True)
class Claim:
    """A session that this worker has to drive, or (`cleaning`) to clean up after."""

    uuid: str
    phase: Phase
    site: str | None

    @property
    def cleaning(self) -> bool:
        return self.phase not in DRIVEN


def claim(
    connection: Connection,
    worker: str,
    now: datetime,
    busy: Collection[str],
    preparing: Mapping[str, int],
    most_per_site: int,
    sites: Collection[str],
) -> list[Claim]:
    """Take what nobody works at: what was begun, what is to be cleaned up, what is to be reserved at a cloud,
    however early, and as much that is new as fits.

    `busy` is what this worker is at already, `preparing` how many of these it prepares at each site, of which
    there may be `most_per_site`. What is new comes in the order of its promised start. Nobody waits here for
    anybody: rows that others have locked are left to them. `sites` are those that this worker can ask: what
    is at another is left to who can, or until the site is back, as long as its booking lasts.
    """
    dead = [other for other in _workers(connection) if other != worker and is_dead(other)]
    free = or_(
        sessions.c.worker.is_(None),
        sessions.c.worker == worker,
        sessions.c.worker.in_(dead),
        sessions.c.lease_until <= now,
    )
    ours = or_(holds.c.site.is_(None), holds.c.site.in_(list(sites)), holds.c.end <= now)
    query = _found().where(free, ours, sessions.c.uuid.not_in(list(busy)))
    begun = query.where(
        or_(sessions.c.phase.in_(_values(DRIVEN, but=NOT_BEGUN)), _to_clean(now), _to_reserve())
    )
    due = or_(holds.c.storage_start.is_(None), holds.c.storage_start <= now)
    new = query.where(sessions.c.phase.in_(_values(NOT_BEGUN)), due, ~_to_reserve())
    new = new.order_by(holds.c.start, sessions.c.created, sessions.c.uuid).limit(MOST_NEW)
    taken = [Claim(row.uuid, Phase(row.phase), row.site) for row in connection.execute(begun)]
    room = dict(preparing)
    for claimed in taken:
        if claimed.phase is Phase.PREPARING and claimed.site is not None:
            room[claimed.site] = room.get(claimed.site, 0) + 1
    full = [site for site, count in room.items() if count >= most_per_site]
    for row in connection.execute(new.where(or_(holds.c.site.is_(None), holds.c.site.not_in(full)))):
        if row.site is not None:
            if room.get(row.site, 0) >= most_per_site:
                continue
            room[row.site] = room.get(row.site, 0) + 1
        taken.append(Claim(row.uuid, Phase(row.phase), row.site))
    if taken:
        rows = update(sessions).where(sessions.c.uuid.in_([claimed.uuid for claimed in taken]))
        connection.execute(rows.values(worker=worker, lease_until=now + LEASE))
    return taken


def mine(connection: Connection, worker: str, uuid: str) -> None:
    """Raises LeaseLost where the session is not `worker`'s; else it stays so until the transaction's end."""
    query = select(sessions.c.worker).where(sessions.c.uuid == uuid).with_for_update()
    if connection.execute(query).scalar_one_or_none() != worker:
        raise LeaseLost(uuid)


def renew(connection: Connection, worker: str, now: datetime) -> None:
    """Go on with all that is this worker's: a lease that ran out, and that nobody took, is still its own.

    Rows that are being written just now are left for the next time: whoever waited here, with many rows
    locked, could be waiting for itself in the end.
    """
    query = select(sessions.c.uuid).where(sessions.c.worker == worker).with_for_update(skip_locked=True)
    found = list(connection.execute(query).scalars())
    connection.execute(update(sessions).where(sessions.c.uuid.in_(found)).values(lease_until=now + LEASE))


def held(connection: Connection, worker: str) -> dict[str, tuple[Phase, datetime]]:
    """What is this worker's: phase and end of the lease by session."""
    query = select(sessions.c.uuid, sessions.c.phase, sessions.c.lease_until)
    rows = connection.execute(query.where(sessions.c.worker == worker))
    return {row.uuid: (Phase(row.phase), row.lease_until) for row in rows}


def give_back(connection: Connection, worker: str, but: Collection[str] = ()) -> None:
    """Let others go on at once with all that is this worker's, or with all `but` some."""
    rows = update(sessions).where(sessions.c.worker == worker, sessions.c.uuid.not_in(list(but)))
    connection.execute(rows.values(worker=None, lease_until=None))


def look_again(connection: Connection, uuid: str) -> None:
    """Have a session cleaned up once more, if it has ended.

    For a driver that lost its lease in the middle of a call to the platform: what the call did may have come
    after the other's cleaning up. The one write that needs no lease: it only ever asks for more cleaning.
    """
    ended = sessions.c.phase.in_(_values(ENDED))
    values = {"occupies_platform": True, "results_until": None}
    changed = update(sessions).where(sessions.c.uuid == uuid, ended).values(**values)
    if connection.execute(changed).rowcount:
        cloud_leases.look_again(connection, [uuid])


def next_due(connection: Connection, now: datetime) -> datetime | None:
    """When the next session is to be prepared, the next offer ends, or the next results are to be removed."""
    waiting = (
        select(func.min(holds.c.storage_start))
        .join(sessions, sessions.c.uuid == holds.c.session)
        .where(sessions.c.phase.in_(_values(NOT_BEGUN)), holds.c.storage_start > now)
    )
    offered = select(func.min(sessions.c.expires)).where(sessions.c.phase == Phase.OFFERED.value)
    kept = select(func.min(sessions.c.results_until)).where(
        sessions.c.occupies_platform.is_(True), sessions.c.results_until > now
    )
    found = [connection.execute(query).scalar() for query in (waiting, offered, kept)]
    return min((instant for instant in found if instant is not None), default=None)


def wait_for_start(connection: Connection, now: datetime) -> None:
    """Phase WAITING for what was accepted and is to be prepared later."""
    later = select(holds.c.session).where(holds.c.storage_start > now)
    query = select(sessions.c.uuid).where(
        sessions.c.phase == Phase.ACCEPTED.value, sessions.c.uuid.in_(later), sessions.c.worker.is_(None)
    )
    found = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    if found:
        changed = update(sessions).where(sessions.c.uuid.in_(found))
        connection.execute(changed.values(phase=Phase.WAITING.value, modified=now))


def _found() -> Select[tuple[str, str, str]]:
    joined = sessions.outerjoin(holds, holds.c.session == sessions.c.uuid)
    query = select(sessions.c.uuid, sessions.c.phase, holds.c.site).select_from(joined)
    return query.with_for_update(of=sessions, skip_locked=True)


def _to_clean(now: datetime) -> ColumnElement[bool]:
    kept = and_(sessions.c.results_until.is_not(None), sessions.c.results_until > now)
    ended = sessions.c.phase.in_(_values(ENDED))
    return and_(sessions.c.occupies_platform.is_(True), ended, ~kept)


def _to_reserve() -> ColumnElement[bool]:
    states = (cloud_leases.Standing.WANTED.value, cloud_leases.Standing.ASKED.value)
    wanted = select(reserved.c.session).where(reserved.c.state.in_(states))
    return and_(sessions.c.phase.in_(_values(NOT_BEGUN)), sessions.c.uuid.in_(wanted))


def _workers(connection: Connection) -> list[str]:
    query = select(sessions.c.worker).where(sessions.c.worker.is_not(None)).distinct()
    return [worker for worker in connection.execute(query).scalars() if worker is not None]


def _values(phases: Collection[Phase], but: Collection[Phase] = ()) -> list[str]:
    return [phase.value for phase in phases if phase not in but]
