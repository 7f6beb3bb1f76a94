"""Clouds whose bookings are known, for reports whose figures can be counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reports.space_use.model import Cloud, Reading
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar, Host, Rules, Sight, Taken
from reservations.history.past import End, Past, Use
from reservations.history.record import Sample

# a Thursday
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SINCE, AHEAD = NOW - 2 * DAY, NOW + DAY


def host(number: int, cores: int = 8, gpus: int = 0, **more: object) -> Host:
    amounts = {VCPU: cores, MEMORY_MB: cores * 4096, PGPU: gpus}
    return Host(f"h{number}", f"node-{number}", amounts, **more)  # type: ignore[arg-type]


def taken(number: int, first: float, last: float | None, cores: int | None = None, **more: str) -> Taken:
    """Of a host, from so many hours after now on until so many; `cores` None: all of it."""
    amounts = None if cores is None else {VCPU: cores}
    end = None if last is None else NOW + last * HOUR
    return Taken(f"h{number}", NOW + first * HOUR, end, amounts, f"b{number}@{first}", **more)


def calendar(
    hosts: list[Host], bookings: list[Taken], sight: Sight = Sight.ALL, kind: str = "static", **more: object
) -> Calendar:
    found = Calendar(
        "perth", "static", kind, tuple(hosts), tuple(bookings), Rules(), NOW, NOW + 90 * DAY, sight
    )
    return found if not more else Calendar(**{**vars(found), **more})


def use(
    first: float, last: float | None, cores: int, how: End = End.ENDED, gpus: int = 0, **more: object
) -> Use:
    """From so many hours before now on until so many."""
    return Use(
        f"u{first}",
        NOW - first * HOUR,
        None if last is None else NOW - last * HOUR,
        {VCPU: cores, PGPU: gpus},
        how,
        **more,  # type: ignore[arg-type]
    )


def past(*uses: Use, whole: bool = True, since: datetime = SINCE) -> Past:
    return Past(tuple(uses), since, NOW, whole)


def sample(hours_ago: int, cores: int, total: int = 8, ours: int = 0, resource: str = VCPU) -> Sample:
    hour = NOW - hours_ago * HOUR
    return Sample("perth", "static", "static", hour, resource, total, cores, ours, Sight.ALL)


def cloud(found: Calendar | None, site: str = "perth", **more: object) -> Cloud:
    shown = () if found is None else (found,)
    return Cloud(site, "static", shown, found, **more)  # type: ignore[arg-type]


def reading(*clouds: Cloud, **more: object) -> Reading:
    names = {"perth": "Perth", "manchester": "Manchester"}
    return Reading(SINCE, NOW, AHEAD, tuple(clouds), names, **more)  # type: ignore[arg-type]
