"""From candidates and what is taken to ranked offers. No database, no clock: everything is handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from broker.model import Level, Note, Placement, Request
from broker.offers import price
from broker.offers.candidates import Candidate, Slot, assess, ceil_second, find_slot
from broker.offers.rank import Priced, explained, rank
from broker.platforms import Platform
from federation.sites import Federation
from netprobe.forecast import ForecastPath
from reservations.capacity import Booking

# how many offers are made and held for one request
MOST_OFFERS = 5


@dataclass(frozen=True)
class Offers:
    """Placements, best first (none: the answer is NO), and why the other sites are not among them."""

    placements: tuple[Placement, ...]
    notes: tuple[Note, ...]


def find_candidates(
    federation: Federation, platforms: Mapping[str, Platform], request: Request, forecast: ForecastPath
) -> tuple[list[Candidate], tuple[Note, ...]]:
    """The sites that could run the request if they had room, and the reasons why the others can't.

    Reads the archive through `forecast`, and so may block. Sites without a platform are passed over.
    """
    candidates: list[Candidate] = []
    reasons: list[Note] = []
    for site in federation:
        if site.id in platforms:
            found = assess(site, platforms[site.id], request, forecast)
            if isinstance(found, Candidate):
                candidates.append(found)
            else:
                reasons.extend(found)
    if not candidates and not reasons:
        reasons.append(Note("no-platform", "No site of this federation has a compute platform"))
    return candidates, tuple(reasons)


def make_offers(
    candidates: Sequence[Candidate],
    taken: Mapping[str, Sequence[Booking]],
    now: datetime,
    lifetime: timedelta,
    most: int = MOST_OFFERS,
) -> Offers:
    """The best `most` of the candidates that have room and keep the request's limits, best first.

    `taken` is what is booked by site. Offers live for `lifetime`; zero for a direct execution.
    """
    offers: list[Priced] = []
    reasons: list[Note] = []
    for candidate in candidates:
        slot = find_slot(candidate, taken.get(candidate.site.id, ()), now, lifetime)
        if isinstance(slot, Note):
            reasons.append(slot)
            continue
        offer = _priced(candidate, slot, now)
        broken = _broken_limits(candidate, offer.placement)
        if broken:
            reasons.extend(broken)
        else:
            offers.append(offer)
    best = rank(offers)[:most]
    return Offers(tuple(explained(best, now + lifetime)), tuple(reasons))


def as_information(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Reasons against a site, beside offers from others: no error, but worth knowing."""
    return tuple(replace(note, level=Level.INFO) if note.level is Level.ERROR else note for note in notes)


def _priced(candidate: Candidate, slot: Slot, now: datetime) -> Priced:
    request, site, staging = candidate.request, candidate.site, candidate.staging
    first = last = expected = slot.start + request.duration
    if slot.waits_for_data:
        soonest = ceil_second(now + timedelta(seconds=candidate.prepare.p10))
        first = min(max(soonest, request.earliest_start) + request.duration, last)
        # Starts on the wire are whole seconds; ranking is finer.
        ready = now + timedelta(seconds=candidate.prepare.p90)
        expected = max(ready, request.earliest_start) + request.duration
    size = slot.size
    placement = Placement(
        site_id=site.id,
        cores=size.cores,
        memory_gib=size.memory_gib,
        storage_gib=size.storage_gib,
        prepare_start=slot.prepare_start,
        prepare_seconds=candidate.prepare.p90,
        start=slot.start,
        duration=request.duration,
        staging=staging,
        costs=price.costs(site, size.cores, size.memory_gib, request.duration, staging),
        metrics=price.metrics(site, staging, now, (first, last)),
        notes=candidate.warnings,
        start_within=slot.start_within,
    )
    return Priced(placement, expected, slot.waits_for_data)


def _broken_limits(candidate: Candidate, placement: Placement) -> list[Note]:
    request, site = candidate.request, candidate.site.id
    return [
        *price.broken_limits(request.cost_limits, placement.costs, "/costs", site),
        *price.broken_limits(request.metric_limits, placement.metrics, "/metrics", site),
    ]
