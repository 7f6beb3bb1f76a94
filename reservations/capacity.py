"""What a pool of machines has, when parts of it are taken, and when something still fits.

A pool is one site's platform seen as a whole. Each booking takes a part of it for a half-open interval
[start, end): a booking that ends at noon and one that starts at noon don't meet.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FOREVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Capacity:
    """Cores, memory and storage: of a pool, or of a need."""

    cores: int
    memory_gib: int
    storage_gib: int = 0

    def fits(self, need: Capacity) -> bool:
        """Whether `need` is no larger than this in any respect."""
        return (
            need.cores <= self.cores
            and need.memory_gib <= self.memory_gib
            and need.storage_gib <= self.storage_gib
        )


@dataclass(frozen=True)
class Booking:
    """A part of a pool that is taken during [start, end). Instants are timezone-aware."""

    start: datetime
    end: datetime
    cores: int
    memory_gib: int
    storage_gib: int = 0


@dataclass(frozen=True)
class Timeline:
    """What of a pool is free, step by step: `free[i]` from `since[i]` to `since[i + 1]`.

    The first step has no beginning and the last one no end. Where more is booked than there is, nothing is
    free, and a need of nothing fits. To be made once where much is asked of the same
    bookings: it takes the place of pool and bookings in questions.
    """

    since: tuple[datetime, ...]
    free: tuple[Capacity, ...]
    bookings: tuple[Booking, ...] = ()

    @classmethod
    def of(cls, pool: Capacity, bookings: Iterable[Booking]) -> Timeline:
        known = tuple(bookings)
        changes = []
        for booking in known:
            if booking.start < booking.end:
                cores, memory_gib, storage_gib = booking.cores, booking.memory_gib, booking.storage_gib
                changes.append((booking.start, -cores, -memory_gib, -storage_gib))
                changes.append((booking.end, cores, memory_gib, storage_gib))
        changes.sort()
        since, free = [_FOREVER], [pool]
        cores, memory_gib, storage_gib = pool.cores, pool.memory_gib, pool.storage_gib
        for position, (instant, *more) in enumerate(changes, 1):
            cores, memory_gib, storage_gib = cores + more[0], memory_gib + more[1], storage_gib + more[2]
            if position == len(changes) or changes[position][0] > instant:
                since.append(instant)
                free.append(Capacity(max(cores, 0), max(memory_gib, 0), max(storage_gib, 0)))
        return cls(tuple(since), tuple(free), known)

    def beside(self, bookings: Iterable[Booking]) -> Timeline:
        """The same with more bookings."""
        return Timeline.of(self.free[0], [*self.bookings, *bookings])

    def steps(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, Capacity]]:
        """(from, to, free) that cover [start, end) without gaps."""
        position = bisect.bisect_right(self.since, start) - 1
        while start < end:
            following = self.since[position + 1] if position + 1 < len(self.since) else end
            until = min(following, end)
            yield start, until, self.free[position]
            start, position = until, position + 1


@dataclass(frozen=True)
class Window:
    """Every start in [start, latest_start], both included, leaves room for the whole duration."""

    start: datetime
    latest_start: datetime


def first_windows(
    pool: Capacity,
    bookings: Iterable[Booking],
    need: Capacity,
    duration: timedelta,
    earliest: datetime,
    latest_start: datetime,
    count: int = 3,
) -> list[Window]:
    """The first `count` windows in which `need` fits into `pool` for the whole of `duration`, earliest first.

    The windows are as long as can be, so that they never touch; starts lie in [earliest, latest_start].
    Empty where it never fits. Sweeps over the bookings' ends once: O(n log n). Raises ValueError for a
    duration of zero or less.
    """
    return windows_in(Timeline.of(pool, bookings), need, duration, earliest, latest_start, count)


def windows_in(
    timeline: Timeline,
    need: Capacity,
    duration: timedelta,
    earliest: datetime,
    latest_start: datetime,
    count: int = 3,
) -> list[Window]:
    """As `first_windows`, in the time that the steps between `earliest` and the last end take."""
    if duration <= timedelta(0):
        raise ValueError("a duration is more than zero")
    if count < 1 or latest_start < earliest or not timeline.free[0].fits(need):
        return []
    windows: list[Window] = []
    start = earliest
    # With [full_from, full_to) too full for the need, just the starts in the open interval
    # (full_from - duration, full_to) fail: what starts earlier is over by then, what starts at
    # full_to comes after it.
    for full_from, full_to in _too_full(timeline, need, earliest, latest_start + duration):
        last = full_from - duration
        if last >= start:
            windows.append(Window(start, min(last, latest_start)))
            if len(windows) == count:
                return windows
        start = max(start, full_to)
        if start > latest_start:
            return windows
    return [*windows, Window(start, latest_start)]


def both(first: Sequence[Window], second: Sequence[Window]) -> list[Window]:
    """The starts that lie in a window of each. Both are in order and don't overlap, and so is the result."""
    found: list[Window] = []
    i = j = 0
    while i < len(first) and j < len(second):
        a, b = first[i], second[j]
        start, last = max(a.start, b.start), min(a.latest_start, b.latest_start)
        if start <= last:
            found.append(Window(start, last))
        if a.latest_start < b.latest_start:
            i += 1
        else:
            j += 1
    return found


def free_throughout(pool: Capacity, bookings: Iterable[Booking], start: datetime, end: datetime) -> Capacity:
    """What stays free during the whole of [start, end): the least of each. Never negative."""
    return least_free(Timeline.of(pool, bookings), start, end)


def least_free(timeline: Timeline, start: datetime, end: datetime) -> Capacity:
    """As `free_throughout`. Of an empty interval: the whole pool."""
    pool = timeline.free[0]
    cores, memory_gib, storage_gib = pool.cores, pool.memory_gib, pool.storage_gib
    for _, _, free in timeline.steps(start, end):
        cores, memory_gib = min(cores, free.cores), min(memory_gib, free.memory_gib)
        storage_gib = min(storage_gib, free.storage_gib)
    return Capacity(cores, memory_gib, storage_gib)


def _too_full(
    timeline: Timeline, need: Capacity, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The intervals within [start, end) in which `need` doesn't fit, in order; neighbours are joined."""
    since: datetime | None = None
    for begins, _, free in timeline.steps(start, end):
        if free.fits(need):
            if since is not None:
                yield since, begins
                since = None
        elif since is None:
            since = begins
    if since is not None:
        yield since, end
