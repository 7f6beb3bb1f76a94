"""The bank of forecasters: small pure functions that say what the next test will give from those before it.

Each takes `times` (seconds, oldest first), `values` (natural logarithms of rates, at least one) and `now`,
and gives one value. None of them is best everywhere: which one a path gets is decided by how wrong each was
on that path (netprobe.walk).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from netprobe.weights import age_weight, weighted_quantile

Predict = Callable[[Sequence[float], Sequence[float], float], float]

DAY_SECONDS = 86_400.0
# Tests at the same time of day are those within this long of it ...
SAME_HOUR_SECONDS = 1.5 * 3600.0
# ... and so many of them, before today, are a history.
SAME_HOUR_TESTS = 3
SAME_HOUR_NEWEST = 9


@dataclass(frozen=True)
class Member:
    """A forecaster with its name as people read it. `across_changes`: it looks at all tests, also at those
    before the path's last change point."""

    name: str
    predict: Predict
    across_changes: bool = False


def last(times: Sequence[float], values: Sequence[float], now: float) -> float:
    return values[-1]


def mean(times: Sequence[float], values: Sequence[float], now: float) -> float:
    return fmean(values)


def aged_median(times: Sequence[float], values: Sequence[float], now: float) -> float:
    """Median of all tests, newer ones counting more."""
    return weighted_quantile(values, [age_weight(now - time) for time in times], 0.5)


def median_of(count: int) -> Predict:
    def predict(times: Sequence[float], values: Sequence[float], now: float) -> float:
        return median(values[-count:])

    return predict


def trimmed_mean_of(count: int) -> Predict:
    """Mean of the newest `count` without the largest and the smallest fifth."""

    def predict(times: Sequence[float], values: Sequence[float], now: float) -> float:
        ordered = sorted(values[-count:])
        cut = len(ordered) // 5
        return fmean(ordered[cut : len(ordered) - cut])

    return predict


def smoothed(gain: float) -> Predict:
    """Exponentially weighted mean: each test moves it by `gain` of the way."""

    def predict(times: Sequence[float], values: Sequence[float], now: float) -> float:
        level = values[0]
        for value in values[1:]:
            level += gain * (value - level)
        return level

    return predict


def time_of_day(times: Sequence[float], values: Sequence[float], now: float) -> float:
    """Median of the tests at this time of day on the days before; `aged_median` where those are too few."""
    found: list[float] = []
    for time, value in zip(reversed(times), reversed(values), strict=True):
        apart = math.fmod(now - time, DAY_SECONDS)
        near = min(apart, DAY_SECONDS - apart) <= SAME_HOUR_SECONDS
        if near and now - time > DAY_SECONDS / 2:
            found.append(value)
            if len(found) == SAME_HOUR_NEWEST:
                break
    return median(found) if len(found) >= SAME_HOUR_TESTS else aged_median(times, values, now)


# Simplest first: of two that are equally good the earlier one is chosen. The first is for paths with too
# short a history to choose from: no wild test moves it, and old tests fade.
BANK: tuple[Member, ...] = (
    Member("age-weighted median", aged_median),
    Member("last test", last),
    Member("mean", mean),
    Member("median of 3", median_of(3)),
    Member("median of 5", median_of(5)),
    Member("median of 11", median_of(11)),
    Member("trimmed mean of 11", trimmed_mean_of(11)),
    Member("exponential smoothing (1/4)", smoothed(0.25)),
    Member("exponential smoothing (1/2)", smoothed(0.5)),
    Member("time of day", time_of_day, across_changes=True),
)
