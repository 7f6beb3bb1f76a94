"""Where a request could run, and when: sites that can run it, then windows in which it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model import Level, Note, Request
from broker.offers import checks
from broker.platforms import Platform as Backend
from federation.sites import Platform, Site
from netprobe.cost import Item, Staging, plan_staging
from netprobe.forecast import ForecastPath
from netprobe.quantiles import Quantiles
from reservations.capacity import Booking, Capacity, Window, first_windows, free_throughout

# how far behind the asked start range we look for the nearest window that would do
LOOK_AHEAD = timedelta(days=30)
# windows to look at, where those of compute and those of storage must meet
MANY = 1000


@dataclass(frozen=True)
class Candidate:
    """A site that can run the request when it has room. `prepare`: seconds until data and image are there."""

    site: Site
    platform: Platform
    request: Request
    staging: Staging
    prepare: Quantiles
    need: Capacity
    warnings: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Slot:
    """Room for a candidate: starts in [start, start + start_within] all do."""

    start: datetime
    start_within: timedelta
    prepare_start: datetime
    size: Capacity
    # whether it could start sooner, were the data there sooner
    waits_for_data: bool


def assess(
    site: Site, backend: Backend, request: Request, forecast: ForecastPath
) -> Candidate | tuple[Note, ...]:
    """The site as a candidate, or all the reasons why it can't be one."""
    platform = site.platform
    if platform is None:
        text = "{site} has no compute platform"
        return (Note("no-platform", text, {"site": site.id}),)
    refused = [
        Note(note.kind, "{site}: " + note.template, {"site": site.id, **note.values}, note.level, note.path)
        for note in backend.check(request.executable)
    ]
    reasons = [*refused, *checks.too_large(site, platform, request)]
    for position, item in enumerate(request.data):
        if not item.replicas:
            text = "{name} has no replica to bring to {site}: name a location"
            values = {"name": item.name, "site": site.id}
            reasons.append(Note("no-replica", text, values, Level.ERROR, f"/data/{position}"))
    if reasons:
        return tuple(reasons)
    items = [
        Item(
            item.uuid, checks.size_bytes(item), [(replica.url, replica.site_id) for replica in item.replicas]
        )
        for item in request.data
    ]
    staging = plan_staging(items, site.id, forecast)
    image = backend.image_seconds(request.executable)
    seconds = staging.seconds
    # `image` is a 90 % quantile: at best the image is there already
    prepare = Quantiles(seconds.p10, seconds.p50 + image, seconds.p90 + image)
    warnings = tuple(checks.capped(site, platform, request))
    return Candidate(site, platform, request, staging, prepare, checks.need(request), warnings)


def find_slot(
    candidate: Candidate, bookings: Sequence[Booking], now: datetime, lifetime: timedelta
) -> Slot | Note:
    """The first slot inside the asked start range before which the preparation is done (90 %), or why not.

    An offer may be accepted at any time in `lifetime`, and preparation begins then: so the slot leaves room
    for a start that is as much later, where the window and the asked range allow it.
    """
    request = candidate.request
    ready = ceil_second(now + timedelta(seconds=candidate.prepare.p90))
    earliest = max(request.earliest_start, ready)
    if earliest > request.latest_start:
        return _too_late(candidate, ready)
    lead = _lead(candidate, earliest - now)
    windows = _windows(candidate, bookings, candidate.need, earliest, request.latest_start, lead)
    if not windows:
        return _no_room(candidate, bookings, earliest, lead)
    window = windows[0]
    ready_at_last = now + lifetime + timedelta(seconds=candidate.prepare.p90)
    start = min(ceil_second(window.start), window.latest_start)
    within = min(ready_at_last, window.latest_start) - start
    within = max(timedelta(seconds=int(within.total_seconds())), timedelta(0))
    return Slot(
        start=start,
        start_within=within,
        prepare_start=start - lead,
        size=_size(candidate, bookings, start, start + within + request.duration),
        waits_for_data=start == ready,
    )


def ceil_second(instant: datetime) -> datetime:
    """The next whole second: instants on the wire have no fraction."""
    whole = instant.replace(microsecond=0)
    return whole if whole == instant else whole + timedelta(seconds=1)


