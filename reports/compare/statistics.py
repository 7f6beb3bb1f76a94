"""What two samples of one path say of each other, for series whose tests depend on the one before.

The tests are written out on numpy, with the distributions of `scipy.special`: ten thousand paths take
seconds, where the functions of `scipy.stats` would take minutes for checks of their arguments. The tests hold
that both give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, kolmogorov, ndtr, stdtr, stdtrit

Floats = NDArray[np.float64]

# 0 lost of n: at most 3/n with 95 % (Jovanovic and Levy 1997), as a standard error.
NONE_LOST = 3 / 1.645
# Below this many on a side, or pairs, there is no verdict: Mann-Whitney can't reach 5 % under 4 against 4,
# and an autocorrelation of fewer than 8 is noise.
LEAST = 8
RESAMPLES = 400
# What is trimmed of each tail, and the largest autocorrelation that is believed.
TRIM = 0.2
_MOST_CORRELATED = 0.95
# in which a path is taken to be the same
_PART_OF_DAY = 3 * 3600.0
_MOST_SMALL = int(np.iinfo(np.uint16).max)
# Of longer series, pairs are made of so many evenly spaced values: they grow with the square.
_MOST_OF_PAIRS = 500


@dataclass(frozen=True)
class Summary:
    """One sample: quantiles, and the 95 % interval of the median (block bootstrap)."""

    count: int
    effective: float
    p10: float
    p25: float
    median: float
    p75: float
    p90: float
    low: float
    high: float


@dataclass(frozen=True)
class Shift:
    """A difference (of logarithms, or plain), its standard error, and Student's degrees of freedom."""

    estimate: float
    error: float
    freedom: float

    def interval(self, level: float) -> tuple[float, float]:
        """The two-sided interval at that level, as 0.9."""
        half = float(stdtrit(self.freedom, (1 + level) / 2)) * self.error
        return self.estimate - half, self.estimate + half

    def inside(self, margin: float) -> float:
        """The p-value of two one-sided tests (Schuirmann 1987): small where the difference is surely within
        -margin and margin."""
        return max(self._p_above(-margin), self._p_above(-margin, -1))

    def beyond(self, margin: float) -> float:
        """The p-value against |difference| <= margin: small where it is surely larger."""
        sign = 1 if self.estimate >= 0 else -1
        # twice: the side was chosen by looking
        return min(1.0, 2 * self._p_above(margin, sign))

    def _p_above(self, bound: float, sign: int = 1) -> float:
        away = sign * self.estimate - bound
        if self.error <= 0:
            return 0.0 if away > 0 else 1.0
        return float(stdtr(self.freedom, -away / self.error))


@dataclass(frozen=True)
class BlandAltman:
    """Differences of logarithms (mesh's over scripted's: positive where the mesh sees more). Bland and Altman
    1999: bias, 95 % limits of agreement, the intervals of both, and the slope of difference on mean."""

    pairs: int
    bias: float
    bias_interval: tuple[float, float]
    limits: tuple[float, float]
    lower_interval: tuple[float, float]
    upper_interval: tuple[float, float]
    slope: float
    slope_p: float


@dataclass(frozen=True)
class Unpaired:
    """Mann-Whitney's p, Cliff's delta (-1 to 1; positive where the second is larger), Kolmogorov-Smirnov."""

    mann_whitney_p: float
    cliffs_delta: float
    ks_distance: float
    ks_p: float


@dataclass(frozen=True)
class Paired:
    """Wilcoxon's signed ranks (normal, tie-corrected) and Hodges and Lehmann's shift, of logarithms."""

    wilcoxon_p: float
    hodges_lehmann: float


def median(values: Floats) -> float:
    """Of at least one value; numpy's own takes ten times as long on a hundred."""
    ordered = values.copy()
    ordered.sort()
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def autocorrelation(values: Floats) -> float:
    """Of each value with the next, corrected for the bias of short series (Kendall 1954); 0 to 0.95.

    About the median, of values clipped at three spreads, so that one wild test neither hides nor makes it.
    """
    count = len(values)
    if count < 4:
        return 0.0
    centred = values - median(values)
    spread = 1.4826 * median(np.abs(centred))
    if spread > 0:
        centred = np.minimum(np.maximum(centred, -3 * spread), 3 * spread)
    power = float(centred @ centred)
    if power <= 0:
        return 0.0
    found = float(centred[1:] @ centred[:-1]) / power
    return min(max(found + (1 + 3 * found) / count, 0.0), _MOST_CORRELATED)


