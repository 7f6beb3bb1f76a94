"""The ledger against the cloud's own list of leases: what Blazar didn't tell is seen there.

What was allowed and never became a lease is given up; what did gets its id; what ended unheard is settled.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from federation.clock import Clock
from federation.database import write
from reservations.calendar import Need
from reservations.enforcement.bodies import Asked, BodyError, read_instant
from reservations.enforcement.ledger import settle
from reservations.enforcement.purses import State, read_purses
from reservations.enforcement.tables import bookings

# Between the question and the lease in the list lie seconds; Blazar itself gives up after a minute.
GRACE = timedelta(minutes=2)
_OVER = ("TERMINATED",)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconciled:
    """How many bookings changed, and the ids of leases that nothing was paid for."""

    confirmed: int = 0
    ended: int = 0
    given_up: int = 0
    unpaid: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Lease:
    id: str
    project: str
    name: str
    start: datetime
    end: datetime
    created: datetime | None
    over: bool


def reconcile(
    engine: sa.Engine, clock: Clock, leases: Sequence[Mapping[str, Any]], asked_at: datetime
) -> Reconciled:
    """Bring the ledger in line with `leases`, the list of all projects as it was after `asked_at`.

    What changed in the ledger since shortly before that is left alone. May be called again and at once.
    """
    known = {lease.id: lease for lease in map(_read, leases) if lease is not None}
    with engine.connect() as connection:
        purses = read_purses(connection, clock.now())
    found = [_of_project(engine, clock, project, known, asked_at) for project in _projects(engine)]
    with engine.connect() as connection:
        paid = set(connection.execute(sa.select(bookings.c.lease)).scalars())
    limited = {purse.project for purse in purses}
    unpaid = [
        lease.id
        for lease in known.values()
        if lease.id not in paid and not lease.over and lease.project in limited
    ]
    for lease in unpaid:
        _log.warning("lease %s was made, and nothing was paid for it", lease)
    return Reconciled(
        confirmed=sum(each.confirmed for each in found),
        ended=sum(each.ended for each in found),
        given_up=sum(each.given_up for each in found),
        unpaid=tuple(unpaid),
    )


def _projects(engine: sa.Engine) -> Sequence[str]:
    live = bookings.c.state.in_([State.PENDING, State.CONFIRMED])
    with engine.connect() as connection:
        return connection.execute(sa.select(bookings.c.project).where(live).distinct()).scalars().all()


def _of_project(
    engine: sa.Engine, clock: Clock, project: str, known: Mapping[str, _Lease], asked_at: datetime
) -> Reconciled:
    now = clock.now()
    confirmed = ended = given_up = 0
    with write(engine) as connection:
        purses = read_purses(connection, now, project, lock=True)
        live = bookings.c.state.in_([State.PENDING, State.CONFIRMED])
        chosen = sa.select(bookings).where(bookings.c.project == project, live).order_by(bookings.c.id)
        rows = connection.execute(chosen).mappings().all()
        heard = connection.execute(sa.select(bookings.c.lease).where(bookings.c.lease.is_not(None)))
        free = {number: lease for number, lease in known.items() if number not in set(heard.scalars())}
        for row in rows:
            lease = known.get(row["lease"]) if row["lease"] is not None else _match(row, free)
            settled = row["changed"] < asked_at - GRACE
            if lease is None:
                if not settled:
                    continue
                if row["state"] == State.PENDING:
                    _set(connection, row["id"], State.GIVEN_UP, now)
                    given_up += 1
                else:
                    # deleted unheard: nobody knows when, but it was before the list was made
                    settle(
                        connection, row, purses, _as_asked(row, row["lease"], min(row["end"], asked_at)), now
                    )
                    ended += 1
                continue
            free.pop(lease.id, None)
            if row["state"] == State.PENDING:
                _set(connection, row["id"], State.CONFIRMED, now, lease.id)
                confirmed += 1
            if lease.over:
                settle(connection, row, purses, _as_asked(row, lease.id, lease.end), now)
                ended += 1
            elif settled and lease.end < row["end"]:
                # an update that was allowed, and failed: paid for as long as the lease is
                settle(connection, row, purses, _as_asked(row, lease.id, lease.end), lease.end)
                _set(connection, row["id"], State.CONFIRMED, now, lease.id)
    return Reconciled(confirmed, ended, given_up)


def _match(row: Mapping[Any, Any], free: Mapping[str, _Lease]) -> _Lease | None:
    """The lease that a pending booking became, by what was asked for: the first made of several alike."""
    alike = [
        lease
        for lease in free.values()
        if (lease.project, lease.name[:255], lease.start) == (row["project"], row["name"], row["start"])
        and (lease.end == row["end"] or (lease.over and lease.end <= row["end"]))
    ]
    return min(alike, key=lambda lease: (lease.created is None, lease.created or lease.start), default=None)


def _as_asked(row: Mapping[Any, Any], lease: str, end: datetime) -> Asked:
    end = max(end, row["start"])
    return Asked(row["project"], row["name"], row["start"], end, row["amounts"], Need({}), "lease", lease)


def _set(
    connection: sa.Connection, booking: int, state: State, now: datetime, lease: str | None = None
) -> None:
    values: dict[str, Any] = {"state": state, "changed": now}
    if lease is not None:
        values["lease"] = lease
    connection.execute(bookings.update().where(bookings.c.id == booking).values(**values))


def _read(document: Mapping[str, Any]) -> _Lease | None:
    try:
        return _Lease(
            id=str(document["id"]),
            project=str(document["project_id"]),
            name=str(document["name"]),
            start=read_instant(document, "start_date"),
            end=read_instant(document, "end_date"),
            created=read_instant(document, "created_at") if document.get("created_at") else None,
            over=document.get("status") in _OVER,
        )
    except (KeyError, BodyError) as error:
        _log.warning("a lease of the cloud's list can't be read: %s", error)
        return None
