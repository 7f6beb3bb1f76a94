"""Where it is known what is taken: one file a source, all behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from typing import Any, Protocol, cast, runtime_checkable

from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site, Space
from reservations.calendar import Calendar, Need
from reservations.history.past import Past
from reservations.leases import Leases

GROUP = "fairlead.capacity"


class CapacitySource(Protocol):
    """Knows a site's hosts, and which parts of them are taken when.

    `calendars` asks the source about [start, end) and returns one calendar for each way in which the site can
    be booked; several sources may describe the same machines. It may block, and may be called again and from
    any thread. What it can't see it says in the calendar (`sight`, `remarks`): it never takes what is hidden
    for free. Raises OutsideError where the source can't be asked at all, InputError for options it can't use.
    Its class has an `ABOUT`: see `federation.about`.
    """

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]: ...


@runtime_checkable
class Remembering(Protocol):
    """A source that knows something of the past, too."""

    def past(self, start: datetime, end: datetime) -> Past:
        """What was booked in [start, end), as far as the source remembers it. `end` is now, or before it.
        May block. Raises OutsideError where it can't be asked, or remembers nothing."""
        ...


@runtime_checkable
class Bookable(Protocol):
    """A source of a cloud that can be booked, too."""

    def leases(self) -> Leases:
        """The cloud's bookings, as the source's own options and credentials reach them."""
        ...


class Confirmed(Protocol):
    """What a cloud said when it was asked whether it would grant something, in a sentence."""

    @property
    def text(self) -> str: ...


@runtime_checkable
class Confirming(Protocol):
    """A source that can ask the cloud itself where the calendar is hidden, sparingly: as often as its options
    allow, and not at all without them."""

    def first(
        self, need: Need, kind: str, duration: timedelta, starts: Sequence[datetime]
    ) -> tuple[datetime, Confirmed] | None:
        """The first of `starts` that the cloud says it would grant; None: none that it was asked about."""
        ...


@runtime_checkable
class Servers(Protocol):
    """A source of a cloud whose servers can be looked at."""

    def server(self, name: str) -> Mapping[str, Any] | None:
        """The cloud's document of the caller's server with this id or name; None where there is none."""
        ...


# What an entry point of the group is: makes the source of one site from the site's table [[sites.ID.space]].
Factory = Callable[[Site, Space, Clock], CapacitySource]


def load_source(site: Site, space: Space, clock: Clock) -> CapacitySource:
    """The source that `space` names, for `site`. Raises InputError with the known names."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if space.source not in found:
        known = ", ".join(sorted(found))
        raise InputError(f"no capacity source is called {space.source!r}: expected one of {known}")
    return cast("Factory", found[space.source].load())(site, space, clock)


@dataclass(frozen=True)
class Placed:
    """A source with the site that it is of, and the table of the catalogue that it was made from."""

    site: str
    space: Space
    source: CapacitySource


def load_sources(federation: Federation, clock: Clock) -> list[Placed]:
    """The sources of every site. A site that names none, but has a platform, has "static". Raises InputError
    for a source that nobody knows, or whose options it can't use."""
    return [
        Placed(site.id, space, load_source(site, space, clock))
        for site in federation
        for space in site.space or ((Space("static"),) if site.platform is not None else ())
    ]
