"""Many measurements into the database at the speed of the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from netprobe.archive_rows import COLUMNS, row
from netprobe.measurement import Measurement

# From here on PostgreSQL's COPY is worth a temporary table.
_COPY_FROM = 200
_NAMES = ", ".join(COLUMNS)
_SQLITE = (
    f"INSERT INTO measurements ({_NAMES}) VALUES ({', '.join('?' for _ in COLUMNS)}) "
    "ON CONFLICT (id) DO NOTHING"
)
_POSTGRESQL = (
    f"INSERT INTO measurements ({_NAMES}) VALUES ({', '.join('%s' for _ in COLUMNS)}) "
    "ON CONFLICT (id) DO NOTHING"
)
_TEMPORARY = (
    f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {_NAMES} FROM measurements WITH NO DATA"
)
_COPY = f"COPY incoming ({_NAMES}) FROM STDIN"
_FROM_TEMPORARY = (
    f"INSERT INTO measurements ({_NAMES}) SELECT {_NAMES} FROM incoming ON CONFLICT (id) DO NOTHING"
)


# Any number that nobody else locks in the same database; "archive" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"archive", "big")
_ONE_AFTER_THE_OTHER = f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"


def insert(connection: Connection, found: Sequence[Measurement]) -> int:
    """Insert in the caller's transaction; the number of new ones. An id that is known is left as it is.

    Who inserts waits until others that do have ended, so that rows are seen in the order of their numbers:
    a reader that knows number 7 misses no number 6 that is committed after it.
    """
    if not found:
        return 0
    instant = instant_for(connection.dialect.name)
    rows = [row(one, instant) for one in found]
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        before = driver.total_changes
        connection.exec_driver_sql(_SQLITE, rows)
        return int(driver.total_changes - before)
    connection.exec_driver_sql(_ONE_AFTER_THE_OTHER)
    if len(found) < _COPY_FROM:
        return int(connection.exec_driver_sql(_POSTGRESQL, rows).rowcount)
    return _copied(connection, rows)


def _copied(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """PostgreSQL's COPY knows no conflicts: so into a table of this transaction's own, and on from there."""
    connection.exec_driver_sql(_TEMPORARY)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        with cursor.copy(_COPY) as copy:
            for values in rows:
                copy.write_row(values)
        cursor.execute(_FROM_TEMPORARY)
        added = int(cursor.rowcount)
        cursor.execute("DROP TABLE incoming")
    return added


def instant_for(dialect: str) -> Callable[[datetime], Any]:
    """How the driver wants an instant in UTC, as `federation.database.UtcDateTime` keeps it: text of fixed
    width without an offset in SQLite."""
    return _sqlite_instant if dialect == "sqlite" else _as_it_is


def _sqlite_instant(instant: datetime) -> str:
    return instant.isoformat(" ", "microseconds")[:26]


def _as_it_is(instant: datetime) -> datetime:
    return instant
