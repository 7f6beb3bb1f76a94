"""What the picture of a calendar shows: a row for each host (or group of equal ones), with what is taken."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from reservations.calendar import Amounts, Calendar, Host, Taken

# More rows than this can't be told apart on a wall: equal hosts share one.
MOST_ROWS = 48


@dataclass(frozen=True)
class Bar:
    """A piece of a booking in a row: from `bottom` to `top` of the row's height (0 to 1) during
    [start, end)."""

    start: datetime
    end: datetime
    bottom: float
    top: float
    taken: Taken


@dataclass(frozen=True)
class Row:
    """One line of the picture. `label` names the host, or how many of which kind."""

    label: str
    bars: tuple[Bar, ...]
    bookable: bool


def rows(calendar: Calendar, start: datetime, end: datetime) -> list[Row]:
    """The rows from top to bottom: hosts by name; where they are many, groups of equal ones."""
    groups = [[host] for host in sorted(calendar.hosts, key=lambda host: _natural(host.name))]
    if len(groups) > MOST_ROWS:
        groups = _grouped(calendar.hosts)
    of_host: dict[str, list[Taken]] = defaultdict(list)
    for taken in calendar.taken:
        if taken.start < end and (taken.end is None or taken.end > start):
            of_host[taken.host].append(taken)
    return [
        Row(
            _label(group),
            tuple(_bars(group, [each for host in group for each in of_host[host.id]], start, end)),
            any(host.bookable for host in group),
        )
        for group in groups
    ]


def _grouped(hosts: Sequence[Host]) -> list[list[Host]]:
    """Equal hosts together; the largest groups are cut into pieces as long as there is room for rows."""
    kinds: dict[object, list[Host]] = defaultdict(list)
    for host in sorted(hosts, key=lambda host: _natural(host.name)):
        key = (tuple(sorted(host.amounts.items())), tuple(sorted(host.properties.items())), host.bookable)
        kinds[key].append(host)
    largest = max(1, -(-len(hosts) // max(MOST_ROWS - len(kinds), 1)))
    return [group[at : at + largest] for group in kinds.values() for at in range(0, len(group), largest)]


def _label(group: Sequence[Host]) -> str:
    if len(group) == 1:
        return group[0].name
    return f"{group[0].name} … {group[-1].name} ({len(group)})"


def _natural(name: str) -> list[str | int]:
    """h2 before h10: text and numbers take turns."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]


def _bars(group: Sequence[Host], taken: Sequence[Taken], start: datetime, end: datetime) -> Iterator[Bar]:
    """Bookings stacked on each other, step by step; a piece goes on while its place stays the same."""
    pool: dict[str, int] = defaultdict(int)
    own = {host.id: host.amounts for host in group}
    for host in group:
        for name, amount in host.amounts.items():
            pool[name] += amount
    edges = sorted(
        {
            start,
            end,
            *(max(each.start, start) for each in taken),
            *(min(each.end or end, end) for each in taken),
        }
    )
    heights = [_share(each, own[each.host], pool) for each in taken]
    ordered = sorted(range(len(taken)), key=lambda number: (taken[number].start, taken[number].booking))
    running: dict[int, Bar] = {}
    for since, until in pairwise(edges):
        active = [
            number
            for number in ordered
            if taken[number].start <= since and (taken[number].end or end) >= until
        ]
        scale = 1.0 / max(1.0, sum(heights[number] for number in active))
        bottom, placed = 0.0, {}
        for number in active:
            top = bottom + heights[number] * scale
            placed[number] = Bar(since, until, bottom, top, taken[number])
            bottom = top
        for number in list(running):
            before, now = running[number], placed.get(number)
            if now is None or (now.bottom, now.top) != (before.bottom, before.top):
                yield running.pop(number)
        for number, bar in placed.items():
            before = running.get(number, bar)
            running[number] = Bar(before.start, bar.end, bar.bottom, bar.top, bar.taken)
    yield from running.values()


def _share(taken: Taken, own: Amounts, pool: Amounts) -> float:
    """The part of the row that a booking fills: its largest share of any resource class."""
    amounts = taken.amounts if taken.amounts is not None else own
    return max(
        (amount / pool[name] for name, amount in amounts.items() if pool.get(name, 0) > 0), default=1.0
    )
