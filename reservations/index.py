"""A calendar as arrays: what of each host is taken from when to when, made once and asked many times.

Instants are whole microseconds since 1970 (UTC). For each host the bookings are piled up into segments that
cover all of time without holes, hosts one after another, each host's segments in order.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from reservations.calendar import Amounts, Calendar, Host
from reservations.properties import Expression

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond year 9999 on both sides, with room to add a duration without overflow.
FOREVER = 2**60
_MICROSECOND = timedelta(microseconds=1)


def microseconds(span: timedelta) -> int:
    """The length of a span, exactly."""
    return span // _MICROSECOND


def since_epoch(instant: datetime) -> int:
    """Microseconds since 1970, exactly. The instant is timezone-aware."""
    return (instant - EPOCH) // _MICROSECOND


def instant_of(since: int) -> datetime:
    """The other way round."""
    return EPOCH + timedelta(microseconds=since)


@dataclass(frozen=True, eq=False)
class Index:
    """Hosts (H), resource classes (C) and segments (S) of a calendar.

    `amounts` and `most` are C x H, `used` is C x S. In a segment [since, until) of `host`, `bookings` are in
    force, of which `wholes` take the whole host; `used` is the sum of the others' amounts.
    """

    hosts: tuple[Host, ...]
    ids: npt.NDArray[np.object_]
    classes: dict[str, int]
    amounts: Integers
    most: Integers
    bookable: Flags
    host: Integers
    since: Integers
    until: Integers
    used: Integers
    bookings: Integers
    wholes: Integers
    _matching: dict[Expression, Flags] = field(default_factory=dict)

    def matching(self, expression: Expression) -> Flags:
        """Which hosts are as `expression` says; bookable or not."""
        known = self._matching.get(expression)
        if known is None:
            known = np.array([expression.holds(host.properties) for host in self.hosts], dtype=bool)
            self._matching[expression] = known
        return known


def prepare(calendar: Calendar, gap: timedelta = timedelta(0)) -> Index:
    """Pile up the bookings, each of them `gap` longer than it is: O(n log n). Bookings of hosts that the
    calendar doesn't have are left out, and so are empty ones.
    """
    position = {host.id: at for at, host in enumerate(calendar.hosts)}
    names = {name: None for host in calendar.hosts for name in host.amounts}
    classes = {name: at for at, name in enumerate(names)}
    longer = microseconds(gap)
    rows: list[tuple[int, int, int]] = []
    wholes: list[bool] = []
    parts: list[tuple[int, int, int]] = []
    for taken in calendar.taken:
        at = position.get(taken.host)
        start = since_epoch(taken.start)
        end = FOREVER if taken.end is None else since_epoch(taken.end)
        if at is None or end <= start:
            continue
        wholes.append(taken.amounts is None)
        if taken.amounts is not None:
            parts += [(classes[name], len(rows), n) for name, n in taken.amounts.items() if name in classes]
        rows.append((at, start, min(end + longer, FOREVER)))
    size, hosts = len(rows), len(calendar.hosts)
    host, begin, finish = np.array(rows, dtype=np.int64).reshape(size, 3).T
    # the change of each class, of the number of bookings, and of the number of those that take all
    change = np.zeros((len(classes) + 2, size), dtype=np.int64)
    if parts:
        kind, row, n = np.array(parts, dtype=np.int64).T
        np.add.at(change, (kind, row), n)
    change[-2] = 1
    change[-1] = wholes
    # Every host begins long ago, free; every booking's changes are undone at its end, so that one sum that
    # runs through all hosts is each host's own.
    changed = np.concatenate([np.arange(hosts), host, host])
    when = np.concatenate([np.full(hosts, -FOREVER), begin, finish])
    order = np.lexsort((when, changed))
    changed, when = changed[order], when[order]
    nothing = np.zeros((len(change), hosts), dtype=np.int64)
    level = np.cumsum(np.concatenate([nothing, change, -change], axis=1)[:, order], axis=1)
    last = np.append((changed[1:] != changed[:-1]) | (when[1:] != when[:-1]), True)[: len(when)]
    last &= when < FOREVER
    changed, when, level = changed[last], when[last], level[:, last]
    until = np.append(when[1:], FOREVER)[: len(when)]
    until[np.append(changed[1:] != changed[:-1], True)[: len(when)]] = FOREVER
    return Index(
        hosts=calendar.hosts,
        ids=np.array([host.id for host in calendar.hosts], dtype=object),
        classes=classes,
        amounts=_table([host.amounts for host in calendar.hosts], classes, 0),
        most=_table([host.most for host in calendar.hosts], classes, FOREVER),
        bookable=np.array([host.bookable for host in calendar.hosts], dtype=bool),
        host=changed,
        since=when,
        until=until,
        used=level[:-2],
        bookings=level[-2],
        wholes=level[-1],
    )


def _table(rows: list[Amounts], classes: dict[str, int], otherwise: int) -> Integers:
    """Classes x rows."""
    if not rows:
        return np.zeros((len(classes), 0), dtype=np.int64)
    return np.array([[row.get(name, otherwise) for row in rows] for name in classes], dtype=np.int64).reshape(
        len(classes), len(rows)
    )


_prepared: dict[tuple[int, timedelta], tuple[weakref.ref[Calendar], Index]] = {}


def index_of(calendar: Calendar, gap: timedelta | None = None) -> Index:
    """The calendar's index, kept as long as the calendar itself; `gap` None: that of its rules.

    A calendar holds mappings and so has no hash: it is known by identity, and it never changes.
    """
    key = id(calendar), calendar.rules.gap if gap is None else gap
    known = _prepared.get(key)
    if known is not None and known[0]() is calendar:
        return known[1]
    index = prepare(calendar, key[1])
    _prepared[key] = weakref.ref(calendar, lambda gone: _forget(key, gone)), index
    return index


def _forget(key: tuple[int, timedelta], gone: weakref.ref[Calendar]) -> None:
    # The next calendar may have got the same address before this is called.
    known = _prepared.get(key)
    if known is not None and known[0] is gone:
        del _prepared[key]
