"""Our own record of how much of the clouds is taken, an hour at a time: sources forget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from federation.database import write
from federation.errors import FairleadError, one_line
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar, Sight
from reservations.counted import counted
from reservations.credits import Account
from reservations.free import total_free_steps
from reservations.history.tables import purses, use
from reservations.occupancy import amounts_of, hour_of, size

_log = logging.getLogger(__name__)
# machines, as a class beside those of the calendar: one is taken where anything is booked on it
HOSTS = "HOSTS"
CLASSES = (VCPU, MEMORY_MB, PGPU, HOSTS)
# what is older is forgotten
KEPT = timedelta(days=2 * 366)


@dataclass(frozen=True)
class Sample:
    """What of one class was taken in an hour, as it was first seen in it."""

    site: str
    source: str
    kind: str
    hour: datetime
    resource: str
    total: int
    taken: int
    ours: int
    sight: Sight


@dataclass(frozen=True)
class Remaining:
    """What was left in a purse in an hour."""

    site: str
    purse: str
    hour: datetime
    remaining: float


def samples(calendar: Calendar, now: datetime) -> list[Sample]:
    """What is taken at `now`, in each class that the calendar has; nothing of one that shows no hosts, or no
    bookings, for what is hidden is not free."""
    return list(_samples(calendar, now))


def record(engine: sa.Engine, found: Iterable[Sample], now: datetime) -> None:
    """Write it down, unless its hour has it already, and forget what is older than KEPT. May be called by
    several processes at once."""
    with write(engine) as connection:
        _add(connection, use, [vars(sample) for sample in found])
        connection.execute(use.delete().where(use.c.hour < now - KEPT))


def keeping(opened: Callable[[], sa.Engine]) -> Callable[[Sequence[Calendar], datetime], None]:
    """For `Snapshots`: records what it is handed, and where that is a cloud in parts, the whole.

    The database is opened, once, when there is something to record; where that can't be done, it is logged,
    and no answer fails for it.
    """
    engines: list[sa.Engine] = []
    turn = Lock()

    def keep(calendars: Sequence[Calendar], now: datetime) -> None:
        whole = counted(calendars)
        more = [] if whole is None or any(one.kind == whole.kind for one in calendars) else [whole]
        found = [sample for calendar in (*calendars, *more) for sample in samples(calendar, now)]
        try:
            with turn:
                if found and not engines:
                    engines.append(opened())
            if found:
                record(engines[0], found, now)
        except (FairleadError, sa.exc.SQLAlchemyError) as error:
            _log.warning("how much of the clouds is taken could not be recorded: %s", one_line(error)[:300])

    return keep


def record_purses(engine: sa.Engine, site: str, accounts: Iterable[Account], now: datetime) -> None:
    """Likewise what is left in a site's purses."""
    left = {account.name: account.left for account in accounts}
    rows = [vars(Remaining(site, name, hour_of(now), units)) for name, units in left.items()]
    with write(engine) as connection:
        _add(connection, purses, rows)
        connection.execute(purses.delete().where(purses.c.hour < now - KEPT))


def recorded(engine: sa.Engine, since: datetime, until: datetime) -> list[Sample]:
    """What was written down of [since, until), by site, source, kind and hour."""
    wanted = sa.select(use).where(use.c.hour >= since, use.c.hour < until)
    with engine.connect() as connection:
        rows = connection.execute(wanted.order_by(*use.primary_key.columns))
        return [Sample(**{**row, "sight": Sight(row["sight"])}) for row in rows.mappings()]


def recorded_purses(engine: sa.Engine, since: datetime, until: datetime) -> list[Remaining]:
    """What was left in purses, in order of time."""
    wanted = sa.select(purses).where(purses.c.hour >= since, purses.c.hour < until)
    with engine.connect() as connection:
        return [Remaining(**row) for row in connection.execute(wanted.order_by(purses.c.hour)).mappings()]


def _add(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Those that aren't there yet."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    if rows:
        connection.execute(insert(table).on_conflict_do_nothing(), list(rows))


def _samples(calendar: Calendar, now: datetime) -> Iterator[Sample]:
    total = size(calendar)
    if calendar.sight is Sight.NONE or not total:
        return
    free = total_free_steps(calendar, now, now + timedelta(minutes=1))[0]
    hosts = {host.id: host.amounts for host in calendar.hosts if host.bookable}
    own = [
        each
        for each in calendar.taken
        if each.ours is not None and each.start <= now and (each.end is None or each.end > now)
    ]
    for name in CLASSES:
        if name == HOSTS:
            have, left = len(hosts), free.hosts
            ours = len({each.host for each in own} & set(hosts))
        else:
            have, left = total.get(name, 0), free.amounts.get(name, 0)
            ours = sum(amounts_of(each, hosts).get(name, 0) for each in own)
        if have:
            yield Sample(
                calendar.site,
                calendar.source,
                calendar.kind,
                hour_of(now),
                name,
                have,
                have - left,
                ours,
                calendar.sight,
            )
