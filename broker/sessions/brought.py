"""What replication rules took, beside what moving alone was forecast to take: so long their queues are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from broker.tables import brought

# rules that ended before say nothing of today's queues
KEPT = timedelta(days=90)
# of each storage, the newest
MOST = 50


@dataclass(frozen=True)
class Brought:
    """A rule that is done. `seconds` from its beginning to its end; `forecast_seconds` of moving (50 %)."""

    session: str
    item: str
    site_id: str
    rse: str
    size_bytes: int
    seconds: float
    forecast_seconds: float


def record(connection: Connection, rule: Brought, now: datetime) -> bool:
    """Keep it, and forget old ones. False where it was kept before."""
    known = select(brought.c.item).where(brought.c.session == rule.session, brought.c.item == rule.item)
    if connection.execute(known).one_or_none() is not None:
        return False
    connection.execute(delete(brought).where(brought.c.ended < now - KEPT))
    connection.execute(
        insert(brought).values(
            session=rule.session,
            item=rule.item,
            site=rule.site_id,
            rse=rule.rse,
            ended=now,
            size_bytes=rule.size_bytes,
            seconds=rule.seconds,
            forecast_seconds=rule.forecast_seconds,
        )
    )
    return True


def delays(connection: Connection, now: datetime) -> Mapping[tuple[str, str], list[float]]:
    """Seconds that rules took besides moving, by site and storage, the newest first."""
    query = select(brought).where(brought.c.ended >= now - KEPT).order_by(brought.c.ended.desc())
    found: dict[tuple[str, str], list[float]] = {}
    for row in connection.execute(query):
        some = found.setdefault((row.site, row.rse), [])
        if len(some) < MOST:
            some.append(max(row.seconds - row.forecast_seconds, 0.0))
    return found
