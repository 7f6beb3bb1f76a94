"""The broker: requests become offers, offers sessions, sessions run. `broker.http` shows it to the world."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, BinaryIO, TypeVar

from sqlalchemy import Connection, Engine

from broker.catalogues import load_catalogues
from broker.catalogues.http_tokens import Tokens
from broker.contract.read import parse_request
from broker.images.looking import Images
from broker.inspect.looking import Inspection, OfflineError, look
from broker.model import Note, Phase, Placement, Request
from broker.nesting.needs import asks
from broker.nesting.store import read_nesting
from broker.offers.candidates import Candidate
from broker.offers.checks import unknown_sizes
from broker.offers.engine import MOST_OFFERS, as_information, find_candidates, make_offers
from broker.offers.nested import able
from broker.offers.purses import Purses, load_purses
from broker.offers.refusal import explain
from broker.offers.spaces import Spaces, load_spaces
from broker.phases import Actor
from broker.platforms import Platform, StoredFile, load_platform
from broker.records import NotAllowed, OfferSetRecord, Owner, SessionRecord
from broker.sessions import cloud_leases, components, ledger, listing, open_offers, store
from broker.sessions.listing import Cursor, Filters, Page
from broker.sessions.row import Surroundings
from broker.sessions.supervisor import Supervisor
from broker.sessions.unpacking import Unpacker, no_bearers
from federation.clock import Clock
from federation.database import write
from federation.settings import Settings
from federation.sites import Federation
from federation.turns import Turns
from netprobe.archive import Archive
from netprobe.forecast import Forecaster
from reservations.capacity import Booking
from reservations.credits import CreditSource
from reservations.sources import Placed
from reservations.sources.static import operator_bookings

T = TypeVar("T")
# how far ahead other bookings are asked for: start range, look-ahead and the longest session lie within
HORIZON = timedelta(days=400)
# requests that are decided upon at a time: more would wait for each other's sites, keep connections, and take
# the processor from the one that everybody waits for
DECIDING = 2


class Broker:
    """All calls but `run` are synchronous, may block, and may be made from several threads at once."""

    def __init__(
        self,
        settings: Settings,
        federation: Federation,
        engine: Engine,
        clock: Clock,
        online: bool,
        platforms: Mapping[str, Platform] | None = None,
        sources: Sequence[Placed] | None = None,
        credits: Mapping[str, CreditSource] | None = None,
    ) -> None:
        """`online` False: no catalogue is asked, no registry, no cloud. `platforms`, `credits` by site, and
        `sources` of their space; None: those that the sites name.

        Raises InputError for a platform or a source that nobody knows, or whose options it can't use.
        """
        self._federation, self._engine, self._clock = federation, engine, clock
        self._online = online
        self._lifetime = timedelta(seconds=settings.offer_lifetime_seconds)
        self._deciding = Turns(DECIDING)
        self._archive = Archive(engine)
        self.forecaster = Forecaster(self._archive, federation, clock)
        self._catalogues = load_catalogues(federation, online)
        self._images = Images(clock) if online else None
        self._platforms = platforms or {
            site.id: load_platform(site, federation, clock, settings.work_directory / site.id)
            for site in federation
            if site.platform is not None
        }
        if sources is None:
            sources = load_spaces(federation, clock) if online else ()
        self._purses = Purses(credits or (load_purses(federation, clock) if online else {}), clock)
        self._spaces = Spaces(sources, clock, settings.work_directory.with_name("space"))
        self._supervisor = Supervisor(
            Surroundings(
                federation,
                self._platforms,
                engine,
                self._archive,
                clock,
                self._other_bookings,
                self._spaces,
                Unpacker(
                    self._catalogues,
                    self.forecaster.path,
                    Tokens(federation).bearers if online else no_bearers,
                ),
                settings.sessions_per_site,
                timedelta(seconds=settings.result_lifetime_seconds),
                timedelta(seconds=settings.retention_seconds),
            )
        )

    def request(self, document: Any, owner: Owner) -> OfferSetRecord:
        """Answer with offers that are held until they expire, or with the reasons why there are none.

        Raises `broker.contract.read.Malformed` where `document` has the wrong shape.
        """
        return self._offer(document, owner, direct=False)[0]

    def direct(self, document: Any, owner: Owner) -> SessionRecord:
        """Accept the best offer at once. Refused: a session in phase FAILED, its notes give the reasons."""
        answer, session = self._offer(document, owner, direct=True)
        if session is not None:
            self._supervisor.wake()
            return session
        with write(self._engine) as connection:
            refused = SessionRecord(
                uuid=str(uuid.uuid4()),
                offerset_uuid=None,
                owner=owner.id,
                phase=Phase.FAILED,
                created=answer.created,
                modified=answer.modified,
                expires=None,
                request=None,
                placement=None,
                notes=store.timed(answer.notes, answer.created),
            )
            store.insert_sessions(connection, [refused], answer.uuid)
            known = _known(store.read_session(connection, refused.uuid))
            # what was understood of the request is shown, and so has its addresses
            components.insert_components(connection, [known])
            return known

    def offerset(self, uuid: str) -> OfferSetRecord | None:
        """The set and its sessions as they are now; None where there is no such set."""
        with self._engine.connect() as connection:
            found = store.read_offerset(connection, uuid)
        if found is None or not any(self._overdue(session) for session in found.sessions):
            return found
        self._expire([session.uuid for session in found.sessions])
        with self._engine.connect() as connection:
            return store.read_offerset(connection, uuid)

    def session(self, uuid: str) -> SessionRecord | None:
        """The session as it is now; None where there is no such session."""
        with self._engine.connect() as connection:
            found = store.read_session(connection, uuid)
        if found is None or not self._overdue(found):
            return found
        self._expire([uuid])
        with self._engine.connect() as connection:
            return store.read_session(connection, uuid)

    def component(self, family: str, uuid: str) -> tuple[SessionRecord, str] | None:
        """The session that a part belongs to, as it is now, and the part's key; None where there is none."""
        with self._engine.connect() as connection:
            found = components.read_component(connection, family, uuid)
        if found is None or not self._overdue(found[0]):
            return found
        session = self.session(found[0].uuid)
        return None if session is None else (session, found[1])

    def sessions(self, filters: Filters, after: Cursor | None, limit: int) -> Page[SessionRecord]:
        """A page of sessions as they are now, newest first, behind `after`."""
        self._expire_all()
        with self._engine.connect() as connection:
            return listing.list_sessions(connection, filters, after, limit)

    def offersets(self, filters: Filters, after: Cursor | None, limit: int) -> Page[OfferSetRecord]:
        """A page of offer sets with their sessions as they are now, newest first, behind `after`."""
        self._expire_all()
        with self._engine.connect() as connection:
            return listing.list_offersets(connection, filters, after, limit)

    def owners_called(self, name: str) -> list[str]:
        """The ids of those who go by `name`: it may be an id itself, or a user's name."""
        with self._engine.connect() as connection:
            return listing.owners_called(connection, name)

    def inspect(self, url: str) -> Inspection:
        """What is in the FITS file at `url`, by the rules of data: see `broker.inspect.looking.look`."""
        if not self._online:
            raise OfflineError("nothing is fetched here: this broker is offline")
        return look(self._federation, url)

    async def stored(self, session: SessionRecord) -> Mapping[str, Sequence[StoredFile]]:
        """The files of each of the session's storages, by name: as far as they are, or still are, there."""
        request, platform = session.request, self._storing(session)
        if request is None or platform is None:
            return {}
        return {item.name: await platform.list_files(session.uuid, item.uuid) for item in request.storage}

    async def stored_file(self, session: SessionRecord, name: str, path: str) -> BinaryIO | None:
        """One file of a storage, which the caller closes; None where there is none (any more)."""
        request, platform = session.request, self._storing(session)
        if request is None or platform is None:
            return None
        # the name may have slashes of its own, which a URL doesn't tell from those behind it
        whole = f"{name}/{path}"
        for item in request.storage:
            if whole.startswith(f"{item.name}/"):
                rest = whole.removeprefix(f"{item.name}/")
                if (file := await platform.open_file(session.uuid, item.uuid, rest)) is not None:
                    return file
        return None

    def _storing(self, session: SessionRecord) -> Platform | None:
        """The platform that has what the session wrote; None where nobody has, yet or any more."""
        over = session.ended is not None
        kept = session.results_until is not None and session.results_until > self._clock.now()
        if session.placement is None or (over and not kept):
            return None
        return self._platforms.get(session.placement.site_id)

    def update_phase(self, uuid: str, phase: Phase, owner: Owner) -> SessionRecord:
        """Do what a client asks for. Repeating it is harmless.

        Raises NotAllowed where the present phase forbids it, PermissionError where the session is somebody
        else's (operators may cancel it nevertheless, and the administrator may do all), KeyError where there
        is no such session.
        """
        with write(self._engine) as connection:
            session = _known(store.lock_offerset_of(connection, uuid))
            may_cancel = owner.sees_all and phase is Phase.CANCELLED
            if not (owner.admin or session.owner == owner.id or may_cancel):
                raise PermissionError(f"session {uuid} belongs to somebody else")
            if session.placement is not None:
                ledger.lock_sites(connection, [session.placement.site_id])
            now = self._clock.now()
            store.expire(connection, now, [uuid])
            session = _known(store.read_session(connection, uuid))
            # Raised only after the commit, so that an expiry that was found here stays.
            refusal: NotAllowed | None = None
            try:
                moved = store.change_phase(connection, session, phase, Actor.CLIENT, now)
            except NotAllowed as error:
                refusal, moved = error, False
            if moved and phase is Phase.ACCEPTED:
                ledger.confirm(connection, uuid)
                self._reserve(connection, session)
                store.reject_siblings(connection, session, now)
            elif moved and phase is Phase.REJECTED:
                ledger.free(connection, [uuid])
            changed = _known(store.read_session(connection, uuid))
        if refusal is not None:
            raise refusal
        self._supervisor.wake()
        return changed

    async def run(self) -> None:
        """Drive the sessions until cancelled. What was going on then is taken up by the next `run`."""
        await self._supervisor.run()

    def _offer(
        self, document: Any, owner: Owner, direct: bool
    ) -> tuple[OfferSetRecord, SessionRecord | None]:
        request, found = parse_request(document, self._clock.now(), self._catalogues)
        notes = tuple(found)
        candidates: list[Candidate] = []
        reasons: tuple[Note, ...] = ()
        if request is not None:
            notes += tuple(unknown_sizes(request))
            candidates, reasons = find_candidates(
                self._federation,
                self._platforms,
                request,
                self.forecaster.path,
                self._clock.now(),
                document,
                self._images,
            )
        if request is not None and asks(request.executable):
            with self._engine.connect() as connection:
                known = read_nesting(connection)
            candidates, unable = able(candidates, known)
            reasons += unable
        candidates, unknown = self._spaces.bound(candidates)
        reasons += tuple(unknown)
        candidates = self._beside_held(self._purses.known(candidates))
        others = {candidate.site.id: self._other_bookings(candidate.site.id) for candidate in candidates}
        lifetime = timedelta(0) if direct else self._lifetime
        with self._deciding, write(self._engine) as connection:
            ledger.lock_sites(connection, others)
            now = self._clock.now()
            taken = ledger.occupancy(connection, now, others)
            for site, bookings in others.items():
                taken.setdefault(site, []).extend(bookings)
            # what was promised since is found in moments, for most of it is in there already
            held = ledger.held(connection, now, _bound(candidates))
            candidates = [each.beside(held.get(each.site.id, ())) for each in candidates]
            room = None if direct else open_offers.room(connection, self._federation, owner.id, now)
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
                store.insert_offerset(connection, answer, direct, document, request)
            expires = None if direct else now + lifetime
            made = [
                _new_session(answer, request, placement, expires, notes) for placement in offers.placements
            ]
            store.insert_sessions(connection, made, answer.uuid)
            ledger.hold(connection, made)
            components.insert_components(connection, made)
            if direct:
                for session in made:
                    self._reserve(connection, session)
        if not yes:
            # Nothing is held, so nobody need wait while it is looked for what would help.
            refusal = explain(offers.notes, candidates, taken, now, lifetime)
            answer = replace(answer, notes=refusal.notes + notes)
            with write(self._engine) as connection:
                store.insert_offerset(connection, answer, direct, document, request)
        with self._engine.connect() as connection:
            if direct:
                return answer, store.read_session(connection, made[0].uuid) if made else None
            return _known(store.read_offerset(connection, answer.uuid)), None

    def _beside_held(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """With what is promised at their sites, which their calendars may not have yet."""
        sites = _bound(candidates)
        if not sites:
            return list(candidates)
        with self._engine.connect() as connection:
            held = ledger.held(connection, self._clock.now(), sites)
        return [
            each
            if each.calendars is None
            else replace(each, calendars=self._spaces.beside(each.calendars, held.get(each.site.id, ())))
            for each in candidates
        ]

    def _reserve(self, connection: Connection, session: SessionRecord) -> None:
        """Have the supervisor reserve what an accepted session needs, where its site's cloud is booked."""
        placement = session.placement
        if placement is None or placement.reference is not None:
            return
        if self._spaces.booking(placement.site_id) is not None:
            cloud_leases.want(connection, session.uuid)

    def _other_bookings(self, site: str) -> Sequence[Booking]:
        """What others than this broker have booked at the site."""
        now = self._clock.now()
        return operator_bookings(self._federation[site], now, now + HORIZON)

    def _overdue(self, session: SessionRecord) -> bool:
        return (
            session.phase is Phase.OFFERED
            and session.expires is not None
            and session.expires <= self._clock.now()
        )

    def _expire_all(self) -> None:
        with self._engine.connect() as connection:
            due = store.overdue(connection, self._clock.now())
        if due:
            with write(self._engine) as connection:
                store.expire(connection, self._clock.now(), due)

    def _expire(self, uuids: Sequence[str]) -> None:
        with write(self._engine) as connection:
            store.lock_offerset_of(connection, uuids[0])
            store.expire(connection, self._clock.now(), uuids)


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


def _known(found: T | None) -> T:
    """For what this transaction has just written. Raises KeyError where there is nothing."""
    if found is None:
        raise KeyError("no such session")
    return found
