"""Removes what has been over for long: sessions, offer sets, and who did what."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, or_, select, update

from broker.tables import audit, forgotten, offersets, sessions
from federation.database import write

# rows in one transaction: others want to write, too
BATCH = 100


def remove_old(engine: Engine, now: datetime, lifetime: timedelta) -> int:
    """Remove offer sets that were over `lifetime` ago, with all their sessions. Returns how many. Until when
    there may be gaps since is written down (`broker.tables.forgotten`).

    A set is over when each of its sessions has ended and its platform holds nothing for any of them. May run
    in several processes at once.
    """
    before, removed = now - lifetime, 0
    while count := _remove_batch(engine, before):
        removed += count
    while _remove_audit(engine, before):
        pass
    return removed


def _remove_batch(engine: Engine, before: datetime) -> int:
    needed = or_(sessions.c.ended.is_(None), sessions.c.ended > before, sessions.c.occupies_platform)
    live = select(sessions.c.uuid).where(sessions.c.offerset == offersets.c.uuid, needed)
    old = select(offersets.c.uuid, offersets.c.created).where(offersets.c.created <= before, ~live.exists())
    locked = old.order_by(offersets.c.created).limit(BATCH).with_for_update(skip_locked=True)
    with write(engine) as connection:
        found = connection.execute(locked).all()
        if found:
            uuids = [row.uuid for row in found]
            connection.execute(delete(offersets).where(offersets.c.uuid.in_(uuids)))
            newest = max(row.created for row in found)
            earlier = or_(forgotten.c.created.is_(None), forgotten.c.created < newest)
            connection.execute(update(forgotten).where(earlier).values(created=newest))
    return len(found)


def _remove_audit(engine: Engine, before: datetime) -> int:
    old = select(audit.c.id).where(audit.c.time <= before).order_by(audit.c.id).limit(BATCH * 10)
    with write(engine) as connection:
        return connection.execute(delete(audit).where(audit.c.id.in_(old))).rowcount
