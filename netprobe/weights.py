"""Weights that fade with age, quantiles under weights, and spreads as factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netprobe.quantiles import Quantiles

# A test counts half as much after six hours: paths change with the working day and with rerouting, and a mesh
# usually repeats its throughput tests every few hours.
HALF_LIFE_SECONDS = 6 * 3600.0
# A quantile this many times its median says no less than one still further off: that nothing is known. Where
# measurements contradict each other by many powers of ten (a rate of 1 bit/s, and 1 GB moved in 0.1 ms), the
# half-widths grow by factors, until their exponentials are no numbers any more, or 0.
WIDEST = math.log(1e30)


def age_weight(age_seconds: float, half_life_seconds: float = HALF_LIFE_SECONDS) -> float:
    """Weight of a test of that age: 1 when new, 1/2 after a half-life. The future (clock skew) counts as new.

    It never reaches 0, so that old evidence alone still has a median.
    """
    return max(math.pow(0.5, max(age_seconds, 0.0) / half_life_seconds), 1e-300)


def effective_count(weights: Sequence[float]) -> float:
    """Kish's effective sample size, (sum w)^2 / sum w^2: between 1 and the number of weights; 0 for none."""
    largest = max(weights, default=0.0)
    if largest == 0.0:
        return 0.0
    scaled = [weight / largest for weight in weights]  # avoids underflow of the squares
    return sum(scaled) ** 2 / sum(weight * weight for weight in scaled)


def weighted_quantile(values: Sequence[float], weights: Sequence[float], probability: float) -> float:
    """Quantile under weights: each value stands at the middle of its weight, linear between, flat beyond.

    For equal weights this is Hazen's definition (Hyndman and Fan's type 5). `values` must not be empty,
    weights must be positive.
    """
    if not values or len(values) != len(weights):
        raise ValueError("a weighted quantile needs at least one value, and one weight for each")
    pairs = sorted(zip(values, weights, strict=True))
    target = probability * math.fsum(weight for _, weight in pairs)
    below = 0.0
    previous_value, previous_middle = pairs[0][0], 0.0
    for value, weight in pairs:
        middle = below + weight / 2
        if target <= middle:
            if middle == previous_middle:
                return value
            part = max((target - previous_middle) / (middle - previous_middle), 0.0)
            # rounding may lead past `value` by a digit, and then a higher quantile would be less
            return min(previous_value + part * (value - previous_value), value)
        below += weight
        previous_value, previous_middle = value, middle
    return previous_value


@dataclass(frozen=True)
class LogSpread:
    """A positive quantity's median, and how far its 10 % and 90 % quantiles lie from it in natural logarithm.

    Logarithms, because rates and durations err by factors: half and double are equally wrong. Quantiles lie
    no further from the median than WIDEST.
    """

    median: float
    below: float
    above: float

    def widened(self, other: float) -> LogSpread:
        """With an independent error of half-width `other` added: squares add."""
        return LogSpread(self.median, math.hypot(self.below, other), math.hypot(self.above, other))

    def at_least(self, floor: float) -> LogSpread:
        return LogSpread(self.median, max(self.below, floor), max(self.above, floor))

    def scaled(self, factor: float) -> LogSpread:
        return LogSpread(self.median * factor, self.below, self.above)

    @property
    def quantiles(self) -> Quantiles:
        below, above = min(self.below, WIDEST), min(self.above, WIDEST)
        return Quantiles(self.median * math.exp(-below), self.median, self.median * math.exp(above))


def log_spread(values: Sequence[float], weights: Sequence[float]) -> LogSpread:
    """Weighted median and half-widths of positive values; a single one has width 0: add a floor."""
    p10, p50, p90 = (weighted_quantile(values, weights, p) for p in (0.1, 0.5, 0.9))
    return LogSpread(p50, math.log(p50 / p10), math.log(p90 / p50))


def combine(first: Quantiles, second: Quantiles) -> Quantiles:
    """Quantiles of the product of two independent positive quantities.

    Medians multiply; logarithmic half-widths add as squares (exact for log-normal ones). Multiplying p10 by
    p10 and p90 by p90 would claim that both are unlucky at once, and give intervals that are too wide.
    Monotone: if every quantile of `first` grows, so does every quantile of the result.
    """
    below = math.hypot(math.log(first.p50 / first.p10), math.log(second.p50 / second.p10))
    above = math.hypot(math.log(first.p90 / first.p50), math.log(second.p90 / second.p50))
    return LogSpread(first.p50 * second.p50, below, above).quantiles
