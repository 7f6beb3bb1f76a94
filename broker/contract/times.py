"""ISO 8601 on the wire: the durations, instants and intervals that the contract's patterns allow."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta

from broker.contract.wire import quote

_DURATION = re.compile(
    r"(?P<sign>-?)P(?=\d|T\d)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)


class Reversed(ValueError):  # noqa: N818 - says what is wrong, as the others' texts do
    """An interval that ends before it starts; `turned` is the same the other way round."""

    def __init__(self, text: str, turned: str) -> None:
        super().__init__(f"{quote(text)} ends before it starts")
        self.turned = turned


def parse_duration(text: str, start: datetime) -> timedelta:
    """The length of an ISO 8601 duration; years and months are counted on the calendar from `start`.

    Raises ValueError, with what was expected, for what is no duration or can't be counted.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{quote(text)} is no ISO 8601 duration such as PT2H30M or P1DT12H")
    part = match.groupdict()
    months = int(part["years"] or 0) * 12 + int(part["months"] or 0)
    sign = -1 if part["sign"] else 1
    try:
        length = _add_months(start, sign * months) - start
        return length + sign * timedelta(
            weeks=int(part["weeks"] or 0),
            days=int(part["days"] or 0),
            hours=int(part["hours"] or 0),
            minutes=int(part["minutes"] or 0),
            seconds=float(part["seconds"] or 0),
        )
    except (OverflowError, ValueError):
        raise ValueError(f"{quote(text)} is longer than this broker counts") from None


def parse_interval(text: str) -> tuple[datetime, datetime]:
    """First and last instant (UTC) of START/END, START/DURATION or DURATION/END.

    A date alone is its midnight, and a time without a zone is UTC. Raises ValueError with what was expected,
    and the ValueError `Reversed` where the end comes first.
    """
    left, slash, right = text.partition("/")
    if not slash:
        raise ValueError(f"{quote(text)} is no ISO 8601 interval: it has no '/'")
    try:
        if left.startswith("P"):
            last = parse_instant(right)
            # counted back from the end
            return last + parse_duration("-" + left, last), last
        first = parse_instant(left)
        if right.startswith("P"):
            return first, first + parse_duration(right, first)
        last = parse_instant(right)
    except OverflowError:
        raise ValueError(f"{quote(text)} reaches beyond the calendar") from None
    if last < first:
        raise Reversed(text, f"{right}/{left}")
    return first, last


def parse_instant(text: str) -> datetime:
    """An instant in UTC, from a date or a date and time. Raises ValueError."""
    if not (_DATE.fullmatch(text) or _INSTANT.fullmatch(text)):
        raise ValueError(f"{quote(text)} is no ISO 8601 instant such as 2026-03-01T12:00:00Z")
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{quote(text)} is no day and time that exists") from None


def format_instant(instant: datetime) -> str:
    """2026-03-01T12:00:00Z, with microseconds where there are some."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_duration(length: timedelta) -> str:
    """P1DT2H, PT1H30M, PT0.5S, PT0S: in days and shorter alone. Negative lengths count as nothing."""
    microseconds = max(0, length // timedelta(microseconds=1))
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    second = f"{seconds}.{fraction:06d}".rstrip("0") if fraction else str(seconds)
    parts = [
        f"{hours}H" if hours else "",
        f"{minutes}M" if minutes else "",
        f"{second}S" if second != "0" else "",
    ]
    time = "".join(parts)
    if not days and not time:
        return "PT0S"
    return "P" + (f"{days}D" if days else "") + (f"T{time}" if time else "")


def _add_months(start: datetime, months: int) -> datetime:
    """`months` later on the calendar; the 31st becomes the last day of a shorter month."""
    if not months:
        return start
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not date.min.year <= year <= date.max.year:
        raise OverflowError
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
