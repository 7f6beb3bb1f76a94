"""The tables of the measuring wing."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

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
    Index("measurements_by_path", "kind", "source", "destination", "started"),
    Index("measurements_by_destination", "kind", "destination", "started"),
    Index("measurements_by_time", "kind", "started"),
    Index("measurements_by_archive", "archive", "started"),
)
