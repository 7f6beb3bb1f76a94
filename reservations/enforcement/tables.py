"""The tables of the credit ledger. Sums are whole numbers of millionths of a purse's unit."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from federation.database import UtcDateTime

MICRO = 1_000_000
metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")

purses = Table(
    "credit_purses",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("project", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("unit", String(32), nullable=False),
    Column("granted", BigInteger, nullable=False),
    # by resource class: what one unit costs for an hour
    Column("per_hour", JSON, nullable=False),
    Column("refuses_unnamed", Boolean, nullable=False),
    # bookings are made within [start, end)
    Column("start", UtcDateTime),
    Column("end", UtcDateTime),
    Column("created", UtcDateTime, nullable=False),
    UniqueConstraint("project", "name", name="credit_purses_project_name"),
)

# A lease that was allowed. `start`, `end` and `amounts` are what was paid for.
bookings = Table(
    "credit_bookings",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("project", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    # Blazar's id, once it was heard
    Column("lease", String(64), unique=True),
    Column("start", UtcDateTime, nullable=False),
    Column("end", UtcDateTime, nullable=False),
    Column("amounts", JSON, nullable=False),
    # see `reservations.enforcement.ledger.State`
    Column("state", String(16), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("changed", UtcDateTime, nullable=False),
    # a booking that is still pending then is given up
    Column("expires", UtcDateTime, nullable=False),
    Index("credit_bookings_project_state", "project", "state"),
)

charges = Table(
    "credit_charges",
    metadata,
    Column("booking", _Number, ForeignKey("credit_bookings.id", ondelete="CASCADE"), primary_key=True),
    Column("purse", _Number, ForeignKey("credit_purses.id", ondelete="CASCADE"), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Index("credit_charges_purse", "purse"),
)

# What a flavour takes, by its id: Blazar names no sizes when it asks for one.
flavours = Table(
    "credit_flavours",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("amounts", JSON, nullable=False),
)
