"""How true forecasts were: shares with their intervals, errors as factors, and whether they grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

Floats = NDArray[np.float64]

# Below this many there is no verdict on an 80 % interval: of 30, between 61 and 92 % inside is chance.
LEAST = 30
PROMISED = 0.8
# a path is called worse than promised at this level, over all paths together
LEVEL = 0.05
# An autocorrelation above this is not believed: of few values it is mostly noise.
MOST_CORRELATED = 0.9
_BLOCK, _RESAMPLES = 5, 2000


def percent(share: float) -> str:
    """The unit stays with its number where lines are broken."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


@dataclass(frozen=True)
class Share:
    """`hits` of `count`, and the 95 % interval of the share (Clopper and Pearson 1934), 0 to 1 for none."""

    hits: int
    count: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """NaN of none."""
        return self.hits / self.count if self.count else math.nan

    @property
    def words(self) -> str:
        if not self.count:
            return "–"
        return f"{percent(self.value)} ({100 * self.low:.0f} to {100 * self.high:.0f})"


@dataclass(frozen=True)
class Errors:
    """Of ln(actual / forecast): the median, and of its absolute value the median and the 90 % quantile; NaN
    of none."""

    count: int
    bias: float
    typical: float
    worst_tenth: float


def share(hits: Sequence[bool], effective: float | None = None) -> Share:
    """The share of what is true. `effective`: for how many independent ones they count (see `worth`)."""
    count, found = len(hits), sum(hits)
    if not count:
        return Share(0, 0, 0.0, 1.0)
    trials = float(count) if effective is None else min(max(effective, 1.0), float(count))
    good = found / count * trials
    bad = trials - good
    low = float(betaincinv(good, bad + 1, 0.025)) if found else 0.0
    high = float(betaincinv(good + 1, bad, 0.975)) if found < count else 1.0
    return Share(found, count, low, high)


def chance_of_so_few(hits: Sequence[bool], effective: float) -> float:
    """The probability of so few that are true, or fewer, if PROMISED of all were to be."""
    good = sum(hits) / len(hits) * effective
    bad = effective - good
    return float(betainc(bad, good + 1, 1 - PROMISED)) if bad > 0 else 1.0


def worth(series: Sequence[Sequence[bool]]) -> float:
    """For how many independent ones these count, that follow each other in series: n (1 - r) / (1 + r), where
    r is the correlation of each with the next. A whole series of misses is less news than misses here and
    there."""
    values = [float(one) for part in series for one in part]
    count = len(values)
    mean = sum(values) / count if count else 0.0
    pairs = [(one - mean) * (after - mean) for part in series for one, after in pairwise(part)]
    spread = mean * (1 - mean)
    if len(pairs) < 3 or spread == 0:
        return float(count)
    # the mean is estimated, too, which pulls r down by about 1 / n
    found = sum(pairs) / len(pairs) / spread + 1 / count
    r = min(max(found, 0.0), MOST_CORRELATED)
    return count * (1 - r) / (1 + r)


def errors(logs: Sequence[float]) -> Errors:
    """Of ln(actual / forecast) of each."""
    if not logs:
        return Errors(0, math.nan, math.nan, math.nan)
    found = np.asarray(logs, dtype=np.float64)
    apart = np.abs(found)
    return Errors(
        len(found), float(np.median(found)), float(np.median(apart)), float(np.quantile(apart, 0.9))
    )


def off(log: float) -> float:
    """An error as a share: ln 1.1 is 0.1, and so is -ln 1.1. How far off by the larger of the two."""
    return math.expm1(abs(log))


def growth(logs: Sequence[float]) -> tuple[float, float, float] | None:
    """How many times the typical error of the second half is that of the first, in the order of time, and its
    95 % interval (block bootstrap, of five that follow each other); None for fewer than LEAST, or none."""
    apart = np.abs(np.asarray(logs, dtype=np.float64))
    half = len(apart) // 2
    if len(apart) < LEAST:
        return None
    parts = apart[:half], apart[half:]
    first, second = (float(np.median(part)) for part in parts)
    if first == 0 or second == 0:
        return None
    chance = np.random.default_rng(1)
    drawn = [_medians(part, chance) for part in parts]
    ratios = drawn[1] / np.maximum(drawn[0], 1e-12)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return second / first, float(low), float(high)


def _medians(values: Floats, chance: np.random.Generator) -> Floats:
    """Of resampled values, blocks of which stay together."""
    count = len(values)
    blocks = math.ceil(count / _BLOCK)
    starts = chance.integers(0, count - _BLOCK + 1, size=(_RESAMPLES, blocks, 1))
    places = (starts + np.arange(_BLOCK)).reshape(_RESAMPLES, -1)[:, :count]
    found: Floats = np.median(values[places], axis=1)
    return found
