"""Who may reserve what: decided, and written down, in one transaction for each question.

Blazar asks before it makes a lease and tells neither its id nor whether it was made. What was allowed is
*pending* and paid for until something is heard of it: an update or the end (which carry the id), or the
cloud's own list of leases (`reservations.enforcement.reconcile`). What is never heard of is given up some
time after it would have ended. Two equal questions are two leases, as they are for Blazar.

An update may fail after it was allowed, too, so that a shorter lease gets its credits back when it ends: what
it really was is told then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from federation.clock import Clock
from federation.database import write
from reservations.afford import (
    Charge,
    affordable,
    amount,
    charges,
    in_words,
    left_in_words,
    longest,
    payable,
    spoken,
)
from reservations.calendar import Amounts, Need
from reservations.credits import Account
from reservations.enforcement import tables
from reservations.enforcement.bodies import Asked
from reservations.enforcement.purses import Purse, State, read_purses

# after a lease's end, how long it may take until its end is told
PATIENCE = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


class DeniedError(Exception):
    """The credits don't suffice; the text is for the user."""


@dataclass(frozen=True)
class Booking:
    """One lease in the ledger; `paid` by the names of purses."""

    id: int
    project: str
    name: str
    lease: str | None
    start: datetime
    end: datetime
    amounts: Amounts
    state: State
    created: datetime
    changed: datetime
    paid: Mapping[str, float]


class Ledger:
    """The ledger in one database. Any number of processes and threads may use it at a time."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def accounts(self, project: str) -> Sequence[Account]:
        """A project's purses, whether they are valid now or not."""
        with self._engine.connect() as connection:
            return [purse.account for purse in read_purses(connection, self._clock.now(), project)]

    def check_create(self, asked: Asked) -> int:
        """Pay for a lease that is asked for; the booking's id. Raises DeniedError: nothing was paid then."""
        now = self._clock.now()
        with write(self._engine) as connection:
            purses = read_purses(connection, now, asked.project, lock=True)
            accounts = [purse.account for purse in purses]
            duration = asked.end - asked.start
            if not affordable(accounts, asked.need, duration, now, asked.amounts):
                said = in_words(accounts, asked.need, duration, now, asked.noun, asked.amounts)
                raise DeniedError(f"lease {asked.name!r} is refused: {said}")
            booking = self._insert(connection, asked, State.PENDING, now)
            due = charges(accounts, asked.need, duration, now, asked.amounts)
            _pay(connection, booking, purses, due, {})
        return booking

    def check_update(self, current: Asked, wanted: Asked) -> None:
        """Pay for what a lease would take more than was paid for. Raises DeniedError."""
        now = self._clock.now()
        with write(self._engine) as connection:
            purses = read_purses(connection, now, current.project, lock=True)
            accounts = [purse.account for purse in purses]
            found = _find(connection, current)
            number = self._insert(connection, current, State.CONFIRMED, now) if found is None else found["id"]
            paid = (found["amounts"], found["start"], found["end"]) if found else _taken(current)
            before = charges(accounts, wanted.need, paid[2] - paid[1], now, paid[0])
            after = charges(accounts, wanted.need, wanted.end - wanted.start, now, wanted.amounts)
            more = _more(before, after)
            grows = _grows(paid, wanted)
            short = next(
                (each for each in more if grows and not each.enough and (each.refused or each.cost > 0)), None
            )
            if short is not None or (grows and not payable(accounts, wanted.need, now, wanted.amounts)):
                raise DeniedError(_denied_update(accounts, short, wanted, now))
            values: dict[str, Any] = {"lease": current.lease, "changed": now}
            if grows:
                values |= {"start": wanted.start, "end": wanted.end, "amounts": dict(wanted.amounts)}
                values["expires"] = wanted.end + PATIENCE
            _change(connection, number, State.CONFIRMED, values)
            _pay(connection, number, purses, more, _paid(connection, number))

    def on_end(self, ended: Asked) -> None:
        """A lease is over: what wasn't used of it is paid back. Unknown or told before: nothing changes."""
        now = self._clock.now()
        with write(self._engine) as connection:
            purses = read_purses(connection, now, ended.project, lock=True)
            found = _find(connection, ended)
            if found is not None and found["state"] != State.ENDED:
                settle(connection, found, purses, ended, now)

    def bookings(self, project: str | None = None, over: bool = False) -> Sequence[Booking]:
        """What is booked, the newest last; with `over` also what ended or was given up."""
        table = tables.bookings
        chosen = sa.select(table).order_by(table.c.id)
        if project is not None:
            chosen = chosen.where(table.c.project == project)
        if not over:
            chosen = chosen.where(table.c.state.in_([State.PENDING, State.CONFIRMED]))
        paid = sa.select(tables.charges.c.booking, tables.purses.c.name, tables.charges.c.amount).join(
            tables.purses, tables.purses.c.id == tables.charges.c.purse
        )
        with self._engine.connect() as connection:
            rows = connection.execute(chosen).mappings().all()
            sums: dict[int, dict[str, float]] = {}
            for number, name, units in connection.execute(paid):
                sums.setdefault(number, {})[name] = units / tables.MICRO
        fields = Booking.__dataclass_fields__
        return [
            Booking(
                **{name: row[name] for name in fields if name not in ("paid", "state")},
                state=State(row["state"]),
                paid=sums.get(row["id"], {}),
            )
            for row in rows
        ]

    def give_up(self, booking: int) -> bool:
        """An operator says that a pending booking never became a lease; whether there was one."""
        wanted = (tables.bookings.c.id == booking) & (tables.bookings.c.state == State.PENDING)
        with write(self._engine) as connection:
            done = connection.execute(
                tables.bookings.update().where(wanted).values(state=State.GIVEN_UP, changed=self._clock.now())
            )
        return done.rowcount == 1

    def _insert(self, connection: sa.Connection, asked: Asked, state: State, now: datetime) -> int:
        done = connection.execute(
            tables.bookings.insert().values(
                project=asked.project,
                name=asked.name,
                lease=asked.lease,
                start=asked.start,
                end=asked.end,
                amounts=dict(asked.amounts),
                state=state,
                created=now,
                changed=now,
                expires=asked.end + PATIENCE,
            )
        )
        number = done.inserted_primary_key
        assert number is not None
        return int(number[0])


