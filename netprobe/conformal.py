"""Calibrated intervals: how wrong forecasts were says how wrong the next one will be.

Split conformal prediction on log(actual / predicted), under weights that fade with age. Nothing is assumed of
the distribution of errors. With n errors of equal weight the p-quantile is the p * (n + 1)-th smallest
(linear between): the one more stands for the forecast being made, and makes the interval right for few
errors, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from netprobe.weights import LogSpread

# Fewer errors than this say nothing of a 10 % tail.
LEAST = 12
# Errors of other paths must be more: they are of different kinds.
LEAST_OF_OTHERS = 30
# How long an error counts half, at least: noise changes more slowly than rates. And in tests, for paths that
# are measured rarely.
HALF_LIFE_SECONDS = 3 * 86_400.0
HALF_LIFE_TESTS = 20.0


class Pool(StrEnum):
    """Whose errors an interval is made of."""

    PATH = "this path"
    SITES = "paths of its sites"
    ALL = "all paths"


@dataclass(frozen=True)
class Miss:
    """One forecast's error: log(actual / predicted), and when the actual value came (seconds)."""

    time: float
    error: float


@dataclass(frozen=True)
class Interval:
    """How far the 10 % and the 90 % quantile lie from the forecast (natural logarithm, both >= 0)."""

    below: float
    above: float
    pool: Pool
    misses: int

    def around(self, median: float) -> LogSpread:
        return LogSpread(median, self.below, self.above)


def calibrate(
    own: Sequence[Miss], of_sites: Callable[[], Iterable[Miss]], of_all: Callable[[], Iterable[Miss]]
) -> Interval | None:
    """The 80 % interval by the path's own errors, else by those of paths that share a site with it, else by
    everybody's; None where none are enough. The callables are asked only in need, and leave the path out."""
    found = of_path(own)
    if found is None:
        found = _interval([*own, *of_sites()], Pool.SITES, LEAST_OF_OTHERS)
    if found is None:
        found = _interval([*own, *of_all()], Pool.ALL, LEAST_OF_OTHERS)
    return found


def of_path(own: Sequence[Miss]) -> Interval | None:
    """The 80 % interval by the path's own errors alone; None where they are too few."""
    return _interval(own, Pool.PATH, LEAST)


def quantile(errors: Sequence[float], weights: Sequence[float], probability: float) -> float | None:
    """The conformal quantile: the next error of the same kind is below it with that probability.

    The next error counts as one of mean weight. None where the tail holds too little weight to say (the
    honest answer is infinite).
    """
    pairs = sorted(zip(errors, weights, strict=True))
    if not pairs:
        return None
    target = probability * math.fsum(weights) * (1 + 1 / len(pairs))
    if target < pairs[0][1] * (1 - 1e-9):
        return None
    reached, previous = 0.0, pairs[0][0]
    for error, weight in pairs:
        if target <= reached + weight * (1 + 1e-9):
            part = min(max((target - reached) / weight, 0.0), 1.0)
            return previous + part * (error - previous)
        reached += weight
        previous = error
    return None


def _interval(misses: Sequence[Miss], pool: Pool, least: int) -> Interval | None:
    if len(misses) < least:
        return None
    weights = _weights([miss.time for miss in misses])
    errors = [miss.error for miss in misses]
    low = quantile([-error for error in errors], weights, 0.9)
    high = quantile(errors, weights, 0.9)
    if low is None or high is None:
        return None
    return Interval(max(low, 0.0), max(high, 0.0), pool, len(misses))


def _weights(times: Sequence[float]) -> list[float]:
    """By age before the newest: half after three days, or after twenty errors where those took longer."""
    newest = max(times)
    spacing = (newest - min(times)) / max(len(times) - 1, 1)
    half_life = max(HALF_LIFE_SECONDS, HALF_LIFE_TESTS * spacing)
    return [max(math.pow(0.5, (newest - time) / half_life), 1e-12) for time in times]
