"""What the transfers of all paths teach of one path that has few: how far paths differ, and how wrong their
predictions are.

A random-effects model of log(actual / predicted): an offset for each path, and an error for each transfer.
Which part of the spread is whose is told by moments (DerSimonian and Laird 1986, "Meta-analysis in clinical
trials"), and a path's own transfers are drawn towards all others by as much (empirical Bayes: Efron and
Morris 1975, "Data analysis using Stein's estimator"). Each transfer is then predicted by the others. How
wrong that was, in units of what tests and a mover's usual error let expect, says how many times as wide
intervals must be.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import NormalDist, fmean

from netprobe.conformal import HALF_LIFE_SECONDS as ERROR_HALF_LIFE_SECONDS
from netprobe.weights import LogSpread, age_weight, weighted_quantile

# A mover's overheads change more slowly than a path's rate does.
HALF_LIFE_SECONDS = 24 * 3600.0
# Before any transfer was seen: on 434 real ones the ratio's quartiles were 1.00 and 1.04 around 1.02, with a
# tail to 1.26 (95 %). Slower than predicted is likelier than faster.
PRIOR = LogSpread(1.03, 0.06, 0.14)
# How many new transfers the prior is worth against those of all paths, and these against a path's own where
# nothing is known of how far paths differ; that is worth so many degrees of freedom.
PRIOR_COUNT = 3.0
USUAL_WORTH = 5.0
USUAL_DEGREES = 10.0
# How many errors to either side it is worth that predictions are as wrong as is to be expected, and that a
# path's are as wrong as everybody's. Chosen, with the two above, on two lab runs and made-up paths.
USUAL_ERRORS = 3.0
PATH_ERRORS = 10.0
# The mean size of errors to one side over their 90 % quantile (of all): 0.62 of normal ones and of Laplace's.
MEAN_ERROR = math.sqrt(2 / math.pi) / NormalDist().inv_cdf(0.9)
# Such a mean of n normal errors is as sure as a variance of n / (pi - 2) degrees of freedom, by a quarter of
# (1 + z * z) over which Student's quantile is larger.
STUDENT = (math.pi - 2) * (1 + NormalDist().inv_cdf(0.9) ** 2) / 4

Path = tuple[str, str]


@dataclass(frozen=True)
class Ratio:
    """One transfer: when (seconds), actual / predicted seconds, how noisy one of its length is, and the part
    of its seconds that the path's rate decides (0 to 1)."""

    time: float
    value: float
    noise: float = 1.0
    by_rate: float = 1.0


@dataclass(frozen=True)
class Sizes:
    """Errors to one side: the sum of their weights, and that of their sizes in units of what is expected."""

    weight: float = 0.0
    size: float = 0.0

    def drawn(self, towards: float, count: float) -> float:
        """Their mean, with `count` more of them that are `towards`; larger by what is not known of it, as
        Student's quantile is larger than the normal one (Abramowitz and Stegun 26.7.5)."""
        together = self.weight + count
        return (self.size + count * towards) / together * (1 + STUDENT * self.weight / together**2)


