"""What is free, over time: for pictures, and for "is it full, and until when?"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from federation.errors import InputError
from reservations.calendar import VCPU, Amounts, Calendar, Need
from reservations.index import Index, Integers, index_of, instant_of, since_epoch
from reservations.openings import Question, openings

ONE_CORE = Need({VCPU: 1})


@dataclass(frozen=True)
class FreeStep:
    """What is free during [start, end): `amounts` of every class, and `hosts` that nothing is booked on.

    Bookings as they are, without what a cloud keeps free around them. Nothing is free on a host that can't be
    booked, and never less than nothing.
    """

    start: datetime
    end: datetime
    amounts: Amounts
    hosts: int


def free_steps(calendar: Calendar, host: str, start: datetime, end: datetime) -> list[FreeStep]:
    """What is free on one host (id), in steps that cover [start, end) without gaps; neighbours differ.

    Raises InputError for a host that the calendar doesn't have.
    """
    index = _index(calendar)
    at = next((n for n, each in enumerate(index.hosts) if each.id == host), None)
    if at is None:
        raise InputError(f"no host {host!r} in the calendar {calendar.kind} of {calendar.site}")
    low, high = np.searchsorted(index.host, [at, at + 1])
    return list(_steps(index, np.arange(low, high), start, end))


def total_free_steps(calendar: Calendar, start: datetime, end: datetime) -> list[FreeStep]:
    """The sum of what is free on all hosts, in steps that cover [start, end) without gaps."""
    index = _index(calendar)
    return list(_steps(index, np.arange(len(index.host)), start, end))


def full_until(calendar: Calendar, after: datetime, need: Need = ONE_CORE) -> datetime | None:
    """The first instant from `after` on at which a need fits for one step of time; `after` itself (rounded up
    to whole steps): it isn't full. None: full for as long as is known.
    """
    question = Question(need, calendar.rules.step, after, max(after, calendar.until))
    found = openings(calendar, question, 1)
    return found[0].start if found else None


def _index(calendar: Calendar) -> Index:
    return index_of(calendar, timedelta(0))


def _steps(index: Index, segments: Integers, start: datetime, end: datetime) -> Iterator[FreeStep]:
    """The sum over hosts, by what changes at each segment's beginning."""
    first, last = since_epoch(start), since_epoch(end)
    if last <= first:
        return
    segments = segments[(index.since[segments] < last) & (index.until[segments] > first)]
    host = index.host[segments]
    amounts = np.maximum(index.amounts[:, host] - index.used[:, segments], 0)
    amounts = np.where(index.bookable[host] & (index.wholes[segments] == 0), amounts, 0)
    untouched = index.bookable[host] & (index.bookings[segments] == 0)
    free = np.vstack([amounts, untouched.astype(np.int64)])
    if not len(segments):  # a calendar without hosts
        yield FreeStep(start, end, {}, 0)
        return
    more = np.diff(free, axis=1, prepend=0)
    fresh = np.append(True, host[1:] != host[:-1])
    more[:, fresh] = free[:, fresh]
    since = np.maximum(index.since[segments], first)
    order = np.argsort(since, kind="stable")
    since, level = since[order], np.cumsum(more[:, order], axis=1)
    settled = np.append(since[1:] != since[:-1], True)
    since, level = since[settled], level[:, settled]
    differs = np.append(True, (level[:, 1:] != level[:, :-1]).any(axis=0))
    since, level = since[differs], level[:, differs]
    names = list(index.classes)
    for begins, ends, column in zip(
        since.tolist(), [*since[1:].tolist(), last], level.T.tolist(), strict=True
    ):
        yield FreeStep(
            instant_of(begins),
            instant_of(ends),
            dict(zip(names, column[:-1], strict=True)),
            column[-1],
        )
