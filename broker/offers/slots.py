"""Which starts a candidate gets: the earliest, and the first with all that was asked for at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from broker.model import Placement
from broker.offers import checks
from broker.offers.calendars import Held
from broker.offers.candidates import Candidate
from broker.offers.windows import ceil_second, whole_start, windows
from reservations.capacity import Booking, Capacity, Timeline, Window, both, least_free


@dataclass(frozen=True)
class Slot:
    """Room for a candidate: starts in [start, start + start_within] all do."""

    start: datetime
    start_within: timedelta
    prepare_start: datetime
    size: Capacity
    # whether it could start sooner, were the data there sooner
    waits_for_data: bool


@dataclass(frozen=True)
class Moment:
    """An offer that is made `now` may be accepted during `lifetime`, and is prepared from then on."""

    now: datetime
    lifetime: timedelta

    def ready(self, candidate: Candidate) -> datetime:
        """When what is brought before the start is there (90 %), if preparing begins now."""
        return ceil_second(self.now + timedelta(seconds=candidate.prepare.p90))


def starts(
    candidate: Candidate,
    taken: Timeline,
    need: Capacity,
    moment: Moment,
    latest: datetime | None = None,
) -> list[Window]:
    """When `need` is free in the asked range (or up to `latest`), with data and image there before."""
    request = candidate.request
    earliest = max(request.earliest_start, moment.ready(candidate))
    within = earliest, request.latest_start if latest is None else latest
    lead = _lead(candidate, earliest - moment.now)
    found = windows(taken, need, candidate.duration, within, lead)
    if candidate.calendars is None or not found:
        return found
    return both(found, candidate.calendars.windows(need, candidate.duration, *within))


def earliest_slot(candidate: Candidate, taken: Timeline, moment: Moment) -> Slot | None:
    """The first slot of at least what is needed, with as much of the maximum as is free then."""
    return _slot(candidate, taken, candidate.need, moment)


def larger_slot(candidate: Candidate, taken: Timeline, moment: Moment, first: Placement) -> Slot | None:
    """The first slot of the requested maximum, or of the most that comes next to it in the asked range.

    It can be held beside `first`, and has more of something; None where there is no such slot.
    """
    need, wanted = candidate.need, largest_wanted(candidate)
    size = Capacity(first.cores, first.memory_gib)
    if wanted.cores <= size.cores and wanted.memory_gib <= size.memory_gib:
        return None
    taken = taken.beside(booked(first))
    until = first.start + first.start_within + first.duration
    if candidate.calendars is not None:
        calendars = candidate.calendars.also(Held("", first.start, until, size))
        candidate = replace(candidate, calendars=calendars)
    if starts(candidate, taken, wanted, moment):
        return _slot(candidate, taken, wanted, moment)

    def free(cores: int, memory_gib: int) -> bool:
        return bool(starts(candidate, taken, Capacity(cores, memory_gib, need.storage_gib), moment))

    cores = most(size.cores, wanted.cores, lambda cores: free(cores, need.memory_gib))
    if cores > size.cores:
        return _slot(candidate, taken, Capacity(cores, need.memory_gib, need.storage_gib), moment)
    memory_gib = most(size.memory_gib, wanted.memory_gib, lambda memory: free(size.cores, memory))
    if memory_gib > size.memory_gib:
        return _slot(candidate, taken, Capacity(size.cores, memory_gib, need.storage_gib), moment)
    return None


def most(known: int, limit: int, works: Callable[[int], bool]) -> int:
    """The largest number in (known, limit] that works, where all smaller ones do, too; `known`: none does."""
    low, high = known, limit
    while low < high:
        middle = (low + high + 1) // 2
        if works(middle):
            low = middle
        else:
            high = middle - 1
    return low


def largest_wanted(candidate: Candidate) -> Capacity:
    """The requested maximum as far as the site gives it to one session; the minimum where none is named."""
    need, limit = candidate.need, checks.largest(candidate.platform)
    request = candidate.request

    def wanted(minimum: int, maximum: int | None, limit: int) -> int:
        return minimum if maximum is None else max(minimum, min(maximum, limit))

    return Capacity(
        wanted(need.cores, request.cores.maximum, limit.cores),
        wanted(need.memory_gib, request.memory_gib.maximum, limit.memory_gib),
        need.storage_gib,
    )


def booked(placement: Placement) -> list[Booking]:
    """What the ledger will say is taken by an offer of `placement`."""
    storage = placement.storage_gib
    end = placement.start + placement.start_within + placement.duration
    return [
        Booking(placement.start, end, placement.cores, placement.memory_gib, storage),
        Booking(placement.prepare_start, placement.start, 0, 0, storage),
    ]


def _slot(candidate: Candidate, taken: Timeline, need: Capacity, moment: Moment) -> Slot | None:
    """The first slot of `need`, which leaves room for a start that is later by the offer's lifetime."""
    found = starts(candidate, taken, need, moment)
    start = whole_start(found)
    if start is None:
        return None
    window = next(each for each in found if each.start <= start <= each.latest_start)
    ready = moment.ready(candidate)
    ready_at_last = moment.now + moment.lifetime + timedelta(seconds=candidate.prepare.p90)
    within = min(ready_at_last, window.latest_start) - start
    within = _kept_free(candidate, need, start, max(int(within.total_seconds()), 0))
    lead = _lead(candidate, max(candidate.request.earliest_start, ready) - moment.now)
    return Slot(
        start=start,
        start_within=within,
        prepare_start=start - lead,
        size=_size(candidate, taken, need, start, start + within + candidate.duration),
        waits_for_data=start == ready,
    )


def _lead(candidate: Candidate, at_most: timedelta) -> timedelta:
    """How long before the start the preparation begins: with some margin, where there is time for it."""
    return min(timedelta(seconds=lead_seconds(candidate.prepare.p90)), at_most)


def lead_seconds(prepare_seconds: float) -> float:
    return 2 * prepare_seconds + 60


def _kept_free(candidate: Candidate, need: Capacity, start: datetime, seconds: int) -> timedelta:
    """By how much the start may be later, at most `seconds`: one host is to have room for each such start."""
    calendars, duration = candidate.calendars, candidate.duration

    def free(later: int) -> bool:
        assert calendars is not None
        return bool(calendars.windows(need, duration + timedelta(seconds=later), start, start))

    if calendars is not None and seconds and not free(seconds):
        seconds = most(0, seconds, free)
    return timedelta(seconds=seconds)


def _size(candidate: Candidate, taken: Timeline, need: Capacity, start: datetime, end: datetime) -> Capacity:
    """As much of the requested maximum as is free all the time, and at least `need`."""
    wanted = largest_wanted(candidate)
    free = least_free(taken, start, end)
    size = Capacity(
        max(need.cores, min(wanted.cores, free.cores)),
        max(need.memory_gib, min(wanted.memory_gib, free.memory_gib)),
        need.storage_gib,
    )
    calendars = candidate.calendars
    if calendars is None or size == need:
        return size

    def fits(cores: int, memory_gib: int) -> bool:
        return bool(
            calendars.windows(replace(size, cores=cores, memory_gib=memory_gib), end - start, start, start)
        )

    if fits(size.cores, size.memory_gib):
        return size
    cores = most(need.cores, size.cores, lambda cores: fits(cores, need.memory_gib))
    memory_gib = most(need.memory_gib, size.memory_gib, lambda memory: fits(cores, memory))
    return replace(size, cores=cores, memory_gib=memory_gib)
