"""Where a session's reservation at its site's cloud stands, in the database.

`write` functions need a connection of the caller's transaction, which has locked the session. What was asked
for and not answered for sure is ASKED: the cloud may have it, under the session's uuid as our reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, update

from broker.tables import cloud_leases
from reservations.leases import Lease

_lease: TypeAdapter[Lease] = TypeAdapter(Lease)


class Standing(StrEnum):
    WANTED = "wanted"  # the cloud was not asked yet
    ASKED = "asked"
    MADE = "made"
    GONE = "gone"


@dataclass(frozen=True)
class CloudLease:
    """`lease` is what the cloud said last, None before it said anything. `moves`: other windows so far."""

    state: Standing
    asked: datetime | None
    lease: Lease | None
    moves: int


def want(connection: Connection, session: str) -> None:
    """The session is to get a reservation."""
    connection.execute(insert(cloud_leases).values(session=session, state=Standing.WANTED.value, moves=0))


def read(connection: Connection, session: str) -> CloudLease | None:
    """None: the session needs none."""
    row = connection.execute(select(cloud_leases).where(cloud_leases.c.session == session)).one_or_none()
    if row is None:
        return None
    lease = None if row.lease is None else _lease.validate_python(row.lease)
    return CloudLease(Standing(row.state), row.asked, lease, row.moves)


def asking(connection: Connection, session: str, now: datetime) -> None:
    """The cloud is about to be asked."""
    _write(connection, session, state=Standing.ASKED.value, asked=now)


def made(connection: Connection, session: str, lease: Lease) -> None:
    """The cloud has it, and says this of it."""
    _write(connection, session, state=Standing.MADE.value, lease=_lease.dump_python(lease, mode="json"))


def refused(connection: Connection, session: str) -> None:
    """The cloud has said no, and so has nothing."""
    _write(connection, session, state=Standing.WANTED.value)


def look_again(connection: Connection, ended: Sequence[str]) -> None:
    """Look for it once more, for sessions that have ended: somebody may have asked for it since."""
    rows = update(cloud_leases).where(cloud_leases.c.session.in_(ended))
    connection.execute(rows.values(state=Standing.ASKED.value))


def want_again(connection: Connection, session: str, moves: int) -> None:
    """The cloud has none, and is to be asked for another window."""
    _write(connection, session, state=Standing.WANTED.value, lease=None, moves=moves)


def gone(connection: Connection, session: str) -> None:
    """The cloud has none any more."""
    _write(connection, session, state=Standing.GONE.value)


def _write(connection: Connection, session: str, **values: object) -> None:
    connection.execute(update(cloud_leases).where(cloud_leases.c.session == session).values(**values))
