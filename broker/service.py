"""The broker: requests become offers, offers sessions, sessions run. `broker.http` shows it to the world."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO

from sqlalchemy import Engine

from broker.answers import Answers, Around
from broker.catalogues import load_catalogues
from broker.catalogues.http_tokens import Tokens
from broker.images.looking import Images
from broker.inspect.looking import Inspection, OfflineError, look
from broker.model import Phase
from broker.offers.purses import Purses, load_purses
from broker.offers.reach import Reach
from broker.offers.spaces import Spaces, load_spaces
from broker.phases import Actor
from broker.platforms import Platform, StoredFile, TellsPulls, load_platform
from broker.pull_times import keep_told
from broker.records import NotAllowed, OfferSetRecord, Owner, SessionRecord
from broker.sessions import components, ledger, listing, store
from broker.sessions.listing import Cursor, Filters, Page
from broker.sessions.row import Surroundings
from broker.sessions.supervisor import Supervisor
from broker.sessions.unpacking import Unpacker, no_bearers
from federation.clock import Clock
from federation.database import write
from federation.settings import Settings
from federation.sites import Federation
from netprobe.archive import Archive
from netprobe.forecast import Forecaster
from reservations.credits import CreditSource
from reservations.sources import Placed

log = logging.getLogger(__name__)

# what platforms have seen of their pulls is written down so often
PULLS_SECONDS = 60.0


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
        self._archive = Archive(engine)
        self.forecaster = Forecaster(self._archive, federation, clock)
        catalogues = load_catalogues(federation, online)
        self._platforms = platforms or {
            site.id: load_platform(site, federation, clock, settings.work_directory / site.id)
            for site in federation
            if site.platform is not None
        }
        self._images = Images(clock) if online else None
        if sources is None:
            sources = load_spaces(federation, clock) if online else ()
        spaces = Spaces(sources, clock, settings.work_directory.with_name("space"))
        reach = Reach(federation) if online else Reach(federation, look_up=None)
        self._answers = Answers(
            Around(
                federation,
                self._platforms,
                catalogues,
                engine,
                clock,
                self.forecaster,
                self._images,
                spaces,
                Purses(credits or (load_purses(federation, clock) if online else {}), clock),
                reach,
            ),
            timedelta(seconds=settings.offer_lifetime_seconds),
        )
        self._supervisor = Supervisor(
            Surroundings(
                federation,
                self._platforms,
                engine,
                self._archive,
                clock,
                self._answers.other_bookings,
                spaces,
                Unpacker(
                    catalogues,
                    self.forecaster.path,
                    Tokens(federation).bearers if online else no_bearers,
                    reach,
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
        return self._answers.offer(document, owner, direct=False)[0]

    def direct(self, document: Any, owner: Owner) -> SessionRecord:
        """Accept the best offer at once. Refused: a session in phase FAILED, its notes give the reasons."""
        answer, session = self._answers.offer(document, owner, direct=True)
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
            known = store.known(store.read_session(connection, refused.uuid))
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
            session = store.known(store.lock_offerset_of(connection, uuid))
            may_cancel = owner.sees_all and phase is Phase.CANCELLED
            if not (owner.admin or session.owner == owner.id or may_cancel):
                raise PermissionError(f"session {uuid} belongs to somebody else")
            if session.placement is not None:
                ledger.lock_sites(connection, [session.placement.site_id])
            now = self._clock.now()
            store.expire(connection, now, [uuid])
            session = store.known(store.read_session(connection, uuid))
            # Raised only after the commit, so that an expiry that was found here stays.
            refusal: NotAllowed | None = None
            try:
                moved = store.change_phase(connection, session, phase, Actor.CLIENT, now)
            except NotAllowed as error:
                refusal, moved = error, False
            if moved and phase is Phase.ACCEPTED:
                ledger.confirm(connection, uuid)
                self._answers.reserve(connection, session)
                store.reject_siblings(connection, session, now)
            elif moved and phase is Phase.REJECTED:
                ledger.free(connection, [uuid])
            changed = store.known(store.read_session(connection, uuid))
        if refusal is not None:
            raise refusal
        self._supervisor.wake()
        return changed

    async def run(self) -> None:
        """Drive the sessions until cancelled. What was going on then is taken up by the next `run`."""
        if self._images is None or not any(isinstance(each, TellsPulls) for each in self._platforms.values()):
            await self._supervisor.run()
            return
        keeping = asyncio.create_task(self._keep_pulls(self._images))
        try:
            await self._supervisor.run()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep_pulls(self, images: Images) -> None:
        while True:
            await self._clock.sleep(PULLS_SECONDS)
            try:
                keep = partial(keep_told, self._engine, self._platforms, images, self._clock.now())
                await asyncio.to_thread(keep)
            except Exception:
                log.exception("how long images took to come could not be written down")

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