@dataclass(frozen=True)
class Pooled:
    """What all paths' transfers say: the middle of log(actual / predicted), how many of its own transfers are
    worth as much to one path (errors' variance over that of the paths' offsets), and the mean size of errors
    below and above. `total`: the weights by age behind `middle`, that of what is assumed among them."""

    middle: float
    total: float
    worth: float
    below: float = MEAN_ERROR
    above: float = MEAN_ERROR

    def centre(self, own_middle: float, count: float) -> float:
        """What to expect of a path of whose transfers so many are known."""
        return self._between(own_middle, self.middle, count)

    def _between(self, own_middle: float, middle: float, count: float) -> float:
        share = count / (count + self.worth)
        return share * own_middle + (1 - share) * middle

    def wider(self, count: float) -> float:
        """How many times as wide the error is where so many of the path's transfers are known, as it is
        usually where none is: what isn't known of the path's offset comes to the transfer's error."""
        return math.sqrt((1 + 1 / (count + self.worth)) / (1 + 1 / USUAL_WORTH))

    def ratio(
        self, own: Sequence[Ratio], rate: LogSpread, now: datetime
    ) -> tuple[LogSpread, tuple[float, float]]:
        """The ratio to expect of a path's next transfer, and how many times the half-widths that the rate's
        error adds count, below and above. `rate`: of the rate's error, but for its age."""
        logs = [math.log(one.value) for one in own]
        weights = [age_weight(now.timestamp() - one.time, HALF_LIFE_SECONDS) for one in own]
        count = math.fsum(weights)
        middle = self.centre(weighted_quantile(logs, weights, 0.5) if own else 0.0, count)
        below, above = (
            self.wider(count) * side.drawn(usual, PATH_ERRORS) / MEAN_ERROR
            for side, usual in zip(self.errors(own, rate, now), (self.below, self.above), strict=True)
        )
        return LogSpread(math.exp(middle), below * PRIOR.below, above * PRIOR.above), (below, above)

    def errors(self, own: Sequence[Ratio], rate: LogSpread, now: datetime) -> tuple[Sizes, Sizes]:
        """How wrong the path's transfers are predicted by its others: those below and above."""
        found = {False: Sizes(), True: Sizes()}
        wider = self.wider(len(own) - 1.0) if own else 1.0
        for one, miss in zip(own, self.misses(own), strict=True):
            # a faster path takes less
            mover, tests = (PRIOR.above, rate.below) if miss > 0 else (PRIOR.below, rate.above)
            expected = wider * math.hypot(one.noise * mover, one.by_rate * tests)
            weight = age_weight(now.timestamp() - one.time, ERROR_HALF_LIFE_SECONDS)
            side = found[miss > 0]
            found[miss > 0] = Sizes(side.weight + weight, side.size + weight * abs(miss) / expected)
        return found[False], found[True]

    def misses(self, own: Sequence[Ratio]) -> Iterator[float]:
        """log(actual / predicted) of each transfer of a path, as predicted by its other ones and by all."""
        logs = [math.log(one.value) for one in own]
        for log, median in zip(logs, _medians_of_others(logs), strict=True):
            # it is one of all
            middle = self.middle - (log - self.middle) / max(self.total - 1, 1.0)
            yield log - self._between(median, middle, len(logs) - 1.0)


def pooled(paths: Mapping[Path, Sequence[Ratio]], rates: Mapping[Path, LogSpread], now: datetime) -> Pooled:
    """By all transfers of all paths; `rates`: of each path's rate the error, but for its age."""
    every = [one for some in paths.values() for one in some]
    weights = [age_weight(now.timestamp() - one.time, HALF_LIFE_SECONDS) for one in every]
    middle = weighted_quantile([math.log(one.value) for one in every], weights, 0.5) if every else 0.0
    total = math.fsum(weights) + PRIOR_COUNT
    middle += PRIOR_COUNT / total * (math.log(PRIOR.median) - middle)
    worth = _worth([[math.log(one.value) for one in some] for some in paths.values()])
    found = Pooled(middle, total, worth)
    sides = [found.errors(some, rates[path], now) for path, some in paths.items()]
    below, above = (
        _together(side).drawn(MEAN_ERROR, USUAL_ERRORS)
        for side in ([low for low, _ in sides], [high for _, high in sides])
    )
    return replace(found, below=below, above=above)


def _together(some: Sequence[Sizes]) -> Sizes:
    return Sizes(math.fsum(one.weight for one in some), math.fsum(one.size for one in some))


def _worth(paths: Sequence[Sequence[float]]) -> float:
    """Variance of the errors within paths over that between paths, by moments; drawn to the usual one."""
    some = [values for values in paths if values]
    number = sum(len(values) for values in some)
    degrees = number - len(some)
    between = 1 / USUAL_WORTH
    if degrees < 1 or len(some) < 2:
        return USUAL_WORTH
    means = [fmean(values) for values in some]
    mean = fmean(value for values in some for value in values)
    within = math.fsum(
        (value - middle) ** 2 for values, middle in zip(some, means, strict=True) for value in values
    )
    within /= degrees
    apart = math.fsum(len(values) * (middle - mean) ** 2 for values, middle in zip(some, means, strict=True))
    apart /= len(some) - 1
    each = (number - sum(len(values) ** 2 for values in some) / number) / (len(some) - 1)
    if within > 0:
        found = max((apart - within) / each, 0.0) / within
        between = (degrees * found + USUAL_DEGREES * between) / (degrees + USUAL_DEGREES)
    return 1 / between


def _medians_of_others(values: Sequence[float]) -> Iterator[float]:
    """For each value the median of all others; 0 where there are none."""
    ordered, others = sorted(values), len(values) - 1
    for value in values:
        gone = bisect_left(ordered, value)
        low, high = (ordered[n + (n >= gone)] if others else 0.0 for n in ((others - 1) // 2, others // 2))
        yield (low + high) / 2
