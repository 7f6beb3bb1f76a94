"""Axes of time, as people count it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import matplotlib.dates
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from federation.units import format_seconds


def dated(axes: Any, since: datetime, until: datetime) -> None:
    """The horizontal axis from `since` to `until`, in UTC."""
    # matplotlib takes times, but its types don't say so
    dates: Any = matplotlib.dates
    locator = dates.AutoDateLocator(tz=UTC)
    axes.set_xlim(since, until)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))


def in_seconds(axis: Any, low: float, high: float) -> None:
    """A logarithmic axis of time, with the units that people count in."""
    axis.set_major_locator(FixedLocator(_times(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))


def _times(low: float, high: float) -> list[float]:
    """Round times between these, six at most."""
    small = [step * 10.0**power for power in range(-6, 1) for step in (1, 2, 5)]
    large = [10.0, 20.0, 30.0, *(unit * n for unit in (60.0, 3600.0) for n in (1, 2, 5, 10, 30))]
    days = [86_400.0 * 10**power * step for power in range(4) for step in (1, 2, 5)]
    found = [value for value in (*small, *large, *days) if low <= value <= high]
    return found[:: math.ceil(len(found) / 6)]
