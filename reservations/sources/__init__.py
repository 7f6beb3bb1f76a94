"""Where it is known what is taken: one file a source, all behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import Protocol

from federation.errors import InputError
from federation.sites import Site
from reservations.capacity import Booking

GROUP = "fairlead.capacity"


class CapacitySource(Protocol):
    """Knows which parts of a site are taken, and when.

    `bookings` may block and may be called again, from any thread; it returns every booking that overlaps
    [start, end). Raises OutsideError where the source can't be asked.
    """

    def bookings(self, site: Site, start: datetime, end: datetime) -> Sequence[Booking]: ...


def load_source(name: str) -> CapacitySource:
    """The source registered under `name`. Raises InputError with the known names."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise InputError(f"no capacity source is called {name!r}: expected one of {', '.join(sorted(found))}")
    source: CapacitySource = found[name].load()()
    return source
