"""What a client could ask for instead: each change in words, and as what it makes of the request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from broker.contract.times import format_duration
from broker.model import Limit, MinMax, Request
from broker.offers import checks
from federation.sites import Platform

# so much later a start counts as much as half the cores
HALF_AS_GOOD = timedelta(hours=12)


@dataclass(frozen=True)
class Change:
    """`words` follow "if you". `distance` from what was asked: 0 is nothing, 1 all of it.

    `of` is what is made less, where it is a size: a later change of it says all that an earlier one does.
    """

    words: str
    distance: float
    apply: Callable[[Request], Request]
    of: str | None = None


def within_site(platform: Platform, request: Request) -> tuple[tuple[Change, ...], Request] | None:
    """The changes that keep `request` within what the site gives to one session, and what becomes of it.

    None where no change does, because the data alone needs more.
    """
    most, asked = checks.largest(platform), checks.need(request)
    changes: list[Change] = []
    if asked.cores > most.cores:
        changes.append(fewer_cores(request, most.cores))
    if asked.memory_gib > most.memory_gib:
        changes.append(less_memory(request, most.memory_gib))
    if asked.storage_gib > most.storage_gib:
        if least_storage(request) > most.storage_gib:
            return None
        changes.append(less_storage(request, most.storage_gib))
    if request.duration.total_seconds() > platform.max_duration_seconds:
        longest = platform.max_duration_seconds
        changes.append(shorter(request, timedelta(seconds=int(longest) if longest >= 1 else longest)))
    return tuple(changes), applied(request, changes)


def applied(request: Request, changes: Sequence[Change]) -> Request:
    for change in changes:
        request = change.apply(request)
    return request


def merged(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The same with one change of each size: the last, which was made after those before it."""
    kept: list[Change] = []
    for change in changes:
        before = next((each for each in kept if change.of is not None and each.of == change.of), None)
        if before is None:
            kept.append(change)
        else:
            left = (1 - before.distance) * (1 - change.distance)
            kept[kept.index(before)] = replace(change, distance=1 - left)
    return tuple(kept)


def in_words(changes: Sequence[Change]) -> str:
    """All of them, to follow "if you"."""
    words = [change.words for change in changes]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def distance(changes: Sequence[Change]) -> float:
    """How far all of them are from what was asked. Two changes are farther than one."""
    return sum(0.1 + change.distance for change in changes)


def fewer_cores(request: Request, cores: int) -> Change:
    unit = "core" if cores == 1 else "cores"
    return Change(
        f"ask for at most {cores} {unit}",
        _less(request.cores.minimum, cores),
        lambda asked: replace(asked, cores=_at_most(asked.cores, cores)),
        "cores",
    )


def less_memory(request: Request, gib: int) -> Change:
    return Change(
        f"ask for at most {gib} GiB of memory",
        _less(request.memory_gib.minimum, gib),
        lambda asked: replace(asked, memory_gib=_at_most(asked.memory_gib, gib)),
        "memory",
    )


def least_storage(request: Request) -> int:
    """GiB that the data alone needs, however little storage is asked for besides."""
    return checks.need(_with_storage(request, 0)).storage_gib


def less_storage(request: Request, gib: int) -> Change:
    """`gib` is at least `least_storage`: the largest storages give way first."""
    return Change(
        f"ask for at most {gib} GiB of storage",
        _less(checks.need(request).storage_gib, gib),
        lambda asked: _fitting_storage(asked, gib),
        "storage",
    )


def shorter(request: Request, duration: timedelta) -> Change:
    return Change(
        f"ask for a duration of at most {format_duration(duration)}",
        _less(request.duration.total_seconds(), duration.total_seconds()),
        lambda asked: replace(asked, duration=min(asked.duration, duration)),
        "duration",
    )


def later(request: Request, latest_start: datetime) -> Change:
    late = (latest_start - request.latest_start) / HALF_AS_GOOD
    return Change(
        f"ask for a start up to {instant(latest_start)}",
        late / (1 + late),
        lambda asked: replace(asked, latest_start=max(asked.latest_start, latest_start)),
    )


def other_limit(words: str, old: Limit, new: Limit | None) -> Change:
    """`new` in the place of the limit `old`; None: none."""

    def apply(asked: Request) -> Request:
        return replace(
            asked,
            cost_limits=_instead(asked.cost_limits, old, new),
            metric_limits=_instead(asked.metric_limits, old, new),
        )

    return Change(words, 1.0 if new is None else _ratio(old, new), apply)


def instant(when: datetime) -> str:
    """As on the wire, to the second."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _instead(limits: Sequence[Limit], old: Limit, new: Limit | None) -> tuple[Limit, ...]:
    kept = (new if limit == old else limit for limit in limits)
    return tuple(limit for limit in kept if limit is not None)


def _ratio(old: Limit, new: Limit) -> float:
    pairs = ((old.minimum, new.minimum), (old.maximum, new.maximum))
    moved = [(a, b) for a, b in pairs if a is not None and b is not None and a != b]
    return max((abs(b - a) / max(abs(a), abs(b)) for a, b in moved), default=0.0)


def _at_most(asked: MinMax, most: int) -> MinMax:
    return replace(asked, minimum=min(asked.minimum, most))


def _less(asked: float, given: float) -> float:
    return max(0.0, (asked - given) / asked) if asked else 0.0


def _with_storage(request: Request, most: int) -> Request:
    """No storage asks for more than `most` of its own."""
    return replace(
        request,
        storage=tuple(replace(each, size_gib=_at_most(each.size_gib, most)) for each in request.storage),
    )


def _fitting_storage(request: Request, gib: int) -> Request:
    low, high = 0, max((each.size_gib.minimum for each in request.storage), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if checks.need(_with_storage(request, middle)).storage_gib <= gib:
            low = middle
        else:
            high = middle - 1
    return _with_storage(request, low)
