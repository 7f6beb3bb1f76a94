"""An archive of any number of rows, made by the database itself: quicker than any client could send them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select, text

from federation.database import write
from netprobe.tables import measurements

SITES = 20
KINDS = ("throughput", "latency", "latency", "loss")
START = datetime(2020, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=10)
_PART = 500_000
_PATHS = SITES * (SITES - 1)
_COLUMNS = (
    "id, kind, source, destination, started, seconds, tool, origin, figures, parameters, error, archive"
)
_PARAMETERS = r'{"streams"\:1,"ip_version"\:4,"duration_seconds"\:10.0,"rate"\:"received"}'
# as `benchmarks.archive.made` has them: the row's number says path, kind and time
_SOURCE = f"(i % {_PATHS}) / {SITES - 1}"
_OTHER = f"(i % {_PATHS}) % {SITES - 1}"
_DESTINATION = f"{_OTHER} + CASE WHEN {_OTHER} >= {_SOURCE} THEN 1 ELSE 0 END"
_KIND = f"CASE (i / {_PATHS}) % 4 WHEN 0 THEN 'throughput' WHEN 3 THEN 'loss' ELSE 'latency' END"
_SQLITE = rf"""
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)
INSERT INTO measurements ({_COLUMNS})
SELECT lower(hex(randomblob(16))), {_KIND},
    printf('site-%02d', {_SOURCE}), printf('site-%02d', {_DESTINATION}),
    strftime('%Y-%m-%d %H\:%M\:%S', 1577836800 + 10 * i, 'unixepoch') || '.000000', 10.0, 'ping', 'perfsonar',
    CASE WHEN i % 20 = 7 THEN '{{}}' ELSE
        printf('{{"bits_per_second"\:%d.5,"rtt_seconds"\:0.%07d,"retransmits"\:%d.0}}',
            abs(random() % 10000000000), abs(random() % 3000000), abs(random() % 1000)) END,
    '{_PARAMETERS}', CASE WHEN i % 20 = 7 THEN 'destination: connection refused' END, 'mesh'
FROM n
"""
_POSTGRESQL = rf"""
INSERT INTO measurements ({_COLUMNS})
SELECT replace(CAST(gen_random_uuid() AS text), '-', ''), {_KIND},
    'site-' || lpad(CAST({_SOURCE} AS text), 2, '0'),
    'site-' || lpad(CAST({_DESTINATION} AS text), 2, '0'),
    to_timestamp(1577836800 + 10 * i), 10.0, 'ping', 'perfsonar',
    CASE WHEN i % 20 = 7 THEN json_build_object() ELSE json_build_object('bits_per_second', random() * 1e10,
        'rtt_seconds', random() * 0.3, 'retransmits', floor(random() * 1000)) END,
    '{_PARAMETERS}', CASE WHEN i % 20 = 7 THEN 'destination: connection refused' END, 'mesh'
FROM generate_series(CAST(:first AS bigint), CAST(:end AS bigint) - 1) AS n(i)
"""


def started(number: int) -> datetime:
    """When row `number` was measured."""
    return START + number * STEP


def filled(engine: Engine, rows: int) -> None:
    """Fill the archive up to `rows`, unless there are as many. The indexes are made afterwards."""
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        present = connection.execute(select(func.max(measurements.c.number))).scalar() or 0
    if present >= rows:
        return
    with write(engine) as connection:
        if sqlite:
            # so that the ids, which come in no order, find their places in memory
            connection.exec_driver_sql("PRAGMA cache_size = -1500000")
        for index in measurements.indexes:
            index.drop(connection)
    for first in range(present, rows, _PART):
        with write(engine) as connection:
            statement = text(_SQLITE if sqlite else _POSTGRESQL)
            connection.execute(statement, {"first": first, "end": min(first + _PART, rows)})
    with write(engine) as connection:
        for index in measurements.indexes:
            index.create(connection)
    # as a database is that has had its time: statistics there, the log copied
    settle = "PRAGMA wal_checkpoint(TRUNCATE)" if sqlite else "VACUUM ANALYZE measurements"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(settle)
    engine.dispose()
