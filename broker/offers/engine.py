"""From candidates and what is taken to ranked offers. No database, no clock: everything is handed in."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from broker.images.looking import Images
from broker.model import Level, Note, Placement, Request
from broker.offers import checks
from broker.offers.advice import no_room
from broker.offers.candidates import Candidate, assess
from broker.offers.images import look_for_images
from broker.offers.placing import place, place_ready
from broker.offers.rank import Priced, chosen, explained, rank
from broker.offers.reach import Reach
from broker.offers.slots import Moment
from broker.offers.windows import ceil_second
from broker.platforms import OffersItself, Platform, PlatformError, ReadyOffer
from federation.sites import Federation
from netprobe.forecast import ForecastPath
from reservations.capacity import Booking, Timeline

log = logging.getLogger(__name__)

# how many offers are made and held for one request
MOST_OFFERS = 5
# brokers that are asked at the same time
BROKERS_AT_ONCE = 8


@dataclass(frozen=True)
class Offers:
    """Placements, best first (none: the answer is NO), and why the other sites are not among them."""

    placements: tuple[Placement, ...]
    notes: tuple[Note, ...]


def find_candidates(
    federation: Federation,
    platforms: Mapping[str, Platform],
    request: Request,
    forecast: ForecastPath,
    now: datetime | None = None,
    document: Any = None,
    images: Images | None = None,
    reach: Reach | None = None,
) -> tuple[list[Candidate], tuple[Note, ...]]:
    """The sites that could run the request if they had room (or it were changed), and why the others can't.

    Reads the archive through `forecast`, and asks those platforms that are brokers themselves for offers to
    `document` (from `now` on; None: they are not asked), registries for the image by `images`, and resolvers
    by `reach` (None: sites may fetch from anywhere); so it may block. Sites without a platform are passed
    over.
    """
    candidates: list[Candidate] = []
    reasons: list[Note] = []
    looked = look_for_images(federation, platforms, request.executable, images)
    if reach is not None:
        there = [site for site in federation if site.id in platforms]
        reach.learn(there, [replica for item in request.data for replica in item.replicas])
    for site in federation:
        if site.id in platforms:
            backend = platforms[site.id]
            found = assess(site, backend, request, forecast, federation, looked.get(site.id), reach)
            if not isinstance(found, Candidate):
                reasons.extend(found)
            elif isinstance(backend, OffersItself) and found.reasons:
                reasons.extend(found.reasons)
            else:
                candidates.append(found)
    brokers = {each.site.id: each for each in candidates if isinstance(platforms[each.site.id], OffersItself)}
    if brokers:
        answers = _ask(brokers, platforms, now, document)
        reasons += [note for _, notes in answers.values() for note in notes]
        asked = (
            replace(each, ready=answers[each.site.id][0]) if each.site.id in answers else each
            for each in candidates
        )
        candidates = [each for each in asked if each.ready != ()]
    if not candidates and not reasons:
        reasons.append(Note("no-platform", "No site of this federation has a compute platform"))
    return candidates, tuple(reasons)


def make_offers(
    candidates: Sequence[Candidate],
    taken: Mapping[str, Sequence[Booking]],
    now: datetime,
    lifetime: timedelta,
    most: int = MOST_OFFERS,
    refused: Sequence[Note] = (),
    room: Mapping[str, int] | None = None,
) -> Offers:
    """The best `most` of the starts at which the candidates have room and keep the request's limits.

    `taken` is what is booked by site. Offers live for `lifetime`; zero for a direct execution. `refused` are
    the reasons of sites that are no candidates. `room`: how many more offers the client may have open, by
    site, where the site limits them. Quick enough for a transaction in which others wait; `refusal.explain`
    says more of a NO, and takes its time.
    """
    moment = Moment(now, lifetime)
    offers: list[Priced] = []
    reasons: list[Note] = list(refused)
    for candidate in candidates:
        count = most if room is None else min(most, room.get(candidate.site.id, most))
        found, notes = _offers_of(candidate, taken.get(candidate.site.id, ()), moment, count)
        offers += found
        reasons += notes
    ranked = rank(offers)
    best = chosen(ranked, most)
    return Offers(tuple(explained(best, ranked, now + lifetime if lifetime else None)), tuple(reasons))


def as_information(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Reasons against a site, beside offers from others: no error, but worth knowing."""
    return tuple(replace(note, level=Level.INFO) if note.level is Level.ERROR else note for note in notes)


def _offers_of(
    candidate: Candidate, bookings: Sequence[Booking], moment: Moment, count: int
) -> tuple[list[Priced], list[Note]]:
    """The candidate's offers, or the reasons why it has none."""
    if candidate.reasons:
        return [], list(candidate.reasons)
    if count < 1:
        text = "{site} lets one user have {limit} offers open at a time, and so many are: "
        text += "accept or reject one of them, or wait until it expires"
        values = {"site": candidate.site.id, "limit": str(candidate.site.policy.max_open_offers)}
        return [], [Note("open-offers", text, values)]
    if candidate.ready is not None:
        return place_ready(candidate, moment, count)
    timeline = Timeline.of(checks.pool(candidate.platform), bookings)
    found = place(candidate, timeline, moment, count)
    offers = [each for each in found if isinstance(each, Priced)]
    broken = [each.note for each in found if not isinstance(each, Priced)]
    return offers, broken if found else no_room(candidate, moment)


def _ask(
    brokers: Mapping[str, Candidate], platforms: Mapping[str, Platform], now: datetime | None, document: Any
) -> dict[str, tuple[tuple[ReadyOffer, ...], list[Note]]]:
    """What the sites' own brokers offer, and what they say, by site; all are asked at the same time."""

    def ask(candidate: Candidate) -> tuple[tuple[ReadyOffer, ...], list[Note]]:
        platform, request, site = platforms[candidate.site.id], candidate.request, candidate.site.id
        assert isinstance(platform, OffersItself)
        if now is None:
            return (), []
        ready = ceil_second(now + timedelta(seconds=candidate.prepare.p90))
        earliest = max(request.earliest_start, ready)
        if earliest > request.latest_start:
            return (), no_room(candidate, Moment(now, timedelta(0)))
        try:
            found = platform.offers(request, document, earliest, request.latest_start)
        except PlatformError as error:
            values = {"site": site, "reason": str(error)}
            return (), [Note("broker-offer", "{site}: {reason}", values)]
        except Exception:
            log.exception("asking the broker of %s failed inside this one", site)
            return (), [Note("broker-offer", "{site}: its broker could not be understood", {"site": site})]
        offers = tuple(each for each in found if isinstance(each, ReadyOffer))
        notes = [
            replace(note, template="{site}: " + note.template, values={"site": site, **note.values})
            for note in found
            if isinstance(note, Note)
        ]
        if not offers and not notes:
            notes = [
                Note("broker-offer", "{site}: its broker has no offer, and doesn't say why", {"site": site})
            ]
        return offers, notes

    with ThreadPoolExecutor(max_workers=BROKERS_AT_ONCE, thread_name_prefix="ask") as pool:
        return dict(zip(brokers, pool.map(ask, brokers.values()), strict=True))
