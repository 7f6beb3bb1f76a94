"""When tests may run: hours of the day and weekdays in a time zone, without named windows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from federation.errors import InputError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
# a calendar that doesn't open within this counts as one that never does
HORIZON_DAYS = 400
_TIME = re.compile(r"(\d\d):(\d\d)")


@dataclass(frozen=True)
class Calendar:
    """Open at local times of `zone`. Empty `hours` are the whole day.

    `hours` are (from, to) in minutes of the day, `to` not included; where `to` is the smaller, the range goes
    on past midnight and belongs to the weekday on which it began. `weekdays` count from Monday, 0. In a
    window of `not_during` (from, to, local and without a zone) it is closed whatever the hour.
    """

    zone: ZoneInfo
    hours: tuple[tuple[int, int], ...] = ()
    weekdays: frozenset[int] = frozenset(range(7))
    not_during: tuple[tuple[datetime, datetime], ...] = ()

    def is_open(self, instant: datetime) -> bool:
        """Whether a test may begin at `instant` (with its time zone)."""
        local = instant.astimezone(self.zone).replace(tzinfo=None)
        if any(begin <= local < end for begin, end in self.not_during):
            return False
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday() in self.weekdays, (local.weekday() - 1) % 7 in self.weekdays
        for begin, end in self.hours or ((0, DAY_MINUTES),):
            if begin < end and begin <= minute < end and today:
                return True
            if begin > end and ((minute >= begin and today) or (minute < end and yesterday)):
                return True
        return False

    def opens(self, after: datetime) -> datetime | None:
        """The first instant from `after` on at which it is open; None: not within 400 days."""
        if self.is_open(after):
            return after
        return next((instant for instant in self._openings(after) if self.is_open(instant)), None)

    def _openings(self, after: datetime) -> Iterator[datetime]:
        """In order: where a range begins, a day begins, or a closed window ends."""
        first = after.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        starts = sorted({0, *(begin for begin, _ in self.hours)})
        ends = [end for _, end in self.not_during]
        days = (first + timedelta(days=day) for day in range(HORIZON_DAYS))
        for day in days:
            local = [day + timedelta(minutes=start) for start in starts]
            local += [end for end in ends if day <= end < day + timedelta(days=1)]
            for one in sorted(local):
                instant = one.replace(tzinfo=self.zone).astimezone(UTC)
                if instant > after:
                    yield instant


def read_calendar(table: Mapping[str, Any], where: str) -> Calendar:
    """A calendar from its table in a plan. Raises InputError that begins with `where`."""
    for key in table:
        if key not in ("zone", "hours", "weekdays", "not_during"):
            raise InputError(
                f"{where}: unknown key {key!r}: expected one of hours, not_during, weekdays, zone"
            )
    return Calendar(
        zone=_zone(table.get("zone", "UTC"), where),
        hours=tuple(_range(text, where) for text in _texts(table.get("hours", []), f"{where} hours")),
        weekdays=_weekdays(table.get("weekdays", list(WEEKDAYS)), where),
        not_during=tuple(
            _window(text, where) for text in _texts(table.get("not_during", []), f"{where} not_during")
        ),
    )


def _zone(name: object, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f'{where} zone: expected a time zone such as "Europe/Zurich", got {name!r}'
        ) from None


def _weekdays(value: object, where: str) -> frozenset[int]:
    names = _texts(value, f"{where} weekdays")
    if not names or any(name not in WEEKDAYS for name in names):
        raise InputError(f"{where} weekdays: expected a list of {', '.join(WEEKDAYS)}, got {value!r}")
    return frozenset(WEEKDAYS.index(name) for name in names)


def _range(text: str, where: str) -> tuple[int, int]:
    minutes = [_minute(part.strip()) for part in text.split("-")]
    if len(minutes) == 2 and minutes[0] is not None and minutes[1] is not None and minutes[0] != minutes[1]:
        return minutes[0], minutes[1]
    raise InputError(f'{where} hours: expected a range such as "22:00-06:00", got {text!r}')


def _minute(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    minute = int(found[1]) * 60 + int(found[2])
    return minute if int(found[2]) < 60 and minute <= DAY_MINUTES else None


def _window(text: str, where: str) -> tuple[datetime, datetime]:
    try:
        begin, end = (datetime.fromisoformat(part.strip()) for part in text.split("/"))
        if begin.tzinfo is None and end.tzinfo is None and begin < end:
            return begin, end
    except ValueError:
        pass
    raise InputError(
        f'{where} not_during: expected local times such as "2026-12-24T18:00/2026-12-27T06:00", got {text!r}'
    )


def _texts(value: object, where: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{where}: expected a list of texts, got {value!r}")
    return value
