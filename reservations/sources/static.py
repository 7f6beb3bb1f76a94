"""Bookings that the site's own operator wrote into the catalogue: maintenance, machines lent to others.

In the catalogue, one table a booking (cores and memory that are not named are taken whole):

    [[sites.perth.platform.options.bookings]]
    start = 2026-12-01T08:00:00Z
    end = 2026-12-01T12:00:00Z
    cores = 16
    memory_gib = 64
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Platform, Site, Space
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Calendar, Host, Rules, Taken
from reservations.capacity import Booking

_FIELDS = ("cores", "memory_gib", "storage_gib")


@dataclass(frozen=True)
class StaticSource:
    """The site's platform as one host, without what its operator has taken."""

    site: Site
    space: Space
    clock: Clock

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]:
        platform = self.site.platform
        if platform is None:
            return ()
        amounts = {
            VCPU: platform.cores,
            MEMORY_MB: platform.memory_gib * 1024,
            DISK_GB: platform.storage_gib,
        }
        taken = tuple(
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
        host = Host(self.site.id, self.site.name, amounts)
        known_at = self.clock.now()
        return (Calendar(self.site.id, "static", "static", (host,), taken, Rules(), known_at, end),)


def operator_bookings(site: Site, start: datetime, end: datetime) -> Sequence[Booking]:
    """The operator's bookings that overlap [start, end). Raises InputError for a table that can't be read."""
    if site.platform is None:
        return ()
    tables = site.platform.options.get("bookings", ())
    where = f"[sites.{site.id}.platform.options] bookings"
    if not isinstance(tables, Sequence) or isinstance(tables, str):
        raise InputError(f"{where}: expected a list of tables, got {tables!r}")
    known = [_read(table, site.platform, f"{where}[{n}]") for n, table in enumerate(tables)]
    return [booking for booking in known if booking.start < end and start < booking.end]


def _read(table: object, platform: Platform, where: str) -> Booking:
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: expected a table, got {table!r}")
    unknown = sorted(set(table) - {"start", "end", *_FIELDS})
    if unknown:
        raise InputError(f"{where}: unknown {', '.join(unknown)}: expected start, end, {', '.join(_FIELDS)}")
    start, end = _instant(table, "start", where), _instant(table, "end", where)
    if end <= start:
        raise InputError(
            f"{where}: expected an end after the start {start.isoformat()}, got {end.isoformat()}"
        )
    return Booking(
        start,
        end,
        _whole(table, "cores", platform.cores, where),
        _whole(table, "memory_gib", platform.memory_gib, where),
        _whole(table, "storage_gib", 0, where),
    )


def _instant(table: Mapping[str, Any], name: str, where: str) -> datetime:
    value = table.get(name)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InputError(f"{where}.{name}: expected an instant such as 2026-12-01T08:00:00Z, got {value!r}")
    return value.astimezone(UTC)


def _whole(table: Mapping[str, Any], name: str, default: int, where: str) -> int:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{where}.{name}: expected a whole number of at least 0, got {value!r}")
    return value
