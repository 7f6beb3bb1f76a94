"""What the sites' own sources say of their space: asked before offers are made, and booked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from broker.model import Level, Note
from broker.offers.advice import LOOK_AHEAD
from broker.offers.calendars import Held, SiteCalendars
from broker.offers.candidates import Candidate
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation
from reservations.calendar import Calendar, Sight
from reservations.leases import Leases
from reservations.snapshots import Known, Snapshots
from reservations.sources import Bookable, Placed, load_sources


@dataclass(frozen=True)
class Booking:
    """A cloud at which each session of a site gets a reservation of `kind`."""

    site: str
    source: str
    kind: str
    leases: Leases


class Spaces:
    """The calendars and reservations of all sites; may be used from several threads. Blocks where it asks.

    `directory` keeps the calendars for when a source is down. Raises InputError for a site whose sessions are
    to be booked where nothing can be.
    """

    def __init__(self, sources: Sequence[Placed], clock: Clock, directory: Path) -> None:
        self._clock = clock
        self._sources: dict[str, list[Placed]] = {}
        for placed in sources:
            self._sources.setdefault(placed.site, []).append(placed)
        self._snapshots = Snapshots(sources, clock, directory)
        # the calendars as they were asked for last, and with what was promised then
        self._placed: dict[str, tuple[tuple[Calendar, ...], SiteCalendars]] = {}
        self._bookings = {
            site: booking for site, placed in self._sources.items() if (booking := _booking(site, placed))
        }

    def booking(self, site: str) -> Booking | None:
        """Where this site's sessions get a reservation; None: they need none."""
        return self._bookings.get(site)

    def bound(self, candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[Note]]:
        """The candidates with what their sites' calendars say, and why others can't be offered at all."""
        wanted = list(candidates)
        asked = [each for each in wanted if each.site.id in self._sources and each.ready is None]
        if not asked:
            return wanted, []
        until = max(each.request.latest_start + each.duration for each in asked) + LOOK_AHEAD
        known = {each.site: each for each in self._snapshots.known([each.site.id for each in asked], until)}
        bound, reasons = [], []
        for candidate in wanted:
            if candidate.site.id not in known:
                bound.append(candidate)
                continue
            found = self._site(known[candidate.site.id])
            if isinstance(found, Note):
                reasons.append(found)
                continue
            calendars, notes = found
            candidate = replace(candidate, warnings=(*candidate.warnings, *notes))
            bound.append(replace(candidate, calendars=calendars if calendars.calendars else None))
        return bound, reasons

    def calendars(self, site: str, until: datetime) -> SiteCalendars | None:
        """What binds at one site, as far as it is known; None where nothing does."""
        for known in self._snapshots.known([site], until):
            found = self._site(known)
            if not isinstance(found, Note) and found[0].calendars:
                return found[0]
        return None

    def beside(self, found: SiteCalendars, held: Sequence[Held]) -> SiteCalendars:
        """As `found.beside`, quicker where most was asked of the same calendars before."""
        before = self._placed.get(found.site)
        base = before[1] if before is not None and _same(before[0], found.calendars) else found
        placed = base.beside(held)
        self._placed[found.site] = (found.calendars, placed)
        return placed

    def forget(self, site: str) -> None:
        """Ask the site's sources again next time: we have just changed something there."""
        self._snapshots.forget(site)

    def _site(self, known: Known) -> tuple[SiteCalendars, list[Note]] | Note:
        """What binds a site's sessions, with what must be known of it; or why nothing can be promised."""
        site, booking = known.site, self._bookings.get(known.site)
        told = [
            Note("calendar", "{site}: {remark}", {"site": site, "remark": remark}, Level.INFO)
            for remark in known.remarks
        ]
        calendars = [each for each in known.calendars if booking is not None or each.sight is not Sight.NONE]
        if booking is not None:
            calendars = [
                each for each in calendars if (each.source, each.kind) == (booking.source, booking.kind)
            ]
            if not calendars and any(each.source == booking.source for each in known.calendars):
                text = "{site}: sessions are to be booked as {kind}, and {source} has no such calendar there"
                values = {"site": site, "kind": booking.kind, "source": booking.source}
                return Note("space-unknown", text, values)
        silent = {each.space.source for each in self._sources[site]} - {
            each.source for each in known.calendars
        }
        if not calendars and known.remarks and silent:
            values = {"site": site, "remarks": "; ".join(known.remarks)}
            return Note("space-unknown", "{site}: it isn't known what is free there: {remarks}", values)
        found = SiteCalendars(site, tuple(calendars), books=booking is not None)
        return found, [*told, *found.notes(self._clock.now())]


def _same(old: Sequence[Calendar], new: Sequence[Calendar]) -> bool:
    """Whether they are the same objects: nobody was asked in between."""
    return len(old) == len(new) and all(one is other for one, other in zip(old, new, strict=True))


def load_spaces(federation: Federation, clock: Clock) -> list[Placed]:
    """The sources of the sites whose space is known by more than their platform's size, which the ledger
    counts. Raises InputError for one that nobody knows, or whose options it can't use."""
    sites = {site.id: site for site in federation if site.platform is not None and site.space}
    return load_sources(replace(federation, sites=sites), clock)


def _booking(site: str, sources: Sequence[Placed]) -> Booking | None:
    asked = [placed for placed in sources if placed.space.book is not None]
    if not asked:
        return None
    where = f"[[sites.{site}.space]].book"
    if len(asked) > 1:
        raise InputError(f"{where}: expected it in one table of the site, got it in {len(asked)}")
    (placed,) = asked
    if not isinstance(placed.source, Bookable):
        raise InputError(
            f"{where}: expected a source that can be booked, such as blazar, got {placed.space.source}"
        )
    assert placed.space.book is not None
    return Booking(site, placed.space.source, placed.space.book, placed.source.leases())
