"""Why something never fits, and the most of it that ever does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from federation.units import format_seconds
from reservations.alternatives import scaled
from reservations.calendar import VCPU, Calendar, Need, Spread
from reservations.fit import needed, room, suitable
from reservations.index import Flags, Index, prepare
from reservations.openings import Question, breaks_caps, most_that, openings
from reservations.properties import Expression
from reservations.words import amount_words, need_words


class Limit(StrEnum):
    """What stands in the way."""

    DURATION = "duration"  # no booking may be so long
    FURTHEST = "furthest"  # none may end so late
    QUOTA = "quota"  # the caller's own bookings may not have so much together
    BOOKABLE = "bookable"  # no host can be booked at all
    FLAVOUR = "flavour"  # the cloud books by flavours, and none of them is as asked
    PROPERTIES = "properties"  # no host is as asked
    CLASS = "class"  # no host has so much of one class, or gives it to one unit
    HOST = "host"  # there is enough of each class, but not on one host
    UNITS = "units"  # there are too few such hosts, even if nothing were booked
    BOOKED = "booked"  # there would be enough, but for what is booked


@dataclass(frozen=True)
class Obstacle:
    """One thing that stands in the way: of what (`name`: class or property), how much was asked for and how
    much there can be at most (in the class's unit; of UNITS and BOOKED: units). `text` is a sentence.
    """

    limit: Limit
    text: str
    name: str | None = None
    asked: int | None = None
    possible: int | None = None


def obstacles(calendar: Calendar, question: Question) -> list[Obstacle]:
    """All that stands in the way of a question; BOOKED only where nothing else does. Empty: it fits, within
    the asked range.
    """
    found = [*_durations(calendar, question), *_quota(calendar, question.need)]
    found += _hosts(_empty(calendar), question.need)
    if not found and not openings(calendar, question, 1):
        units = most_units(calendar, question)
        found.append(
            Obstacle(
                Limit.BOOKED,
                f"too much is booked: {need_words(question.need)} would fit if nothing were, and "
                + (
                    f"{units} of {question.need.units} fit at a time in the asked range"
                    if units
                    else "not even one of it fits in the asked range"
                ),
                asked=question.need.units,
                possible=units,
            )
        )
    return found


def most_units(calendar: Calendar, question: Question) -> int:
    """The most units for which the question has an opening, up to those that it asks for."""

    def fits(units: int) -> bool:
        return bool(openings(calendar, replace(question, need=question.need.of(units)), 1))

    return most_that(fits, question.need.units)


def largest_ever(calendar: Calendar, need: Need) -> Need | None:
    """The most of a need that fits if nothing is booked: as many units as can be or, where not even one does,
    one that is scaled down in all classes alike. None: nothing like it ever fits.
    """
    empty = _empty(calendar)

    def fits(less: Need) -> bool:
        return not breaks_caps(calendar, less) and _units_ever(empty, less) >= needed(less)

    units = most_that(lambda n: fits(need.of(n)), need.units)
    if units:
        return need.of(units)
    sizes = need.amounts.get(VCPU) or max(need.amounts.values(), default=0)

    def smaller(size: int) -> Need:
        return replace(need, units=1, amounts=scaled(need.amounts, size, sizes))

    size = most_that(lambda n: fits(smaller(n)), sizes) if need.flavour is None else 0
    return smaller(size) if size else None


def _empty(calendar: Calendar) -> Index:
    """The calendar as if nothing were booked: one segment a host."""
    return prepare(replace(calendar, taken=()))


def _units_ever(empty: Index, need: Need) -> int:
    """How many units an empty calendar has room for, counted as `needed` does, each host for itself."""
    return int(room(empty, need, np.flatnonzero(suitable(empty, need))).sum())


def _durations(calendar: Calendar, question: Question) -> Iterator[Obstacle]:
    rules = calendar.rules
    duration = -(-question.duration // rules.step) * rules.step
    asked = format_seconds(duration.total_seconds())
    if rules.longest is not None and duration > rules.longest:
        most = format_seconds(rules.longest.total_seconds())
        yield Obstacle(Limit.DURATION, f"{asked} is longer than this cloud allows: {most} at most")
    if rules.furthest is not None and question.after + duration > calendar.known_at + rules.furthest:
        end = calendar.known_at + rules.furthest
        yield Obstacle(
            Limit.FURTHEST,
            f"it would end after {end:%Y-%m-%d %H:%M} UTC, and this cloud books no further ahead",
        )


def _quota(calendar: Calendar, need: Need) -> Iterator[Obstacle]:
    for name in breaks_caps(calendar, need):
        asked, cap = need.units * need.amounts[name], calendar.caps[name]
        left = max(cap - calendar.used.get(name, 0), 0)
        yield Obstacle(
            Limit.QUOTA,
            f"the quota allows {_words(name, cap)} at a time and leaves {_words(name, left)}: "
            f"this asks for {_words(name, asked)}",
            name,
            asked,
            left,
        )


def _hosts(empty: Index, need: Need) -> Iterator[Obstacle]:
    """What of the hosts stands in the way; each thing among the hosts that pass those before it."""
    if not empty.bookable.any():
        many = len(empty.hosts)
        which = "the only host can't" if many == 1 else f"none of the {many} hosts can"
        yield Obstacle(Limit.BOOKABLE, f"{which} be booked now")
        return
    right = empty.bookable & empty.matching(need.properties)
    if not right.any():
        yield from _properties(empty, need.properties)
        return
    lacking = list(_classes(empty, need, right))
    yield from lacking
    suits = int(suitable(empty, need).sum())
    if not lacking and not suits:
        yield Obstacle(
            Limit.HOST, f"no host has all of {amount_words(need.amounts)}, though some have each of these"
        )
    units = most_that(lambda n: _units_ever(empty, need.of(n)) >= needed(need.of(n)), need.units)
    if suits and units < need.units:
        how = {Spread.ANY: "", Spread.TOGETHER: " on one host", Spread.APART: " on hosts of their own"}
        yield Obstacle(
            Limit.UNITS,
            f"even if nothing were booked, {units} of {need.units}{how[need.spread]} is the most that fits "
            f"({suits} of {len(empty.hosts)} hosts are right)",
            asked=need.units,
            possible=units,
        )


def _properties(empty: Index, expression: Expression) -> Iterator[Obstacle]:
    alone = [
        each
        for each in expression.conditions
        if not (empty.bookable & empty.matching(Expression((each,)))).any()
    ]
    for each in alone:
        values = {host.properties[each.name] for host in empty.hosts if each.name in host.properties}
        there = f"there is {', '.join(sorted(values))}" if values else "no host has this property"
        yield Obstacle(
            Limit.PROPERTIES, f"no host has {each.name} {each.operator} {each.value}: {there}", each.name
        )
    if not alone:
        yield Obstacle(Limit.PROPERTIES, f"no host is all of {expression.text()}, though some are each of it")


def _classes(empty: Index, need: Need, right: Flags) -> Iterator[Obstacle]:
    for name, amount in need.amounts.items():
        if amount <= 0:
            continue
        most = 0
        if name in empty.classes:
            kind = empty.classes[name]
            most = int(empty.amounts[kind][right].max())
            if not need.whole_hosts:
                most = int(np.minimum(empty.amounts[kind], empty.most[kind])[right].max())
        if amount > most:
            yield Obstacle(
                Limit.CLASS,
                f"no host gives {_words(name, amount)} to one unit: {_words(name, most)} is the most",
                name,
                amount,
                most,
            )


def _words(name: str, amount: int) -> str:
    """An amount of one class; "0 cores" and not nothing."""
    return amount_words({name: amount}) if amount else f"no {amount_words({name: 1}).split(maxsplit=1)[-1]}"
