"""What the site's own operator wrote down: its hosts, and what of them is taken when.

Without `hosts` in the options the platform is one host as a whole, and the bookings are the platform's.
Bookings of a platform stand in the catalogue, one table a booking (cores and memory that are not named are
taken whole):

    [[sites.perth.platform.options.bookings]]
    start = 2026-12-01T08:00:00Z
    end = 2026-12-01T12:00:00Z
    cores = 16
    memory_gib = 64

Hosts and their bookings stand in the options of [[sites.perth.space]], or in a `file` of their own: see
`reservations.sources.static_hosts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Platform, Site, Space
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Amounts, Calendar, Host, Rules, Taken
from reservations.capacity import Booking
from reservations.history.past import End, Past, Use
from reservations.occupancy import amounts_of
from reservations.sources.static_hosts import read_inventory
from reservations.tables import Table

_WRITTEN = "the past is what the operator's tables say now: bookings that were changed since are not known"
_SESSIONS = "what a broker's own sessions take of the platform is not in it"


@dataclass(frozen=True)
class StaticSource:
    """The hosts that the options name, else the platform as one host; without what is taken."""

    ABOUT = About(
        does="The hosts and bookings that the site's operator wrote down.",
        cannot="Learns of nothing by itself.",
    )

    site: Site
    space: Space
    clock: Clock

    def __post_init__(self) -> None:
        # what is wrong is said when the catalogue is loaded, not when somebody asks
        read_inventory(self.site, self.space)

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]:
        inventory = read_inventory(self.site, self.space)
        if inventory is not None:
            hosts, bookings, rules = inventory
            overlapping = tuple(taken for booking in bookings for taken in booking.within(start, end))
        elif self.site.platform is not None:
            hosts, overlapping, rules = (
                (_whole(self.site, self.site.platform),),
                self._taken(start, end),
                Rules(),
            )
        else:
            return ()
        return (Calendar(self.site.id, "static", "static", hosts, overlapping, rules, self.clock.now(), end),)

    def past(self, start: datetime, end: datetime) -> Past:
        """What is written down of the time before: as it is written now, and of the hosts that there are."""
        uses = [
            _use(taken, {host.id: host.amounts for host in calendar.hosts}, end)
            for calendar in self.calendars(start, end)
            for taken in calendar.taken
        ]
        remarks = (_WRITTEN,) if read_inventory(self.site, self.space) is not None else (_WRITTEN, _SESSIONS)
        return Past(tuple(uses), start, end, remarks=remarks)

    def _taken(self, start: datetime, end: datetime) -> tuple[Taken, ...]:
        return tuple(
            Taken(
                self.site.id,
                booking.start,
                booking.end,
                {
                    VCPU: booking.cores,
                    MEMORY_MB: booking.memory_gib * 1024,
                    DISK_GB: booking.storage_gib,
                },
                f"operator-{number}",
            )
            for number, booking in enumerate(operator_bookings(self.site, start, end))
        )


def _use(taken: Taken, hosts: Mapping[str, Amounts], now: datetime) -> Use:
    amounts = amounts_of(taken, hosts)
    over = taken.end is not None and taken.end <= now
    return Use(
        booking=taken.booking,
        start=taken.start,
        end=taken.end,
        amounts=amounts,
        how=End.UNKNOWN if over else End.RUNNING,
        kind="static",
        name=taken.name,
        holder=taken.holder,
        hosts={taken.host: amounts},
    )


def _whole(site: Site, platform: Platform) -> Host:
    amounts = {
        VCPU: platform.cores,
        MEMORY_MB: platform.memory_gib * 1024,
        DISK_GB: platform.storage_gib,
    }
    return Host(site.id, site.name, amounts)


def operator_bookings(site: Site, start: datetime, end: datetime) -> Sequence[Booking]:
    """The operator's bookings that overlap [start, end). Raises InputError for a table that can't be read."""
    if site.platform is None:
        return ()
    options = Table(site.platform.options, f"[sites.{site.id}.platform.options]")
    known = [_read(table, site.platform) for table in options.tables("bookings")]
    return [booking for booking in known if booking.start < end and start < booking.end]


def _read(table: Table, platform: Platform) -> Booking:
    start, end = table.instant("start"), table.instant("end")
    if end <= start:
        raise InputError(
            f"{table.where}: expected an end after the start {start.isoformat()}, got {end.isoformat()}"
        )
    booking = Booking(
        start,
        end,
        table.whole("cores", platform.cores),
        table.whole("memory_gib", platform.memory_gib),
        table.whole("storage_gib", 0),
    )
    table.end()
    return booking
