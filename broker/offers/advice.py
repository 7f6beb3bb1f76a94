"""Why a candidate has no room, and the nearest changes that make its NO a YES: each of them was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from broker.contract.times import format_duration
from broker.model import Level, Note, Request
from broker.offers import changes
from broker.offers.candidates import Candidate
from broker.offers.changes import Change, instant
from broker.offers.placing import least_problems
from broker.offers.slots import Moment, earliest_slot, most, starts
from broker.offers.windows import ceil_second
from reservations.capacity import Timeline

# how far behind the asked start range the nearest window that would do is looked for
LOOK_AHEAD = timedelta(days=30)
# raising one limit can show that another is broken, too: so often at most
LIMIT_ROUNDS = 4


@dataclass(frozen=True)
class Way:
    """Changes that make a site's NO a YES if all of them are made."""

    site_id: str
    changes: tuple[Change, ...]

    @property
    def distance(self) -> float:
        return changes.distance(self.changes)

    @property
    def words(self) -> str:
        return changes.in_words(self.changes)


def no_room(candidate: Candidate, moment: Moment) -> list[Note]:
    """Why there is no slot in the asked range: also by the site's own calendars, where it has some."""
    request, need = candidate.request, candidate.need
    ready = moment.ready(candidate)
    values = {"site": candidate.site.id, "latest": instant(request.latest_start)}
    path = "/schedule/requested/start"
    if ready > request.latest_start:
        text = "{site}: data and image are there by {ready} (90 %), after the latest start {latest}"
        return [Note("not-ready-in-time", text, values | {"ready": instant(ready)}, Level.ERROR, path)]
    values |= {"cores": str(need.cores), "memory": str(need.memory_gib), "storage": str(need.storage_gib)}
    values |= {"earliest": instant(max(request.earliest_start, ready))}
    values |= {"duration": format_duration(candidate.duration)}
    text = "{site}: no start from {earliest} to {latest} has {cores} cores and {memory} GiB of memory"
    text += ", with {storage} GiB of storage," if need.storage_gib else ""
    notes = [Note("no-room", text + " free for {duration}", values, Level.ERROR, path)]
    if candidate.calendars is not None:
        earliest = max(request.earliest_start, ready)
        why = candidate.calendars.obstacle(need, candidate.duration, earliest, request.latest_start)
        if why is not None:
            values = {"site": candidate.site.id, "reason": why}
            notes.append(Note("no-space", "{site}: by its calendar, {reason}", values, Level.ERROR, path))
    return notes


def ways(candidate: Candidate, taken: Timeline, moment: Moment) -> list[Way]:
    """What would make this NO a YES, nearest first; empty where nothing that was tried would.

    Each way is a change of one thing beside what the site's own size asks for, and of the limits that are
    broken then.
    """
    found = []
    for change in _one_more(candidate, taken, moment):
        request = changes.applied(candidate.request, change)
        limits = _limit_changes(candidate.asking(request), taken, moment)
        if limits is not None:
            made = changes.merged((*candidate.changes, *change, *limits))
            found.append(Way(candidate.site.id, made))
    return sorted(found, key=lambda way: way.distance)


def _one_more(candidate: Candidate, taken: Timeline, moment: Moment) -> Iterator[tuple[Change, ...]]:
    """Each change of one thing that gives a slot; no change where there is one already."""
    if earliest_slot(candidate, taken, moment) is not None:
        yield ()
        return
    request, need = candidate.request, candidate.need

    def room(change: Callable[[Request, int], Change]) -> Callable[[int], bool]:
        def works(value: int) -> bool:
            other = candidate.asking(change(request, value).apply(request))
            return bool(starts(other, taken, other.need, moment))

        return works

    if moment.ready(candidate) <= request.latest_start:
        least_storage = changes.least_storage(request) - 1
        sizes = (
            (changes.fewer_cores, 0, need.cores - 1),
            (changes.less_memory, 0, need.memory_gib - 1),
            (changes.less_storage, least_storage, need.storage_gib - 1),
            (_shorter, 0, int(request.duration.total_seconds()) - 1),
        )
        for change, none, asked in sizes:
            value = most(none, asked, room(change))
            if value > none:
                yield (change(request, value),)
    latest = max(request.latest_start, moment.ready(candidate)) + LOOK_AHEAD
    for window in starts(candidate, taken, need, moment, latest):
        start = ceil_second(window.start)
        if start <= window.latest_start:
            yield (changes.later(request, start),)
            return


def _shorter(request: Request, seconds: int) -> Change:
    """To the minute, where there are some: what is shorter fits, too."""
    return changes.shorter(request, timedelta(seconds=seconds - seconds % 60 if seconds >= 120 else seconds))


def _limit_changes(candidate: Candidate, taken: Timeline, moment: Moment) -> tuple[Change, ...] | None:
    """The changes of limits with which the candidate keeps them all; None where it can't."""
    made: list[Change] = []
    for _ in range(LIMIT_ROUNDS):
        slot = earliest_slot(candidate, taken, moment)
        if slot is None:
            return None
        problems = least_problems(candidate, slot, moment)
        if not problems:
            return tuple(made)
        for problem in problems:
            if problem.change is None:
                return None
            made.append(problem.change)
            candidate = candidate.asking(problem.change.apply(candidate.request))
    return None
