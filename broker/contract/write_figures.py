"""Costs, metrics and schedules on the wire."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from broker.contract.common import Schedule, StartDurationInstant, StartDurationInterval
from broker.contract.costs import AbstractItem, MinMaxFloat
from broker.contract.times import format_duration, format_instant
from broker.model import Figure, Placement


def figures(items: Sequence[Figure], kind: str) -> list[MinMaxFloat | AbstractItem]:
    """Costs or metrics; a bound that isn't finite is left out, for JSON has no word for it."""
    return [
        MinMaxFloat(
            kind=kind,
            type=item.type,
            description=item.description or None,
            min=item.minimum if math.isfinite(item.minimum) else None,
            max=item.maximum if math.isfinite(item.maximum) else None,
        )
        for item in items
    ]


def schedule(placement: Placement) -> Schedule:
    """Preparation, then the starts that are held (an offer may be accepted late), for the whole duration."""
    end = placement.start + placement.start_within + placement.duration
    return Schedule(
        preparing=StartDurationInstant(
            start=format_instant(placement.prepare_start),
            duration=whole_seconds(placement.prepare_seconds),
        ),
        available=available(placement),
        releasing=StartDurationInstant(start=format_instant(end), duration="PT0S"),
    )


def available(placement: Placement) -> StartDurationInterval:
    """The starts that are held, and for how long from each."""
    return StartDurationInterval(
        start=f"{format_instant(placement.start)}/{format_duration(placement.start_within)}",
        duration=format_duration(placement.duration),
    )


def whole_seconds(seconds: float) -> str:
    """A duration, rounded up."""
    return format_duration(timedelta(seconds=math.ceil(seconds)))