def _lead(candidate: Candidate, most: timedelta) -> timedelta:
    """How long before the start the preparation begins: with some margin, where there is time for it."""
    seconds = candidate.prepare.p90
    return min(timedelta(seconds=2 * seconds + 60), most)


def _windows(
    candidate: Candidate,
    bookings: Sequence[Booking],
    need: Capacity,
    earliest: datetime,
    latest: datetime,
    lead: timedelta,
) -> list[Window]:
    """Starts at which compute is free for the duration, and storage from `lead` before the start on."""
    pool = checks.pool(candidate.platform)
    duration = candidate.request.duration
    compute = Capacity(need.cores, need.memory_gib, 0)
    free = first_windows(pool, bookings, compute, duration, earliest, latest, MANY)
    if need.storage_gib == 0:
        return free
    storage = Capacity(0, 0, need.storage_gib)
    roomy = first_windows(pool, bookings, storage, duration + lead, earliest - lead, latest - lead, MANY)
    both = [
        Window(max(a.start, b.start + lead), min(a.latest_start, b.latest_start + lead))
        for a in free
        for b in roomy
    ]
    return sorted((w for w in both if w.start <= w.latest_start), key=lambda w: w.start)


def _size(candidate: Candidate, bookings: Sequence[Booking], start: datetime, end: datetime) -> Capacity:
    """The requested maximum where one is named, as far as it is free; else the minimum."""
    need, most = candidate.need, checks.largest(candidate.platform)
    free = free_throughout(checks.pool(candidate.platform), bookings, start, end)

    def between(minimum: int, maximum: int | None, limit: int, left: int) -> int:
        return minimum if maximum is None else max(minimum, min(maximum, limit, left))

    request = candidate.request
    return Capacity(
        between(need.cores, request.cores.maximum, most.cores, free.cores),
        between(need.memory_gib, request.memory_gib.maximum, most.memory_gib, free.memory_gib),
        need.storage_gib,
    )


def _too_late(candidate: Candidate, ready: datetime) -> Note:
    text = (
        "{site}: data and image are there by {ready} (90 %), after the latest start {latest}: "
        "ask for a start up to {ready}"
    )
    values = {
        "site": candidate.site.id,
        "ready": instant(ready),
        "latest": instant(candidate.request.latest_start),
    }
    return Note("not-ready-in-time", text, values, Level.ERROR, "/schedule/requested/start")


def _no_room(candidate: Candidate, bookings: Sequence[Booking], earliest: datetime, lead: timedelta) -> Note:
    """What is missing, and the nearest change that would do: fewer cores now, or a later start."""
    request, need = candidate.request, candidate.need
    latest = request.latest_start
    values = {
        "site": candidate.site.id,
        "cores": str(need.cores),
        "memory": str(need.memory_gib),
        "earliest": instant(earliest),
        "latest": instant(latest),
    }
    text = "{site}: no start from {earliest} to {latest} has {cores} cores and {memory} GiB free all the time"
    changes: list[str] = []
    fewer = _most_cores(candidate, bookings, earliest, lead)
    if fewer:
        values["fewer"] = str(fewer)
        changes.append("ask for at most {fewer} cores")
    later = _windows(candidate, bookings, need, earliest, latest + LOOK_AHEAD, lead)
    if later:
        values["later"] = instant(ceil_second(later[0].start))
        changes.append("ask for a start up to {later}")
    if changes:
        text += ": " + ", or ".join(changes)
    return Note("no-room", text, values, Level.ERROR, "/schedule/requested/start")


def _most_cores(
    candidate: Candidate, bookings: Sequence[Booking], earliest: datetime, lead: timedelta
) -> int:
    """The most cores with which the rest of the need would fit in the asked range; 0 where none would."""
    need, latest = candidate.need, candidate.request.latest_start
    fits, fails = 0, need.cores
    while fails - fits > 1:
        middle = (fits + fails) // 2
        fewer = Capacity(middle, need.memory_gib, need.storage_gib)
        if _windows(candidate, bookings, fewer, earliest, latest, lead):
            fits = middle
        else:
            fails = middle
    return fits


def instant(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
