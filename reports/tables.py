"""The pages' tables: who is signed in."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, MetaData, String, Table

from federation.database import UtcDateTime

metadata = MetaData()

# What each cookie stands for. `authorization` is encrypted with a key that only the cookie has.
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("until", UtcDateTime, nullable=False),
    Column("authorization", LargeBinary, nullable=False),
    Index("sign_ins_until", "until"),
)
