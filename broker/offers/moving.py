"""The next window for a session that can't have the one that it was offered."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from broker.model import Placement, Request
from broker.offers.calendars import SiteCalendars
from broker.offers.slots import lead_seconds
from broker.offers.windows import ceil_second, whole_start, windows
from reservations.capacity import Capacity, Timeline, both


def next_placement(
    placement: Placement,
    request: Request,
    taken: Timeline,
    calendars: SiteCalendars | None,
    now: datetime,
) -> Placement | None:
    """The same at the next start of the requested range behind the present one; None where there is none.

    `taken` and `calendars` are without what the session itself holds.
    """
    size = Capacity(placement.cores, placement.memory_gib, placement.storage_gib)
    ready = ceil_second(now + timedelta(seconds=placement.prepare_seconds))
    earliest = max(request.earliest_start, ready, placement.start + timedelta(seconds=1))
    within = earliest, request.latest_start
    lead = min(timedelta(seconds=lead_seconds(placement.prepare_seconds)), earliest - now)
    found = windows(taken, size, placement.duration, within, lead)
    if calendars is not None and found:
        found = both(found, calendars.windows(size, placement.duration, *within))
    start = whole_start(found)
    if start is None:
        return None
    return replace(placement, start=start, prepare_start=start - lead, start_within=timedelta(0))
