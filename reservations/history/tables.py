"""The tables of our own record of the clouds' use."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, MetaData, String, Table

from federation.database import UtcDateTime

metadata = MetaData()

# What of one class (`reservations.history.record.CLASSES`) a calendar had, and how much of it was taken, when
# it was first read in that hour.
use = Table(
    "space_use",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("kind", String(128), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("taken", BigInteger, nullable=False),
    # by bookings that we made ourselves
    Column("ours", BigInteger, nullable=False),
    # how much of what is taken the reader could see: see `reservations.calendar.Sight`
    Column("sight", String(8), nullable=False),
    Index("space_use_hour", "hour"),
)

# What was left in a purse, when it was first read in that hour.
purses = Table(
    "space_purses",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("purse", String(255), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("remaining", Float, nullable=False),
    Index("space_purses_hour", "hour"),
)
