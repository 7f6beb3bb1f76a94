"""From the requested schedule and limits on the wire to exact instants and numbers.

Where no start is asked for, it is any in the next 24 hours; where no duration is, an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.contract.costs import AbstractItem, MinMaxFloat
from broker.contract.kinds import ABSTRACT_COST, ABSTRACT_METRIC
from broker.contract.offerset import RequestedBlock, RequestedItem
from broker.contract.reasons import Reasons
from broker.contract.times import (
    Reversed,
    format_duration,
    format_instant,
    parse_duration,
    parse_interval,
)
from broker.model import Limit

DEFAULT_DURATION = timedelta(hours=1)
DEFAULT_WINDOW = timedelta(hours=24)
# beyond this, calendars and clouds have nothing to say
LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class When:
    """How long, and the range of instants (UTC) in which it must start."""

    duration: timedelta
    earliest_start: datetime
    latest_start: datetime


def read_schedule(wire: RequestedBlock | None, now: datetime, reasons: Reasons) -> When:
    """What was asked; where nothing was, or it can't be read, the default and the reasons."""
    asked = (wire.requested if wire else None) or RequestedItem()
    earliest, latest = _read_start(asked.start, now, reasons)
    return When(_read_duration(asked.duration, earliest, reasons), earliest, latest)


def _read_start(text: str | None, now: datetime, reasons: Reasons) -> tuple[datetime, datetime]:
    path = "/schedule/requested/start"
    default = now, now + DEFAULT_WINDOW
    example = f"{format_instant(now.replace(microsecond=0))}/PT24H"
    if text is None:
        template = "no start was asked for: from now until {latest} was assumed"
        reasons.info("default", path, template, latest=format_instant(default[1].replace(microsecond=0)))
        return default
    try:
        first, last = parse_interval(text)
    except Reversed as error:
        template = "{problem}; {example} would work"
        turned = error.turned if parse_interval(error.turned)[1] >= now else example
        reasons.no("input-syntax-fail", path, template, problem=error, example=turned)
        return default
    except ValueError as error:
        template = "{problem}; START/END, START/DURATION or DURATION/END would work, such as {example}"
        reasons.no("input-syntax-fail", path, template, problem=error, example=example)
        return default
    if last < now:
        template = "the start interval ended at {last}, which is past; {example} would work"
        reasons.no("start-in-the-past", path, template, last=format_instant(last), example=example)
        return default
    if first > now + LONGEST:
        template = (
            "a start at {first} is too far ahead: at most {days} days are planned; {example} would work"
        )
        values = {"first": format_instant(first), "days": LONGEST.days, "example": example}
        reasons.no("start-too-late", path, template, **values)
        return default
    if first < now:
        # the rest of an interval that has begun is still an interval in which to start
        template = (
            "the start interval began at {first}, which is past: what is left of it, from {now} on, counts"
        )
        reasons.info(
            "start-in-the-past", path, template, first=format_instant(first), now=format_instant(now)
        )
    return max(first, now), min(last, now + LONGEST)


def _read_duration(text: str | None, start: datetime, reasons: Reasons) -> timedelta:
    path = "/schedule/requested/duration"
    if text is None:
        template = "no duration was asked for: {duration} was assumed"
        reasons.info("default", path, template, duration=format_duration(DEFAULT_DURATION))
        return DEFAULT_DURATION
    try:
        length = parse_duration(text, start)
    except ValueError as error:
        reasons.no("input-syntax-fail", path, "{problem}", problem=error)
        return DEFAULT_DURATION
    if not timedelta(0) < length <= LONGEST:
        template = "a duration of {duration} can't be had: more than nothing and at most {days} days can; "
        template += "{example} would work"
        values = {"duration": text[:80], "days": LONGEST.days, "example": format_duration(DEFAULT_DURATION)}
        reasons.no("invalid-value", path, template, **values)
        return DEFAULT_DURATION
    return length


def read_limits(
    wire: list[AbstractItem | MinMaxFloat] | None, family: str, reasons: Reasons
) -> tuple[Limit, ...]:
    """Cost or metric limits; `family` is "costs" or "metrics"."""
    limits: list[Limit] = []
    for index, item in enumerate(wire or []):
        path = f"/{family}/{index}"
        instead = "simple-minmax-float-" + family.removesuffix("s")
        if not isinstance(item, MinMaxFloat):
            # the abstract kind has a type and no figures: it limits nothing
            if item.kind not in (ABSTRACT_COST, ABSTRACT_METRIC):
                reasons.foreign_kind(family.removesuffix("s"), item.kind, path, instead)
            continue
        if not item.type:
            reasons.no("missing-value", f"{path}/type", "a limit needs the type of what it limits")
            continue
        if item.min is not None and item.max is not None and item.min > item.max:
            template = "the minimum {min} is above the maximum {max}"
            reasons.no("invalid-value", path, template, min=item.min, max=item.max)
            continue
        limits.append(Limit(type=item.type, minimum=item.min, maximum=item.max, path=path))
    return tuple(limits)
