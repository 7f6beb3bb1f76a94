"""What a report on the network looks at, as plain data: every path's figures, tests and state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from netprobe.measurement import Kind
from reports.compare.statistics import Floats
from reports.compare.ways import Quantity, Side

# a path: its source and its destination
Ends = tuple[str, str]


class State(StrEnum):
    """What there is of one quantity on one path."""

    MEASURED = "measured"
    # no test succeeded, or the newest three failed
    FAILED = "failed"
    # the newest test is long ago
    STALE = "stale"
    # nobody tested it in that time
    MISSING = "missing"


@dataclass(frozen=True)
class Like:
    """What two samples have in common that may be compared: whose tests, how many streams, which IP."""

    side: Side
    streams: int
    ip_version: int | None


@dataclass(frozen=True)
class Sample:
    """Tests of one kind, oldest first: seconds since 1970, and bit/s, seconds or the share of packets lost;
    of loss also how many packets each sent."""

    times: Floats
    values: Floats
    packets: Floats | None = None

    def __len__(self) -> int:
        return len(self.times)

    def between(self, begin: float, end: float) -> Sample:
        """Those from `begin` until before `end` (seconds since 1970)."""
        first, last = self.times.searchsorted((begin, end))
        packets = None if self.packets is None else self.packets[first:last]
        return Sample(self.times[first:last], self.values[first:last], packets)


@dataclass(frozen=True)
class Tested:
    """The tests of one kind on one path in the time that is looked at. `failing`: so many failed since the
    newest that succeeded; `error`: what the newest failure said."""

    kind: Kind
    source: str
    destination: str
    succeeded: int
    failed: int
    failing: int
    newest: datetime | None
    newest_success: datetime | None
    error: str
    state: State

    @property
    def tests(self) -> int:
        return self.succeeded + self.failed


@dataclass(frozen=True)
class Figure:
    """One quantity of one path. `value` is the median (of loss the share of all packets), `p10` and `p90` lie
    around it; None where nothing succeeded. `of`: tests of what, where that isn't plain; `like`: the tests of
    this time and of the same length of time before, by what may be compared."""

    quantity: Quantity
    source: str
    destination: str
    state: State
    count: int = 0
    value: float | None = None
    p10: float | None = None
    p90: float | None = None
    of: str = ""
    like: Mapping[Like, Sample] = field(default_factory=dict, repr=False)

    @property
    def ends(self) -> Ends:
        return self.source, self.destination


@dataclass(frozen=True)
class Tool:
    """So many tests of a kind were made by one side, and with what."""

    side: Side
    kind: Kind
    tools: Mapping[str, int]
    failed: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Network:
    """All paths between `sites` from `since` until before `until`; what was before goes back to `before`.

    `figures` and `tested` have every ordered pair; `tested` only kinds of which there are tests.
    """

    since: datetime
    until: datetime
    before: datetime
    sites: tuple[str, ...]
    figures: Mapping[Quantity, Mapping[Ends, Figure]]
    tested: Mapping[Kind, Mapping[Ends, Tested]]
    tools: tuple[Tool, ...]
    # tests in that time, and those of them that only asked for a rate (UDP)
    tests: int
    asked_for_a_rate: int
    remarks: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    contacts: Mapping[str, str] = field(default_factory=dict)

    def name(self, site: str) -> str:
        return self.names.get(site, site)

    def whom(self, site: str) -> str:
        """The site, and whom it wants to be asked, where the catalogue says so."""
        contact = self.contacts.get(site)
        return self.name(site) if contact is None else f"{self.name(site)} ({contact})"

    def path(self, ends: Ends) -> str:
        return f"{self.name(ends[0])} → {self.name(ends[1])}"

    def measured(self, quantity: Quantity) -> list[Figure]:
        """Those that have a value that isn't stale."""
        return [one for one in self.figures[quantity].values() if one.state is State.MEASURED]
