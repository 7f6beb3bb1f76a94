"""Where it is known what is taken: one file a source, all behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import Protocol, cast

from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site, Space
from reservations.calendar import Calendar

GROUP = "fairlead.capacity"


class CapacitySource(Protocol):
    """Knows a site's hosts, and which parts of them are taken when.

    `calendars` asks the source about [start, end) and returns one calendar for each way in which the site can
    be booked; several sources may describe the same machines. It may block, and may be called again and from
    any thread. What it can't see it says in the calendar (`sight`, `remarks`): it never takes what is hidden
    for free. Raises OutsideError where the source can't be asked at all, InputError for options it can't use.
    """

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]: ...


# What an entry point of the group is: makes the source of one site from the site's table [[sites.ID.space]].
Factory = Callable[[Site, Space, Clock], CapacitySource]


def load_source(site: Site, space: Space, clock: Clock) -> CapacitySource:
    """The source that `space` names, for `site`. Raises InputError with the known names."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if space.source not in found:
        known = ", ".join(sorted(found))
        raise InputError(f"no capacity source is called {space.source!r}: expected one of {known}")
    return cast("Factory", found[space.source].load())(site, space, clock)


def load_sources(federation: Federation, clock: Clock) -> dict[str, tuple[CapacitySource, ...]]:
    """The sources of every site, by site id. A site that names none, but has a platform, has "static"."""
    return {
        site.id: tuple(load_source(site, space, clock) for space in site.space or (Space("static"),))
        for site in federation
        if site.space or site.platform is not None
    }
