"""The purses of the ledger: granting credits, what is left, and how large flavours are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from federation.database import write
from federation.errors import InputError
from reservations.calendar import Amounts
from reservations.credits import Account
from reservations.enforcement.tables import MICRO, bookings, charges, flavours, purses

MOST = 10**12  # of one purse: within what the database counts in millionths


class State(StrEnum):
    """Where a booking is. What is given up, or pending beyond its expiry, takes nothing from its purses."""

    PENDING = "pending"  # allowed; nothing was heard of the lease since
    CONFIRMED = "confirmed"  # the lease is there
    ENDED = "ended"  # paid for as long as it was there
    GIVEN_UP = "given up"  # it never became a lease


@dataclass(frozen=True)
class Purse:
    """One purse and its id. `account.left` may be below zero where more was used than was allowed."""

    id: int
    project: str
    account: Account


def grant(
    engine: sa.Engine,
    now: datetime,
    project: str,
    name: str,
    units: float,
    unit: str,
    per_hour: Mapping[str, float],
    start: datetime | None = None,
    end: datetime | None = None,
    refuses_unnamed: bool = False,
) -> None:
    """A new purse. Raises InputError where the project has one of that name, or a figure makes no sense."""
    if not 0 <= units <= MOST:
        raise InputError(f"credits: expected from 0 to {MOST}, got {units:g}")
    if not per_hour or any(not 0 <= price <= MOST for price in per_hour.values()):
        raise InputError("prices: expected a price of at least 0 for one class at least, as in VCPU=1")
    if start is not None and end is not None and end <= start:
        raise InputError(f"expected an end after the start {start.isoformat()}, got {end.isoformat()}")
    for what, text, most in (("project", project, 64), ("name", name, 128), ("unit", unit, 32)):
        if not 0 < len(text) <= most:
            raise InputError(f"{what}: expected a text of 1 to {most} characters, got {text!r}")
    try:
        with write(engine) as connection:
            connection.execute(
                purses.insert().values(
                    project=project,
                    name=name,
                    unit=unit,
                    granted=round(units * MICRO),
                    per_hour=dict(per_hour),
                    refuses_unnamed=refuses_unnamed,
                    start=start,
                    end=end,
                    created=now,
                )
            )
    except IntegrityError:
        raise InputError(
            f"project {project} has a purse {name!r} already: add to it, or choose another name"
        ) from None


def add(engine: sa.Engine, project: str, name: str, units: float) -> None:
    """More credits (or fewer: `units` below 0) in a purse. Raises InputError where there is none."""
    wanted = (purses.c.project == project) & (purses.c.name == name)
    with write(engine) as connection:
        granted = connection.execute(sa.select(purses.c.granted).where(wanted).with_for_update()).scalar()
        if granted is None:
            raise InputError(f"project {project} has no purse {name!r}")
        if not 0 <= granted + round(units * MICRO) <= MOST * MICRO:
            raise InputError(f"credits: expected from 0 to {MOST} in all, got {granted / MICRO + units:g}")
        connection.execute(purses.update().where(wanted).values(granted=granted + round(units * MICRO)))


def read_purses(
    connection: sa.Connection, now: datetime, project: str | None = None, lock: bool = False
) -> Sequence[Purse]:
    """The purses of a project, or of all. With `lock` nobody else decides about them in this transaction."""
    chosen = sa.select(purses).order_by(purses.c.project, purses.c.id)
    if project is not None:
        chosen = chosen.where(purses.c.project == project)
    rows = connection.execute(chosen.with_for_update() if lock else chosen).mappings().all()
    counts = (bookings.c.state != State.GIVEN_UP) & (
        (bookings.c.state != State.PENDING) | (bookings.c.expires > now)
    )
    summed = (
        sa.select(charges.c.purse, sa.func.sum(charges.c.amount))
        .join(bookings, bookings.c.id == charges.c.booking)
        .where(counts)
        .group_by(charges.c.purse)
    )
    if project is not None:
        summed = summed.where(bookings.c.project == project)
    spent = {number: int(total) for number, total in connection.execute(summed)}
    return [Purse(row["id"], row["project"], _account(row, spent.get(row["id"], 0), now)) for row in rows]


def _account(row: Mapping[Any, Any], spent: int, now: datetime) -> Account:
    return Account(
        name=row["name"],
        unit=row["unit"],
        left=(row["granted"] - spent) / MICRO,
        granted=row["granted"] / MICRO,
        per_hour=row["per_hour"],
        known_at=now,
        start=row["start"],
        end=row["end"],
        refuses_unnamed=row["refuses_unnamed"],
    )


def set_flavour(engine: sa.Engine, flavour: str, amounts: Amounts) -> None:
    """Say how large a flavour is; said again, the new size holds from then on."""
    if not 0 < len(flavour) <= 255 or any(amount < 0 for amount in amounts.values()):
        raise InputError(f"flavour: expected an id and amounts of at least 0, got {flavour!r}, {amounts}")
    with write(engine) as connection:
        connection.execute(flavours.delete().where(flavours.c.id == flavour))
        connection.execute(flavours.insert().values(id=flavour, amounts=dict(amounts)))


def flavour_size(engine: sa.Engine, flavour: str) -> Amounts | None:
    """What was said of a flavour, None where nothing was."""
    with engine.connect() as connection:
        return connection.execute(sa.select(flavours.c.amounts).where(flavours.c.id == flavour)).scalar()
