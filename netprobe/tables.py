"""The tables of the measuring wing."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, null

from federation.database import UtcDateTime

metadata = MetaData()

measurements = Table(
    "measurements",
    metadata,
    # Counts up with every row: tells a reader cheaply whether there is anything new.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("source", String(64), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("started", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("tool", String(64), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("figures", JSON, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("source_address", String(255)),
    Column("destination_address", String(255)),
    Column("error", Text),
    Column("context", JSON(none_as_null=True)),
    Column("archive", String(255)),
    Column("raw", JSON(none_as_null=True)),
    # with what `fairlead archive info` counts
    Index("measurements_by_archive", "archive", "started", "kind", "origin"),
)
# Every row is in one of these two: so many failures don't stand before the newest success of a path. The
# number breaks ties: rows come out of an index in the order in which they are wanted.
for _name, _condition in (
    ("measurements_succeeded", measurements.c.error.is_(None)),
    ("measurements_failed", measurements.c.error.is_not(None)),
):
    Index(
        _name,
        *(measurements.c[name] for name in ("kind", "source", "destination", "started", "number")),
        sqlite_where=_condition,
        postgresql_where=_condition,
    )
Index(
    "measurements_with_raw",
    measurements.c.started,
    sqlite_where=measurements.c.raw.is_not(null()),
    postgresql_where=measurements.c.raw.is_not(null()),
)

# How far each mesh has been read, by what `Access.archive` calls it.
mesh_pulls = Table(
    "mesh_pulls",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("archive", String(255), primary_key=True),
    # whatever started before this has been seen
    Column("through", UtcDateTime, nullable=False),
)

# Runs of plans; what a run has done is seen by the ids of its results.
plan_runs = Table(
    "plan_runs",
    metadata,
    Column("id", String(64), primary_key=True),
    # `Plan.key`
    Column("plan", String(64), nullable=False),
    Column("started", UtcDateTime, nullable=False),
    # NULL: not all of it was done
    Column("finished", UtcDateTime),
    Index("plan_runs_by_plan", "plan", "started"),
)
