"""How many units fit at each start: the sum, over hosts, of a sliding minimum.

Starts are counted in steps of the calendar's rules since 1970. A start t asks for [t, t + duration), widened
by cleaning on both sides and by the gap at the end (a booking's own gap is in the index). A segment of a host
counts for the starts whose time meets it, and these are an interval: so the units that fit on a host at a
start are the least of a few neighbouring segments, and change only where such an interval begins or ends.

Blazar takes the peak of the bookings that meet the wanted time over their whole length, not only within that
time. That is the same number: intervals of which each two meet have a point in common (Helly's theorem in one
dimension), so a pile of bookings that each meet the wanted time has its peak within it, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reservations.calendar import Need, Rules, Spread
from reservations.index import Flags, Index, Integers, microseconds


@dataclass(frozen=True)
class Grid:
    """A calendar's rules and a duration as whole microseconds; `duration` is rounded up to whole steps."""

    step: int
    duration: int
    before: int  # how much of the time before a start must be free, too
    after: int  # and after an end

    @classmethod
    def of(cls, rules: Rules, duration: int) -> Grid:
        step, cleaning = microseconds(rules.step), microseconds(rules.cleaning)
        return cls(step, -(-duration // step) * step, cleaning, cleaning + microseconds(rules.gap))


@dataclass(frozen=True)
class Pieces:
    """How many units segments leave room for: `units` for the starts in [first, until), by host, in order."""

    host: Integers
    first: Integers
    until: Integers
    units: Integers


def needed(need: Need) -> int:
    """What the units of all hosts must add up to, as `pieces` counts them."""
    return 1 if need.spread is Spread.TOGETHER else need.units


def suitable(index: Index, need: Need) -> Flags:
    """The hosts that could take one unit if nothing were booked."""
    suits = index.bookable & index.matching(need.properties)
    for name, amount in need.amounts.items():
        if amount > 0 and name not in index.classes:
            return np.zeros_like(suits)
        if amount > 0:
            kind = index.classes[name]
            suits = suits & (index.amounts[kind] >= amount)
            if not need.whole_hosts:
                suits = suits & (index.most[kind] >= amount)
    return suits


def room(index: Index, need: Need, segments: Integers) -> Integers:
    """How many units each of these segments (of suitable hosts) has room for, counted as the spread asks:
    up to `units`; APART and whole hosts: up to one; TOGETHER: one for all of them, or none.
    """
    if need.whole_hosts:
        units = np.where(index.bookings[segments] == 0, 1, 0)
    else:
        units = np.where(index.wholes[segments] == 0, need.units, 0)
        for name, amount in need.amounts.items():
            if amount > 0 and name not in index.classes:
                units = np.zeros_like(units)
            elif amount > 0:
                kind = index.classes[name]
                left = index.amounts[kind][index.host[segments]] - index.used[kind][segments]
                units = np.minimum(units, left // amount)
        units = np.maximum(units, 0)
    if need.spread is Spread.TOGETHER:
        return (units >= need.units).astype(np.int64)
    return np.minimum(units, 1) if need.spread is Spread.APART else units


def pieces(index: Index, need: Need, grid: Grid, first: int, last: int) -> Pieces:
    """What counts for the starts in [first, last], both included."""
    reach = grid.duration + grid.after
    counts = (index.until > first * grid.step - grid.before) & (index.since < last * grid.step + reach)
    segments = np.flatnonzero(counts & suitable(index, need)[index.host])
    if not len(segments):
        return Pieces(segments, segments, segments, segments)
    host, units = index.host[segments], room(index, need, segments)
    differs = (host[1:] != host[:-1]) | (units[1:] != units[:-1])
    begins = np.flatnonzero(np.append(True, differs))
    ends = np.flatnonzero(np.append(differs, True))
    since, until = index.since[segments[begins]], index.until[segments[ends]]
    return Pieces(
        host[begins],
        np.maximum((since - reach) // grid.step + 1, first),
        np.minimum(-(-(until + grid.before) // grid.step), last + 1),
        units[begins],
    )


def totals(index: Index, need: Need, grid: Grid, first: int, last: int) -> tuple[Integers, Integers]:
    """(starts, units): at the starts from each of `starts` up to the next, `units` fit. Begins with `first`;
    O(s log s) for s segments of the time in question.
    """
    part = pieces(index, need, grid, first, last)
    if not len(part.host):
        return np.array([first]), np.array([0])
    # One number for host and start: all hosts are dealt with at once.
    width = last - first + 2
    begins = part.host * width + (part.first - first)
    ends = part.host * width + (part.until - first)
    changes = np.sort(np.concatenate([begins, ends[part.until <= last]]))
    changes = changes[np.append(True, changes[1:] != changes[:-1])]
    low = np.searchsorted(ends, changes, side="right")
    high = np.searchsorted(begins, changes, side="right") - 1
    units = _least(part.units, low, high)
    host, start = np.divmod(changes, width)
    more = np.diff(units, prepend=0)
    fresh = np.append(True, host[1:] != host[:-1])
    more[fresh] = units[fresh]
    order = np.argsort(start, kind="stable")
    start, total = start[order], np.cumsum(more[order])
    settled = np.append(start[1:] != start[:-1], True)
    return first + start[settled], total[settled]


def units_by_host(index: Index, need: Need, grid: Grid, start: int) -> tuple[Integers, Integers]:
    """(hosts, units): what fits where at one start; hosts that can't take any unit ever are left out."""
    part = pieces(index, need, grid, start, start)
    if not len(part.host):
        return part.host, part.units
    fresh = np.flatnonzero(np.append(True, part.host[1:] != part.host[:-1]))
    return part.host[fresh], np.minimum.reduceat(part.units, fresh)


def _least(values: Integers, low: Integers, high: Integers) -> Integers:
    """min(values[low..high]) for each pair, both ends included: by minima over powers of two."""
    length = high - low + 1
    least = np.empty_like(low)
    size = 1
    while True:
        now = np.flatnonzero((length >= size) & (length < 2 * size))
        least[now] = np.minimum(values[low[now]], values[high[now] - size + 1])
        size *= 2
        if not (length >= size).any():
            return least
        values = np.minimum(values[: -size // 2], values[size // 2 :])
