"""From a client's request to the answer that is kept: what was found, what is held, and why not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine

from broker.catalogues import Catalogue
from broker.contract.read import parse_request
from broker.images.looking import Images
from broker.model import Note, Phase, Placement, Request
from broker.nesting.needs import asks
from broker.nesting.store import read_nesting
from broker.offers.by_rule import Seen, by_rule
from broker.offers.candidates import Candidate
from broker.offers.checks import unknown_sizes
from broker.offers.engine import MOST_OFFERS, as_information, find_candidates, make_offers
from broker.offers.inside import inside
from broker.offers.nested import able
from broker.offers.purses import Purses
from broker.offers.reach import Reach
from broker.offers.refusal import explain
from broker.offers.spaces import Spaces
from broker.platforms import Platform
from broker.pull_times import by_pulls
from broker.records import OfferSetRecord, Owner, SessionRecord
from broker.sessions import cloud_leases, components, ledger, open_offers, store
from broker.sessions.brought import delays
from federation.clock import Clock
from federation.database import write
from federation.sites import Federation
from federation.turns import Turns
from netprobe.forecast import Forecaster
from reservations.capacity import Booking
from reservations.sources.static import operator_bookings

# how far ahead other bookings are asked for: start range, look-ahead and the longest session lie within
HORIZON = timedelta(days=400)
# requests that are decided upon at a time: more would wait for each other's sites, keep connections, and take
# the processor from the one that everybody waits for
DECIDING = 2


@dataclass(frozen=True)
class Around:
    """What is asked for an answer. `platforms` by site, `catalogues` by kind; `images` None: no registry;
    `reach`: what sites may fetch from."""

    federation: Federation
    platforms: Mapping[str, Platform]
    catalogues: Mapping[str, Catalogue]
    engine: Engine
    clock: Clock
    forecaster: Forecaster
    images: Images | None
    spaces: Spaces
    purses: Purses
    reach: Reach


class Answers:
    """Answers requests. Calls may block, and be made from several threads at once."""

    def __init__(self, around: Around, lifetime: timedelta) -> None:
        """`lifetime`: how long offers are held."""
        self._around, self._lifetime = around, lifetime
        self._deciding = Turns(DECIDING)

    def offer(self, document: Any, owner: Owner, direct: bool) -> tuple[OfferSetRecord, SessionRecord | None]:
        """The answer, which is kept; and of a direct execution its session, None where it is refused.

        Raises `broker.contract.read.Malformed` where `document` has the wrong shape.
        """
        begun = monotonic()
        request, found = parse_request(document, self._around.clock.now(), self._around.catalogues)
        notes = tuple(found)
        candidates: list[Candidate] = []
        reasons: tuple[Note, ...] = ()
        if request is not None:
            notes += tuple(unknown_sizes(request))
            candidates, reasons = find_candidates(
                self._around.federation,
                self._around.platforms,
                request,
                self._around.forecaster.path,
                self._around.clock.now(),
                document,
                self._around.images,
                self._around.reach,
            )
            candidates = by_pulls(candidates, self._around.engine, self._around.clock.now())
        if request is not None and asks(request.executable):
            with self._around.engine.connect() as connection:
                known = read_nesting(connection)
            candidates, unable = able(candidates, known)
            reasons += unable
        seen: Seen = {}
        if request is not None and any(item.targets for item in request.data):
            with self._around.engine.connect() as connection:
                seen = delays(connection, self._around.clock.now())
            candidates = by_rule(candidates, self._around.forecaster.path, seen)
        candidates, too_long = inside(candidates, self._around.platforms, self._around.forecaster.path, seen)
        reasons += too_long
        candidates, unknown = self._around.spaces.bound(candidates)
        reasons += tuple(unknown)
        candidates = self._beside_held(self._around.purses.known(candidates))
        others = {candidate.site.id: self.other_bookings(candidate.site.id) for candidate in candidates}
        lifetime = timedelta(0) if direct else self._lifetime
        with self._deciding, write(self._around.engine) as connection:
            ledger.lock_sites(connection, others)
            now = self._around.clock.now()
            taken = ledger.occupancy(connection, now, others)
            for site, bookings in others.items():
                taken.setdefault(site, []).extend(bookings)
            # what was promised since is found in moments, for most of it is in there already
            held = ledger.held(connection, now, _bound(candidates))
            candidates = [each.beside(held.get(each.site.id, ())) for each in candidates]
            room = None if direct else open_offers.room(connection, self._around.federation, owner.id, now)
            most = 1 if direct else MOST_OFFERS
            offers = make_offers(candidates, taken, now, lifetime, most, reasons, room)
            yes = bool(offers.placements)
            answer = OfferSetRecord(
                uuid=str(uuid.uuid4()),
                owner=owner.id,
                created=now,
                modified=now,
                yes=yes,
                notes=notes + as_information(offers.notes),
                name=_name(document),
            )
            if yes:
                store.insert_offerset(connection, answer, direct, document, request, monotonic() - begun)
            expires = None if direct else now + lifetime
            made = [
                _new_session(answer, request, placement, expires, notes) for placement in offers.placements
            ]
            store.insert_sessions(connection, made, answer.uuid)
            ledger.hold(connection, made)
            components.insert_components(connection, made)
            if direct:
                for session in made:
                    self.reserve(connection, session)
        if not yes:
            # Nothing is held, so nobody need wait while it is looked for what would help.
            refusal = explain(offers.notes, candidates, taken, now, lifetime)
            answer = replace(answer, notes=refusal.notes + notes)
            with write(self._around.engine) as connection:
                store.insert_offerset(connection, answer, direct, document, request, monotonic() - begun)
        with self._around.engine.connect() as connection:
            if direct:
                return answer, store.read_session(connection, made[0].uuid) if made else None
            return store.known(store.read_offerset(connection, answer.uuid)), None

    def _beside_held(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """With what is promised at their sites, which their calendars may not have yet."""
        sites = _bound(candidates)
        if not sites:
            return list(candidates)
        with self._around.engine.connect() as connection:
            held = ledger.held(connection, self._around.clock.now(), sites)
        return [
            each
            if each.calendars is None
            else replace(
                each, calendars=self._around.spaces.beside(each.calendars, held.get(each.site.id, ()))
            )
            for each in candidates
        ]

    def reserve(self, connection: Connection, session: SessionRecord) -> None:
        """Have the supervisor reserve what an accepted session needs, where its site's cloud is booked."""
        placement = session.placement
        if placement is None or placement.reference is not None:
            return
        if self._around.spaces.booking(placement.site_id) is not None:
            cloud_leases.want(connection, session.uuid)

    def other_bookings(self, site: str) -> Sequence[Booking]:
        """What others than this broker have booked at the site."""
        now = self._around.clock.now()
        return operator_bookings(self._around.federation[site], now, now + HORIZON)


def _bound(candidates: Sequence[Candidate]) -> list[str]:
    return [each.site.id for each in candidates if each.calendars is not None]


def _new_session(
    answer: OfferSetRecord,
    request: Request | None,
    placement: Placement,
    expires: datetime | None,
    notes: tuple[Note, ...],
) -> SessionRecord:
    """An offer; without `expires` a session that is accepted already, and shows `notes` itself."""
    direct = expires is None
    return SessionRecord(
        uuid=str(uuid.uuid4()),
        offerset_uuid=None if direct else answer.uuid,
        owner=answer.owner,
        phase=Phase.ACCEPTED if direct else Phase.OFFERED,
        created=answer.created,
        modified=answer.modified,
        # what another broker holds for us, it may hold for less long
        expires=min(expires, placement.expires) if expires and placement.expires else expires,
        request=request,
        placement=placement,
        notes=store.timed(notes, answer.created) if direct else (),
    )


def _name(document: Any) -> str | None:
    """The name that the client gave to its request."""
    meta = document.get("meta") if isinstance(document, Mapping) else None
    name = meta.get("name") if isinstance(meta, Mapping) else None
    return name if isinstance(name, str) else None
