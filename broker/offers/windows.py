"""When a need is free at a platform: compute for the duration, storage from the preparation on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from reservations.capacity import Capacity, Timeline, Window, both, windows_in

# windows to look at, where those of compute and those of storage must meet
MANY = 1000


def windows(
    taken: Timeline,
    need: Capacity,
    duration: timedelta,
    within: tuple[datetime, datetime],
    lead: timedelta,
) -> list[Window]:
    """Starts in `within` at which compute is free for `duration`, and storage from `lead` before on.

    Earliest first; empty where there is none.
    """
    earliest, latest = within
    compute = Capacity(need.cores, need.memory_gib, 0)
    free = windows_in(taken, compute, duration, earliest, latest, MANY)
    if need.storage_gib == 0 or not free:
        return free
    storage = Capacity(0, 0, need.storage_gib)
    roomy = windows_in(taken, storage, duration + lead, earliest - lead, latest - lead, MANY)
    return both(free, [Window(each.start + lead, each.latest_start + lead) for each in roomy])


def whole_start(found: Sequence[Window]) -> datetime | None:
    """The first start on a whole second, for instants on the wire have no fraction; else the first at all."""
    for window in found:
        start = ceil_second(window.start)
        if start <= window.latest_start:
            return start
    return found[0].start if found else None


def ceil_second(instant: datetime) -> datetime:
    """The next whole second."""
    whole = instant.replace(microsecond=0)
    return whole if whole == instant else whole + timedelta(seconds=1)
