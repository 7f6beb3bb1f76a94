"""Small calendars for hypothesis, and answers that are obviously right because they try everything."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import TypeVar

from hypothesis import strategies as st

from reservations.calendar import MEMORY_MB, VCPU, Calendar, Host, Need, Rules, Spread, Taken
from reservations.properties import Condition, Expression
from reservations.windows import Question

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HORIZON = 24
T = TypeVar("T")


def at(minute: int) -> datetime:
    return ZERO + minute * MINUTE


def minute_of(instant: datetime) -> int:
    minutes, rest = divmod(instant - ZERO, MINUTE)
    assert not rest
    return minutes


def minutes(least: int, most: int) -> st.SearchStrategy[timedelta]:
    return st.integers(least, most).map(lambda n: n * MINUTE)


@st.composite
def rarely(draw: st.DrawFn, value: st.SearchStrategy[T], otherwise: T | None = None) -> T | None:
    """One time in eight: so that a calendar seldom has a limit under which nothing fits."""
    return draw(value) if draw(st.sampled_from([False] * 9 + [True])) else otherwise


rules_strategy = st.builds(
    Rules,
    step=minutes(1, 3),
    gap=minutes(0, 2),
    cleaning=minutes(0, 1),
    whole_peaks=st.booleans(),
    longest=rarely(minutes(1, 12)),
    furthest=rarely(minutes(0, HORIZON + 10)),
)


@st.composite
def hosts_strategy(draw: st.DrawFn) -> tuple[Host, ...]:
    both = st.fixed_dictionaries({VCPU: st.integers(2, 6), MEMORY_MB: st.integers(2, 6)})
    amounts = both | both | st.fixed_dictionaries({VCPU: st.integers(0, 6)})
    return tuple(
        Host(
            f"h{n}",
            f"host {n}",
            draw(amounts),
            properties=draw(st.dictionaries(st.just("gpu"), st.sampled_from(["a", "b"]))),
            most=draw(st.sampled_from([{}, {}, {VCPU: 1}, {VCPU: 2}])),
            bookable=draw(rarely(st.just(False), True)),
        )
        for n in range(draw(st.sampled_from([2, 3, 1])))
    )


@st.composite
def calendars(draw: st.DrawFn, rules: st.SearchStrategy[Rules] = rules_strategy) -> Calendar:
    hosts = draw(hosts_strategy())
    parts = st.fixed_dictionaries({VCPU: st.integers(0, 4)}, optional={MEMORY_MB: st.integers(0, 3)})
    amounts = st.one_of(parts, parts, st.none())
    taken = []
    for _ in range(draw(st.sampled_from([6, 5, 4, 3, 7, 2, 1, 0]))):
        start = draw(st.integers(-3, HORIZON - 6))
        end = draw(rarely(st.none(), start + draw(st.integers(0, 9))))
        taken.append(
            Taken(
                draw(st.sampled_from(hosts)).id,
                at(start),
                None if end is None else at(end),
                draw(amounts),
                f"booking {len(taken)}",
            )
        )
    return Calendar(
        "perth",
        "test",
        "test",
        hosts,
        tuple(taken),
        draw(rules),
        known_at=ZERO,
        until=at(HORIZON + draw(st.integers(0, 12))),
        caps=draw(st.sampled_from([{}, {}, {}, {VCPU: 4}])),
        used={VCPU: draw(st.sampled_from([0, 2, 3]))},
    )


needs = st.builds(
    Need,
    st.one_of(
        st.fixed_dictionaries({VCPU: st.integers(1, 2)}),
        st.fixed_dictionaries({VCPU: st.integers(0, 2), MEMORY_MB: st.integers(0, 2)}),
    ),
    units=st.sampled_from([1, 2, 2, 3, 4]),
    whole_hosts=rarely(st.just(True), False),
    spread=st.sampled_from([Spread.ANY, *Spread]),
    properties=rarely(
        st.builds(lambda sign: Expression((Condition("gpu", sign, "a"),)), st.sampled_from(["==", "!="])),
        Expression(),
    ),
)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    after = draw(st.integers(-2, HORIZON // 2))
    return Question(
        draw(needs),
        draw(st.integers(1, 6)) * MINUTE,
        at(after),
        at(after + draw(st.integers(HORIZON // 2, HORIZON) | st.integers(0, HORIZON))),
    )


def meet(taken: Taken, start: datetime, end: datetime, gap: timedelta) -> bool:
    """Whether there is less than the gap between a booking and [start, end)."""
    if taken.end is not None and taken.end <= taken.start:
        return False
    return start - (taken.end or datetime.max.replace(tzinfo=UTC)) < gap and taken.start - end < gap


def both_at_once(first: Taken, second: Taken, gap: timedelta) -> bool:
    far = datetime(9000, 1, 1, tzinfo=UTC)
    return first.start - (second.end or far) < gap and second.start - (first.end or far) < gap


def units_on(calendar: Calendar, host: Host, need: Need, start: datetime, end: datetime) -> int:
    """How many units fit on one host, by looking at every set of bookings that are all there at once."""
    rules = calendar.rules
    around = [
        taken
        for taken in calendar.taken
        if taken.host == host.id and meet(taken, start - rules.cleaning, end + rules.cleaning, rules.gap)
    ]
    if not host.bookable or not need.properties.holds(host.properties):
        return 0
    if any(host.amounts.get(name, 0) < amount for name, amount in need.amounts.items()):
        return 0
    if need.whole_hosts:
        return 0 if around else 1
    if any(host.most.get(name, amount) < amount for name, amount in need.amounts.items()):
        return 0
    if any(taken.amounts is None for taken in around):
        return 0
    used = Counter({name: most_together(around, name, rules.gap) for name in need.amounts})
    return next(
        units
        for units in range(need.units, -1, -1)
        if all(
            not units * amount or used[name] + units * amount <= host.amounts.get(name, 0)
            for name, amount in need.amounts.items()
        )
    )


def most_together(around: list[Taken], name: str, gap: timedelta) -> int:
    """The most of a class that any set of bookings takes, of which each two are there at once."""
    return max(
        sum(taken.amounts.get(name, 0) for taken in some)
        for size in range(len(around) + 1)
        for some in combinations(around, size)
        if all(both_at_once(a, b, gap) for a, b in combinations(some, 2))
    )


def fits(calendar: Calendar, question: Question, minute: int) -> bool:
    """Whether this start is right, by the words of the rules."""
    need, rules = question.need, calendar.rules
    step = rules.step // MINUTE
    start = at(minute)
    length = -(-(question.duration // MINUTE) // step) * step
    end = start + length * MINUTE
    if (
        not question.after <= start <= question.before
        or (start - datetime(1970, 1, 1, tzinfo=UTC)) % rules.step
    ):
        return False
    if rules.longest is not None and length * MINUTE > rules.longest:
        return False
    if end > calendar.until or (rules.furthest is not None and end > calendar.known_at + rules.furthest):
        return False
    for name, cap in calendar.caps.items():
        asked = need.units * need.amounts.get(name, 0)
        if asked and asked + calendar.used.get(name, 0) > cap:
            return False
    units = [units_on(calendar, host, need, start, end) for host in calendar.hosts]
    match need.spread:
        case Spread.TOGETHER:
            return max(units) >= need.units
        case Spread.APART:
            return sum(1 for n in units if n) >= need.units
        case Spread.ANY:
            return sum(units) >= need.units


def right_starts(calendar: Calendar, question: Question) -> list[int]:
    first, last = minute_of(question.after), minute_of(question.before)
    return [minute for minute in range(first, last + 1) if fits(calendar, question, minute)]
