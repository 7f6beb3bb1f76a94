"""When does all of a need fit, for the whole time, on the same hosts?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from reservations.calendar import Calendar, Need, Spread
from reservations.fit import Grid, needed, totals, units_by_host
from reservations.index import Index, index_of, instant_of, microseconds, since_epoch


@dataclass(frozen=True)
class Opening:
    """Every start in [start, latest_start], both included, leaves room for the whole need and duration.

    Starts are multiples of the calendar's step. `hosts` are those (ids) that each unit would get at `start`,
    one entry a unit; at a later start they may be others.
    """

    start: datetime
    latest_start: datetime
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A need, for how long, and when it may start: within [after, before]."""

    need: Need
    duration: timedelta
    after: datetime
    before: datetime


def openings(calendar: Calendar, question: Question, count: int = 10) -> list[Opening]:
    """The first `count` openings, earliest first; maximal, so that none touches the next. Empty: never.

    Counts as the calendar's own cloud does (its `rules` and `caps`): what is given here, that cloud would
    grant. Where two bookings touch and the cloud has a gap, they are taken to overlap (Blazar counts them so
    or not, by chance). Durations are rounded up to whole steps. What ends after the calendar's `until` is no
    opening, for what is taken then is not known. Raises ValueError for a duration of zero or less, or units
    below one. O(s log s) for the s changes of what is taken within the time looked at; the calendar's index
    is made at its first question.
    """
    if question.duration <= timedelta(0) or question.need.units < 1:
        raise ValueError("a question is for more than no time, and for at least one unit")
    grid = Grid.of(calendar.rules, microseconds(question.duration))
    first, last = starts(calendar, question)
    if count < 1 or last < first or breaks_caps(calendar, question.need):
        return []
    index = index_of(calendar)
    found: list[Opening] = []
    for start, latest in _fitting(index, question.need, grid, first, last):
        hosts = _placed(index, question.need, grid, start)
        found.append(Opening(instant_of(start * grid.step), instant_of(latest * grid.step), hosts))
        if len(found) == count:
            break
    return found


def starts(calendar: Calendar, question: Question) -> tuple[int, int]:
    """The first and the last start that the question and the cloud's rules allow, in steps since 1970;
    the last before the first: none.
    """
    rules = calendar.rules
    grid = Grid.of(rules, microseconds(question.duration))
    first = -(-since_epoch(question.after) // grid.step)
    if rules.longest is not None and grid.duration > microseconds(rules.longest):
        return first, first - 1
    end = since_epoch(calendar.until)
    if rules.furthest is not None:
        end = min(end, since_epoch(calendar.known_at) + microseconds(rules.furthest))
    return first, min(since_epoch(question.before), end - grid.duration) // grid.step


def breaks_caps(calendar: Calendar, need: Need) -> tuple[str, ...]:
    """The classes of which the caller may not have so much, besides what is used now."""
    return tuple(
        name
        for name, cap in calendar.caps.items()
        if need.amounts.get(name, 0) > 0
        and need.units * need.amounts[name] + calendar.used.get(name, 0) > cap
    )


def most_that(fits: Callable[[int], bool], high: int, low: int = 0) -> int:
    """The largest number of low..high that fits, where `low` does and none that is larger than one that
    doesn't.
    """
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _fitting(index: Index, need: Need, grid: Grid, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The runs of starts at which it fits, in order. Looks at a little of the time first, then at more."""
    size = max((last - first) // 16, grid.duration // grid.step)
    since: int | None = None
    while first <= last:
        until = min(first + size, last)
        at, units = totals(index, need, grid, first, until)
        fits = units >= needed(need)
        turns = np.flatnonzero(np.diff(fits, prepend=since is not None))
        for turn in at[turns].tolist():
            if since is None:
                since = turn
            else:
                yield since, turn - 1
                since = None
        first, size = until + 1, size * 4
    if since is not None:
        yield since, last


def _placed(index: Index, need: Need, grid: Grid, start: int) -> tuple[str, ...]:
    """A host for each unit: those first that have the least room to spare, so that the others stay whole."""
    hosts, units = units_by_host(index, need, grid, start)
    if need.spread is Spread.TOGETHER:
        return (index.ids[hosts[np.argmax(units)]],) * need.units
    order = np.argsort(units, kind="stable")
    places = np.repeat(hosts[order], units[order])[: need.units]
    return tuple(index.ids[places].tolist())
