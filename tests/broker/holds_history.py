"""Everything that was ever promised at the sites, in order, and whether it was too much at any instant.

Triggers of the database write the history, so that nothing passes unseen, whoever changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, delete, select

from broker.tables import holds
from federation.database import UtcDateTime
from reservations.capacity import Capacity

_metadata = MetaData()
_KEPT = ("session", "site", "storage_start", "start", "end", "cores", "memory_gib", "storage_gib", "expires")
history = Table(
    "holds_history",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", UtcDateTime, nullable=False),
    Column("freed", Integer, nullable=False),
    *(Column(name, holds.c[name].type) for name in _KEPT if name != "session"),
    Column("session", String(36), nullable=False),
)


def record(engine: Engine) -> None:
    """Keep the history from now on."""
    _metadata.create_all(engine)
    names = ", ".join(f'"{name}"' for name in _KEPT)
    old, new = (", ".join(f'{row}."{name}"' for name in _KEPT) for row in ("OLD", "NEW"))
    put = f"INSERT INTO holds_history (time, freed, {names}) VALUES"
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
            for deed, freed, row in (("INSERT", 0, new), ("UPDATE", 0, new), ("DELETE", 1, old)):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER holds_{deed} AFTER {deed} ON holds"
                    f" BEGIN {put} ({now}, {freed}, {row}); END"
                )
            return
        connection.exec_driver_sql(
            "CREATE FUNCTION holds_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF TG_OP = 'DELETE' THEN {put} (clock_timestamp(), 1, {old});"
            f" ELSE {put} (clock_timestamp(), 0, {new}); END IF; RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER holds_changed AFTER INSERT OR UPDATE OR DELETE ON holds"
            " FOR EACH ROW EXECUTE FUNCTION holds_changed()"
        )


def forget(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(history))


def oversold(engine: Engine, pools: Mapping[str, Capacity], now: datetime | None = None) -> list[str]:
    """Every promise that was one too many: at its time, what was promised before left no room for it.

    `now`: when all of it happened, where the clock was not the database's.
    """
    with engine.connect() as connection:
        rows = connection.execute(select(history).order_by(history.c.id)).all()
    promised: dict[str, dict[str, tuple[datetime, datetime, datetime, int, int, int, datetime | None]]] = {}
    found = []
    for row in rows:
        site = promised.setdefault(row.site, {})
        site.pop(row.session, None)
        if row.freed:
            continue
        site[row.session] = mine = tuple(row._mapping[name] for name in _KEPT[2:])
        at = now or row.time
        live = [each for each in site.values() if each[6] is None or each[6] > at or each is mine]
        for instant in {each[1] for each in live} | {each[0] for each in live}:
            if not mine[0] <= instant < mine[2] or instant < min(at, mine[1]):
                continue
            computing = [each for each in live if each[1] <= instant < each[2]]
            storing = [each for each in live if each[0] <= instant < each[2]]
            sums = (
                sum(each[3] for each in computing),
                sum(each[4] for each in computing),
                sum(each[5] for each in storing),
            )
            pool = pools[row.site]
            if sums[0] > pool.cores or sums[1] > pool.memory_gib or sums[2] > pool.storage_gib:
                found.append(f"{row.site} at {instant} by {row.session} ({row.time}): {sums} of {pool}")
    return found
