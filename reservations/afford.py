"""What the remaining credits allow, before the cloud refuses: what a window costs, how long, how large.

A booking is paid in full up front, from every purse that prices something of it, and each of them must
suffice. A purse counts while it is valid at the time of booking; what only purses price that are not valid
then can't be paid, and is refused. All sums are exact: a price of 0.1 is a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from federation.units import format_age, format_count, format_seconds
from reservations.calendar import Amounts, Calendar, Need
from reservations.credits import Account
from reservations.windows import Opening

Flavours = Mapping[str, tuple[str, Amounts]]
_NO_FLAVOURS: Flavours = {}
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Charge:
    """What a booking would take from one purse. `refused`: the resource class that the purse never pays."""

    account: Account
    cost: Fraction
    refused: str | None = None

    @property
    def units(self) -> float:
        return float(self.cost)

    @property
    def enough(self) -> bool:
        """Whether the purse would pay."""
        return self.refused is None and self.cost <= _budget(self.account)


@dataclass(frozen=True)
class Limit:
    """The most that the credits allow. `most` None: they set no limit. `account` is the purse that binds, and
    `resource` the class that takes the most of it, or that nothing pays.
    """

    most: timedelta | int | None
    account: Account | None = None
    resource: str | None = None


def booked_amounts(need: Need, calendar: Calendar | None = None, opening: Opening | None = None) -> Amounts:
    """All that a booking of `need` takes. Whole hosts count as large as the opening's hosts are."""
    if need.whole_hosts and calendar is not None and opening is not None:
        hosts = {host.id: host.amounts for host in calendar.hosts}
        total: dict[str, int] = {}
        for host in opening.hosts:
            for name, amount in hosts[host].items():
                total[name] = total.get(name, 0) + amount
        return total
    return {name: amount * need.units for name, amount in need.amounts.items()}


def charges(
    accounts: Sequence[Account],
    need: Need,
    duration: timedelta,
    at: datetime,
    amounts: Amounts | None = None,
    flavours: Flavours = _NO_FLAVOURS,
) -> tuple[Charge, ...]:
    """What a booking made at `at` would take from each purse that is valid then; empty: from none.

    `amounts`: all that is booked, where that isn't units times the need's (see `booked_amounts`). `flavours`
    are those of the calendar, for purses that price flavours by name.
    """
    return tuple(
        Charge(account, _rounded(account, rate * _hours(duration)), refused)
        for account, rate, refused in _rates(accounts, need, at, amounts, flavours)
    )


def affordable(
    accounts: Sequence[Account],
    need: Need,
    duration: timedelta,
    at: datetime,
    amounts: Amounts | None = None,
    flavours: Flavours = _NO_FLAVOURS,
) -> bool:
    """Whether every purse would pay. Nothing valid: no."""
    found = charges(accounts, need, duration, at, amounts, flavours)
    return bool(found) and all(charge.enough for charge in found) and not _unpaid(accounts, need, at, amounts)


def payable(accounts: Sequence[Account], need: Need, at: datetime, amounts: Amounts | None = None) -> bool:
    """Whether there is a valid purse for everything that has a price, whatever is left in it."""
    return _nothing(accounts, need, at, amounts) is None


def spoken(time: timedelta) -> str:
    """A duration in two units of time at most, rounded down: what is said does fit."""
    told = time - time % _HOUR if time >= timedelta(days=1) else time
    return format_seconds(told.total_seconds())