def settle(
    connection: sa.Connection, found: Mapping[Any, Any], purses: Sequence[Purse], ended: Asked, now: datetime
) -> None:
    """Pay back what a booking has paid beyond what the lease took until it ended, by now at the latest."""
    over = max(min(now, ended.end), ended.start)
    need = Need({})
    for purse in purses:
        # at what the purse costs; when it is valid decides about new bookings only
        one = [replace(purse.account, start=None, end=None)]
        (used,) = charges(one, need, over - ended.start, now, ended.amounts)
        (paid,) = charges(one, need, found["end"] - found["start"], now, found["amounts"])
        share = min(used.cost / paid.cost, Fraction(1)) if paid.cost else Fraction(1)
        chosen = (tables.charges.c.booking == found["id"]) & (tables.charges.c.purse == purse.id)
        units = connection.execute(sa.select(tables.charges.c.amount).where(chosen)).scalar()
        if units is not None:
            connection.execute(tables.charges.update().where(chosen).values(amount=math.ceil(units * share)))
    values = {"lease": ended.lease, "start": ended.start, "end": over, "amounts": dict(ended.amounts)}
    _change(connection, found["id"], State.ENDED, {**values, "changed": now})


def _find(connection: sa.Connection, lease: Asked) -> Mapping[Any, Any] | None:
    """The booking of a lease: by its id, else the oldest without an id that it could have come from."""
    table = tables.bookings
    by_id = sa.select(table).where(table.c.lease == lease.lease)
    found = connection.execute(by_id).mappings().first() if lease.lease is not None else None
    if found is not None:
        return dict(found)
    like = sa.select(table).where(
        table.c.lease.is_(None),
        table.c.project == lease.project,
        table.c.name == lease.name,
        table.c.start == lease.start,
        table.c.end == lease.end,
    )
    # what was given up too early was none the less paid for once
    rows = connection.execute(like.order_by(table.c.state.desc(), table.c.id)).mappings().all()
    same = [row for row in rows if dict(row["amounts"]) == dict(lease.amounts)] or rows
    return dict(same[0]) if same else None


def _change(connection: sa.Connection, booking: int, state: State, values: Mapping[str, Any]) -> None:
    table = tables.bookings
    connection.execute(table.update().where(table.c.id == booking).values(state=state, **values))


def _paid(connection: sa.Connection, booking: int) -> dict[int, int]:
    table = tables.charges
    rows = connection.execute(sa.select(table.c.purse, table.c.amount).where(table.c.booking == booking))
    return {purse: int(units) for purse, units in rows}


def _pay(
    connection: sa.Connection,
    booking: int,
    purses: Sequence[Purse],
    due: Sequence[Charge],
    paid: Mapping[int, int],
) -> None:
    """Write down what each purse pays more than it has paid for this booking."""
    numbers = {purse.account.name: purse.id for purse in purses}
    table = tables.charges
    for charge in due:
        units, purse = math.ceil(charge.cost * tables.MICRO), numbers[charge.account.name]
        if units <= 0:
            continue
        if purse in paid:
            chosen = (table.c.booking == booking) & (table.c.purse == purse)
            connection.execute(table.update().where(chosen).values(amount=paid[purse] + units))
        else:
            connection.execute(table.insert().values(booking=booking, purse=purse, amount=units))


Taking = tuple[Amounts, datetime, datetime]


def _taken(lease: Asked) -> Taking:
    return lease.amounts, lease.start, lease.end


def _grows(paid: Taking, wanted: Asked) -> bool:
    amounts, start, end = paid
    return wanted.end - wanted.start > end - start or any(
        some > amounts.get(name, 0) for name, some in wanted.amounts.items()
    )


def _more(before: Sequence[Charge], after: Sequence[Charge]) -> list[Charge]:
    """What each purse would pay more. Both are of the same purses, in their order."""
    return [
        Charge(new.account, max(new.cost - old.cost, Fraction(0)), new.refused)
        for old, new in zip(before, after, strict=True)
    ]


def _denied_update(accounts: Sequence[Account], short: Charge | None, wanted: Asked, now: datetime) -> str:
    refused = f"lease {wanted.name!r} can't be changed"
    if short is None:
        return f"{refused}: {in_words(accounts, wanted.need, _SECOND, now, wanted.noun, wanted.amounts)}"
    if short.refused is not None:
        return f"{refused}: {short.account.name} pays for no {short.refused}"
    cost = f"{amount(short.units)} {short.account.unit} more"
    said = f"{refused}: that would cost {cost}; {left_in_words(short.account, now)}"
    time = longest(accounts, wanted.need, now, wanted.amounts).most
    return f"{said}: {spoken(time)} more would fit" if isinstance(time, timedelta) and time else said
