"""What is known of a cloud's space: its hosts, what of them is taken when, and how it counts.

A source (`reservations.sources`) makes calendars; the algorithm (`reservations.windows`) answers questions
about them; pictures, the command line and the broker read both. Nothing here knows a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from reservations.properties import ANYTHING, Expression

# Resource classes, as OpenStack Placement names them. MiB and GB are what Nova counts memory and disks in.
VCPU = "VCPU"
MEMORY_MB = "MEMORY_MB"
DISK_GB = "DISK_GB"
PGPU = "PGPU"

Amounts = Mapping[str, int]


class Spread(StrEnum):
    """How the units of a need share hosts."""

    ANY = "any"
    TOGETHER = "together"  # all on one host (affinity)
    APART = "apart"  # each on a host of its own (anti-affinity)


@dataclass(frozen=True)
class Need:
    """What is asked for: `units` equal pieces, each of them on one host for the whole time.

    `amounts` is what one unit takes, by resource class; what is not named is not asked for. With
    `whole_hosts` each unit is a host of its own, free of everything else, that has at least `amounts`.
    `properties` is what each host must be like. `flavour`: the unit as the cloud's own flavour (its id),
    where it was asked for by name; `amounts` are the flavour's then.
    """

    amounts: Amounts
    units: int = 1
    whole_hosts: bool = False
    spread: Spread = Spread.ANY
    properties: Expression = ANYTHING
    flavour: str | None = None

    def of(self, units: int) -> Need:
        """The same with another number of units."""
        return replace(self, units=units)


@dataclass(frozen=True)
class Host:
    """One machine (or one pool that counts as one): what it has in all, and what it is like.

    Its `amounts` are what bookings may take together, overcommit and the operator's reserve counted in.
    `most` is what one unit may take of a class at most, where that is less (Placement's max_unit). A host
    that isn't `bookable` can't be booked now: disabled, down, or not given to the reservation service.
    """

    id: str
    name: str
    amounts: Amounts
    properties: Mapping[str, str] = field(default_factory=dict)
    most: Amounts = field(default_factory=dict)
    bookable: bool = True


@dataclass(frozen=True)
class Taken:
    """A part of one host that is taken during [start, end). `amounts` None: the whole host.

    `booking` is the lease, job or reservation that it belongs to (one booking may take parts of many hosts);
    `name` and `holder` are what the caller may know of it, None where the cloud doesn't say. `ours` is our
    own reference, where the booking was made by us. `end` None: until further notice.
    """

    host: str
    start: datetime
    end: datetime | None
    amounts: Amounts | None
    booking: str
    name: str | None = None
    holder: str | None = None
    ours: str | None = None


@dataclass(frozen=True)
class Rules:
    """How this cloud counts: what it would say may differ from what would physically fit.

    `step`: starts and ends lie on multiples of it. `gap`: the least time between the end of one booking and
    the start of the next on the same capacity (0: they may touch). `cleaning`: the time that the cloud keeps
    free before and after each booking besides. `whole_peaks`: of bookings that overlap the wanted time it
    counts the peak over their whole length, not just within it, as Blazar does for instances.
    `longest` and `furthest`: the longest booking, and how far ahead of now one may end; None: any.
    """

    step: timedelta = timedelta(minutes=1)
    gap: timedelta = timedelta(0)
    cleaning: timedelta = timedelta(0)
    whole_peaks: bool = False
    longest: timedelta | None = None
    furthest: timedelta | None = None


class Sight(StrEnum):
    """How much of what is taken the source can see."""

    ALL = "all"
    OWN = "own"  # the caller's bookings only: what others hold is hidden, and space may be less
    NONE = "none"  # no bookings at all


@dataclass(frozen=True)
class Calendar:
    """One way in which a site can be booked, as it was known at `known_at`.

    `kind` is how a booking would be made ("physical:host", "virtual:instance", "flavor:instance", "slurm",
    "static", "unreserved", ...): the same machines have one calendar for each. `until`: what begins later
    than this is not known. `remarks` are sentences for people: what is hidden and what would show it, what
    could not be read, what was assumed. `caps` are totals that the caller's own bookings may have at a time,
    by resource class, as far as the cloud told (quota); `used` what of them is used now.
    """

    site: str
    source: str
    kind: str
    hosts: tuple[Host, ...]
    taken: tuple[Taken, ...]
    rules: Rules
    known_at: datetime
    until: datetime
    sight: Sight = Sight.ALL
    remarks: tuple[str, ...] = ()
    caps: Amounts = field(default_factory=dict)
    used: Amounts = field(default_factory=dict)
    # the cloud's flavours by id, for clouds that book by them: (name, amounts of one)
    flavours: Mapping[str, tuple[str, Amounts]] = field(default_factory=dict)