def effective(values: Floats) -> float:
    """How many independent values say as much of the mean (Bayley and Hammersley 1946, first order)."""
    return _worth(len(values), autocorrelation(values))


def _worth(count: int, correlation: float) -> float:
    return max(count * (1 - correlation) / (1 + correlation), min(count, 2.0))


def _block_length(count: int, correlation: float) -> int:
    """Carlstein's (1986) for first-order autocorrelation: what a block must hold to keep it."""
    length: float = (math.sqrt(6) * correlation / (1 - correlation**2)) ** (2 / 3) * count ** (1 / 3)
    return max(1, min(math.ceil(length), count // 2))


def median_interval(values: Floats, chance: np.random.Generator) -> tuple[float, float]:
    """The 95 % interval of the median by the circular block bootstrap (Politis and Romano 1992)."""
    return _median_interval(values, np.argsort(values), autocorrelation(values), chance)


def _median_interval(
    values: Floats, order: NDArray[np.intp], correlation: float, chance: np.random.Generator
) -> tuple[float, float]:
    """Of small integers, the values' places in their `order`: they sort many times as fast as the values."""
    count, length = len(values), _block_length(len(values), correlation)
    if count < 2:
        return float(values[0]), float(values[0])
    small = np.uint16 if count + length <= _MOST_SMALL else np.uint32
    place = np.empty(count + length, small)
    place[order] = np.arange(count)
    # blocks that begin near the end go on at the start
    place[count:] = place[:length]
    starts = chance.integers(0, count, (RESAMPLES, math.ceil(count / length)), dtype=small)
    if length == 1:
        drawn = place.take(starts)
    else:
        # a row for each place where a block may begin: whole blocks are copied
        blocks = place[np.arange(count)[:, None] + np.arange(length)]
        drawn = blocks.take(starts, axis=0).reshape(RESAMPLES, -1)[:, :count]
    drawn.sort(axis=1)
    below, above = values[order[drawn[:, (count - 1) // 2]]], values[order[drawn[:, count // 2]]]
    middles = (below + above) / 2
    middles.sort()
    low, high = _quantiles(middles, (0.025, 0.975))
    return low, high


def _quantiles(ordered: Floats, shares: Sequence[float]) -> list[float]:
    """Of sorted values, between neighbours where need be, as numpy has them by default."""
    found: list[float] = np.interp(
        np.multiply(shares, len(ordered) - 1), np.arange(len(ordered)), ordered
    ).tolist()
    return found


def quantiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """Of at least one value, to the last bit as `numpy.quantile` has them, which takes ten times as long on a
    hundred."""
    ordered = values.copy()
    ordered.sort()
    found = []
    for share in shares:
        before, part = divmod(share * (len(ordered) - 1), 1.0)
        low, high = (float(one) for one in ordered[[int(before), min(int(before) + 1, len(ordered) - 1)]])
        apart = high - low
        found.append(low + apart * part if part < 0.5 else high - apart * (1 - part))
    return found


def summarise(values: Floats, chance: np.random.Generator) -> Summary:
    """One sample, at least one value, in order of time."""
    correlation, order = autocorrelation(values), np.argsort(values)
    p10, p25, middle, p75, p90 = _quantiles(values[order], (0.1, 0.25, 0.5, 0.75, 0.9))
    low, high = _median_interval(values, order, correlation, chance)
    return Summary(len(values), _worth(len(values), correlation), p10, p25, middle, p75, p90, low, high)


def centre(
    values: Floats, trim: float = TRIM, times: Floats | None = None, correlation: float | None = None
) -> Shift:
    """The trimmed mean with Yuen's (1974) error, for as many as they are worth in independent ones.

    The autocorrelation is taken to be 1/n larger than it is found, and the variance is corrected for what
    dependent values leave out of it: else short series seem surer than they are (`benchmarks.report --alarms`
    counts how often). With `times` (seconds), hours of the day that differ are a source of error, too.
    `correlation`: the values' `autocorrelation`, for who knows it already.
    """
    count = len(values)
    ordered = np.sort(values)
    cut = int(trim * count)
    kept = ordered[cut : count - cut]
    estimate = float(kept.sum()) / len(kept)
    if count < 2:
        return Shift(estimate, math.inf, 1.0)
    winsorised = np.minimum(np.maximum(values, kept[0]), kept[-1]) / (1 - 2 * trim)
    away = winsorised - winsorised.sum() / count
    known = autocorrelation(values) if correlation is None else correlation
    worth = _worth(count, min(known + 1 / count, _MOST_CORRELATED))
    # of the sum of squares, n (1 - 1/worth) variances are expected
    variance = float(away @ away) / (count * max(1 - 1 / worth, 0.25))
    found = Shift(estimate, math.sqrt(variance / worth), max((1 - 2 * trim) * worth - 1, 1.0))
    return found if times is None else _over_hours(found, winsorised, times)


def _over_hours(shift: Shift, values: Floats, times: Floats) -> Shift:
    """With the error that comes of the hours: a mesh that measures at four hours of the day knows four places
    of its daily course, however many days it measures. The means of parts of the day are a random effect
    (DerSimonian and Laird 1986) where they differ at 10 %; degrees of freedom are Satterthwaite's (1946)."""
    which = (times // _PART_OF_DAY).astype(int) % 8
    sizes = np.bincount(which, minlength=8)
    total, freedom = len(values), int(np.count_nonzero(sizes)) - 1
    if freedom < 1 or total - freedom < 5:
        return shift
    means = np.bincount(which, values, 8) / np.maximum(sizes, 1)
    left = values - means[which]
    within = float(left @ left) / (total - freedom - 1)
    if within <= 0:
        return shift
    apart = means - float(values.sum()) / total
    differ = float(sizes @ apart**2) / within
    if differ <= float(chdtri(freedom, 0.1)):
        return shift
    between_hours = (differ - freedom) * within / (total - float(sizes @ sizes) / total)
    own, of_hours = within / total, between_hours * float(sizes @ sizes) / total**2
    found = (own + of_hours) ** 2 / (own**2 / shift.freedom + of_hours**2 / freedom)
    return Shift(shift.estimate, max(shift.error, math.sqrt(own + of_hours)), min(shift.freedom, found))


def between(first: Shift, second: Shift) -> Shift:
    """Second less first, of independent samples (Welch)."""
    one, two = first.error**2, second.error**2
    error = math.sqrt(one + two)
    parts = one**2 / first.freedom + two**2 / second.freedom
    return Shift(
        second.estimate - first.estimate, error, (one + two) ** 2 / parts if parts else first.freedom
    )


def bland_altman(first: Floats, second: Floats, correlation: float | None = None) -> BlandAltman:
    """Of logarithms, pair by pair; three pairs at least. `correlation`: the differences' `autocorrelation`,
    for who knows it already."""
    difference, mean = second - first, (first + second) / 2
    count = len(difference)
    worth = max(_worth(count, autocorrelation(difference) if correlation is None else correlation), 2.0)
    # written out: numpy's own mean and deviation take ten times as long on a hundred
    bias = float(difference.sum()) / count
    away = difference - bias
    spread = math.sqrt(float((away * away).sum()) / (count - 1))
    student = float(stdtrit(max(worth - 1, 1), 0.975))
    of_bias, of_limit = student * spread / math.sqrt(worth), student * spread * math.sqrt(3 / worth)
    lower, upper = bias - 1.96 * spread, bias + 1.96 * spread
    centred = mean - mean.sum() / count
    power = float(centred @ centred)
    # the same value again and again has no slope, but for what rounding leaves
    slope = float(centred @ difference) / power if power > 1e-18 * count else 0.0
    left = away - slope * centred
    error = (
        math.sqrt(float(left @ left) / (count - 2) / power * count / worth) if power > 1e-18 * count else 0
    )
    slope_p = float(2 * stdtr(max(worth - 2, 1), -abs(slope) / error)) if error else 1.0
    return BlandAltman(
        count,
        bias,
        (bias - of_bias, bias + of_bias),
        (lower, upper),
        (lower - of_limit, lower + of_limit),
        (upper - of_limit, upper + of_limit),
        slope,
        slope_p,
    )


def ranks(values: Floats) -> tuple[Floats, float]:
    """Ranks from 1, ties shared; and the sum of t^3 - t over ties of t."""
    order = np.argsort(values)
    ordered = values[order]
    if (ordered[1:] != ordered[:-1]).all():
        plain = np.empty(len(values))
        plain[order] = np.arange(1.0, len(values) + 1)
        return plain, 0.0
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found = (last - (counts - 1) / 2)[inverse]
    return found, float((counts.astype(float) ** 3 - counts).sum())


def unpaired(first: Floats, second: Floats) -> Unpaired:
    """Of two samples of at least one value each. P-values count each test as independent of the others."""
    ahead, behind = len(first), len(second)
    total = ahead + behind
    found, ties = ranks(np.concatenate((first, second)))
    larger = float(found[ahead:].sum()) - behind * (behind + 1) / 2
    variance = ahead * behind / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
    away = max(abs(larger - ahead * behind / 2) - 0.5, 0.0)
    p = 2 * float(ndtr(-away / math.sqrt(variance))) if variance > 0 else 1.0
    every = np.concatenate((first, second))
    one = np.searchsorted(np.sort(first), every, "right") / ahead
    two = np.searchsorted(np.sort(second), every, "right") / behind
    distance = float(np.abs(one - two).max())
    ks = float(kolmogorov(math.sqrt(ahead * behind / total) * distance))
    return Unpaired(min(p, 1.0), 2 * larger / (ahead * behind) - 1, distance, ks)


def paired(difference: Floats) -> Paired:
    """Of differences pair by pair, at least one."""
    moved = difference[difference != 0]
    p = 1.0
    if len(moved):
        found, ties = ranks(np.abs(moved))
        count = len(moved)
        upward = float(found[moved > 0].sum())
        variance = count * (count + 1) * (2 * count + 1) / 24 - ties / 48
        if variance > 0:
            p = min(1.0, 2 * float(ndtr(-abs(upward - count * (count + 1) / 4) / math.sqrt(variance))))
    some = thinned(difference)
    first, second = couples(len(some))
    averages = (some[first] + some[second]) / 2
    return Paired(p, median(np.concatenate((averages, some))))


@lru_cache(8)
def couples(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indexes of all couples of so many values, the earlier first."""
    first, second = np.triu_indices(count, 1)
    return first, second


def thinned(values: Floats) -> Floats:
    """At most 500 of them, evenly spaced."""
    if len(values) <= _MOST_OF_PAIRS:
        return values
    some: Floats = values[np.linspace(0, len(values) - 1, _MOST_OF_PAIRS).astype(int)]
    return some


def needed(shift: Shift, count: int, margin: float) -> int:
    """How many in all would settle whether the difference is within the margin, with power 80 %, if its
    spread and its place stay as they are; at most ten times as many as there are, and at least one more."""
    if count < LEAST:
        return LEAST
    room = max(abs(margin - abs(shift.estimate)), 1e-9)
    # one-sided 5 % and 20 %: 1.645 + 0.842, and both sides where the difference is about nothing
    factor = ((1.645 + (0.842 if abs(shift.estimate) > margin / 10 else 1.282)) * shift.error / room) ** 2
    return min(max(math.ceil(count * factor), count + 1), 10 * count)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p-values: below q, a share of q at most is false (Benjamini and Hochberg 1995)."""
    count = len(p)
    if not count:
        return p
    order = np.argsort(p)
    scaled = p[order] * count / np.arange(1, count + 1)
    found: Floats = np.empty(count)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found
