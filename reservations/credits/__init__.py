"""What a project may still spend: one file a source, all behind one interface.

Credits are counted in units of the source: resource-hours by class, or one currency with a price for each
class. Both are one thing here: accounts, each with an amount and what one unit of a class costs for an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from typing import Protocol, cast

from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Credits, Site

GROUP = "fairlead.credits"


@dataclass(frozen=True)
class Account:
    """One purse, as it was known at `known_at`.

    `left` units remain of `granted`, to be spent by bookings made within [start, end). `per_hour` is what one
    unit of each resource class costs for an hour; a class that isn't named costs nothing from this purse,
    unless `refuses_unnamed`: then a booking with it is refused. A booking is paid in full up front, rounded
    up to whole units where `whole_units`. `per_hour_of_flavour` is for purses that price the cloud's flavours
    (by id or name): what one unit of a flavour costs for an hour, in place of the price of its classes.
    `remarks` are sentences for people on what the figures don't show.
    """

    name: str
    unit: str
    left: float
    granted: float | None
    per_hour: Mapping[str, float]
    known_at: datetime
    start: datetime | None = None
    end: datetime | None = None
    whole_units: bool = False
    refuses_unnamed: bool = False
    remarks: tuple[str, ...] = field(default=())
    per_hour_of_flavour: Mapping[str, float] = field(default_factory=dict)


class CreditSource(Protocol):
    """Knows a project's purses at a site. A booking needs all of them to suffice.

    `project` None: the one that the source's option `project` names. `accounts` may block, and may be called
    again and from any thread. None at all: nothing may be spent. Raises OutsideError where the source can't
    be asked, InputError where nothing says whose purses are meant. Its class has an `ABOUT`: see
    `federation.about`.
    """

    def accounts(self, project: str | None = None) -> Sequence[Account]: ...


def named_project(project: str | None, default: str | None, where: str) -> str:
    """Whose purses are meant. Raises InputError where nobody said."""
    named = project or default
    if named is None:
        raise InputError(f"{where}.project: expected the project whose credits are meant, but it is missing")
    return named


# What an entry point of the group is: makes the source of one site from its table [sites.ID.credits].
Factory = Callable[[Site, Credits, Clock], CreditSource]


def load_credits(site: Site, clock: Clock) -> CreditSource | None:
    """The site's source of credits, None where it names none. Raises InputError with the known names."""
    if site.credits is None:
        return None
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if site.credits.source not in found:
        known = ", ".join(sorted(found))
        raise InputError(f"no source of credits is called {site.credits.source!r}: expected one of {known}")
    return cast("Factory", found[site.credits.source].load())(site, site.credits, clock)