def longest(
    accounts: Sequence[Account],
    need: Need,
    at: datetime,
    amounts: Amounts | None = None,
    flavours: Flavours = _NO_FLAVOURS,
    step: timedelta = timedelta(minutes=1),
) -> Limit:
    """For how long the credits pay for this size: a multiple of `step`."""
    best = _nothing(accounts, need, at, amounts)
    if best is not None:
        return best
    best = Limit(None)
    for account, rate, refused in _rates(accounts, need, at, amounts, flavours):
        if refused is not None:
            return Limit(timedelta(0), account, refused)
        if rate > 0:
            steps = math.floor(_budget(account) / rate / _hours(step))
            best = _less(
                best, Limit(min(steps, timedelta.max // step) * step, account, _dearest(account, need))
            )
    return best


def largest(
    accounts: Sequence[Account],
    need: Need,
    duration: timedelta,
    at: datetime,
    flavours: Flavours = _NO_FLAVOURS,
) -> Limit:
    """How many units of `need` the credits pay for `duration`. ValueError for a duration of zero or less."""
    if duration <= timedelta(0):
        raise ValueError("a duration is more than zero")
    one = need.of(1)
    best = _nothing(accounts, one, at, None)
    if best is not None:
        return Limit(0, best.account, best.resource)
    best = Limit(None)
    for account, rate, refused in _rates(accounts, one, at, None, flavours):
        if refused is not None:
            return Limit(0, account, refused)
        if rate > 0:
            units = math.floor(_budget(account) / (rate * _hours(duration)))
            best = _less(best, Limit(units, account, _dearest(account, one)))
    return best


def in_words(
    accounts: Sequence[Account],
    need: Need,
    duration: timedelta,
    at: datetime,
    unit: str = "unit",
    amounts: Amounts | None = None,
    flavours: Flavours = _NO_FLAVOURS,
) -> str:
    """One sentence for people: what it would cost, what is left until when, and what would fit instead.

    With `amounts` (see `booked_amounts`) the need's own are those of its largest unit.
    """
    unpaid = _nothing(accounts, need, at, amounts)
    if unpaid is not None:
        return _unpaid_words(accounts, unpaid)
    found = charges(accounts, need, duration, at, amounts, flavours)
    short = next((charge for charge in found if not charge.enough), None)
    if short is not None and short.refused is not None:
        return f"{short.account.name} pays for no {short.refused}"
    if short is None:
        priced = [charge for charge in found if charge.cost]
        costs = " and ".join(f"{amount(charge.units)} {charge.account.unit}" for charge in priced)
        return f"this would cost {costs or 'nothing'}"
    fits = []
    units = largest(accounts, need, duration, at, flavours).most
    if isinstance(units, int) and units:
        fits.append(f"{format_count(units, unit)} for {spoken(duration)}")
    time = longest(accounts, need, at, amounts, flavours).most
    if isinstance(time, timedelta) and time:
        fits.append(f"{need.units if fits else format_count(need.units, unit)} for {spoken(time)}")
    would = f": {', or '.join(fits)} would fit" if fits else ""
    cost = f"this would cost {amount(short.units)} {short.account.unit}"
    return f"{cost}; {left_in_words(short.account, at)}{would}"


def left_in_words(account: Account, now: datetime) -> str:
    """ "40 are left in 2026Q4 until 31 Dec 2026", and how old that knowledge is where it isn't new."""
    until = "" if account.end is None else f" until {_day(account.end)}"
    age = (now - account.known_at).total_seconds()
    old = f" (as of {format_age(age)} ago)" if age >= 60 else ""
    return f"{amount(account.left)} {account.unit} are left in {account.name}{until}{old}"


def _day(instant: datetime) -> str:
    return f"{instant:%-d %b %Y %H:%M} UTC"


def amount(units: float) -> str:
    """A number of credits as people read it."""
    return f"{units:,.6f}".rstrip("0").rstrip(".")


def _valid(account: Account, at: datetime) -> bool:
    return (account.start is None or account.start <= at) and (account.end is None or at < account.end)


def _rates(
    accounts: Sequence[Account], need: Need, at: datetime, amounts: Amounts | None, flavours: Flavours
) -> list[tuple[Account, Fraction, str | None]]:
    """(purse, units an hour, the class that it refuses) of those that are valid."""
    booked = booked_amounts(need) if amounts is None else amounts
    return [
        (account, _rate(account, need, booked, flavours), _refused(account, booked))
        for account in accounts
        if _valid(account, at)
    ]


def _rate(account: Account, need: Need, booked: Amounts, flavours: Flavours) -> Fraction:
    if need.flavour is not None:
        for name in (need.flavour, flavours.get(need.flavour, (need.flavour,))[0]):
            if name in account.per_hour_of_flavour:
                return _exact(account.per_hour_of_flavour[name]) * need.units
    prices = account.per_hour
    return sum((_exact(prices[name]) * some for name, some in booked.items() if name in prices), Fraction(0))


def _refused(account: Account, booked: Amounts) -> str | None:
    if not account.refuses_unnamed:
        return None
    return next((name for name, some in booked.items() if some and name not in account.per_hour), None)


def _unpaid(accounts: Sequence[Account], need: Need, at: datetime, amounts: Amounts | None) -> str | None:
    """A class that only purses price that are not valid."""
    booked = booked_amounts(need) if amounts is None else amounts
    paid = {name for account in accounts if _valid(account, at) for name in account.per_hour}
    priced = {name for account in accounts for name, price in account.per_hour.items() if price}
    return next((name for name, some in booked.items() if some and name in priced - paid), None)


def _nothing(accounts: Sequence[Account], need: Need, at: datetime, amounts: Amounts | None) -> Limit | None:
    """The limit of nothing, where no valid purse pays for all of it."""
    if not any(_valid(account, at) for account in accounts):
        return Limit(timedelta(0), accounts[0] if accounts else None)
    unpaid = _unpaid(accounts, need, at, amounts)
    if unpaid is None:
        return None
    return Limit(timedelta(0), next(a for a in accounts if a.per_hour.get(unpaid)), unpaid)


def _unpaid_words(accounts: Sequence[Account], nothing: Limit) -> str:
    if nothing.account is None:
        return "this project has no credits here"
    what = "" if nothing.resource is None else f" for {nothing.resource}"
    times = ", ".join(
        account.name
        + ("" if account.start is None else f" from {_day(account.start)}")
        + ("" if account.end is None else f" until {_day(account.end)}")
        for account in accounts
    )
    return f"no credits{what} are valid now: {times}"


def _less(one: Limit, other: Limit) -> Limit:
    return other if one.most is None or (other.most is not None and other.most < one.most) else one  # type: ignore[operator]


def _dearest(account: Account, need: Need) -> str | None:
    costs = {name: some * account.per_hour.get(name, 0.0) for name, some in need.amounts.items()}
    return max(costs, key=lambda name: costs[name]) if any(costs.values()) else None


def _budget(account: Account) -> Fraction:
    left = max(_exact(account.left), Fraction(0))
    return Fraction(math.floor(left)) if account.whole_units else left


def _rounded(account: Account, units: Fraction) -> Fraction:
    return Fraction(math.ceil(units)) if account.whole_units else units


def _hours(duration: timedelta) -> Fraction:
    return Fraction(_micro(duration), _micro(_HOUR))


def _micro(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _exact(number: float) -> Fraction:
    return Fraction(str(number))
