"""When the last of several things is done that are done beside each other, by the quantiles of each."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from statistics import NormalDist

from netprobe.quantiles import Quantiles

_NORMAL = NormalDist()
# the 90 % quantile lies so many standard deviations above the median
NINETY = _NORMAL.inv_cdf(0.9)
# Correlation of the errors of groups that are moved to one site at once: 0.27 to 0.44 of 70 pairs in the lab.
ALIKE = 0.35
# Gauss and Hermite's nodes and weights for what they share, which is standard normal (Abramowitz and Stegun
# 25.4.46, table 25.10).
NODES = (
    (-2.8569700138728, 0.0112574113277),
    (-1.3556261799742, 0.2220759220056),
    (0.0, 0.5333333333334),
    (1.3556261799742, 0.2220759220056),
    (2.8569700138728, 0.0112574113277),
)
# Halvings of the bracket that holds a quantile: from a factor of e^10 to a part in a million.
HALVINGS = 26
# where next to nothing is known, the upper end of the bracket may be no number any more
LARGEST = math.log(sys.float_info.max)


def latest(found: Sequence[Quantiles]) -> Quantiles:
    """The quantiles of the largest of times whose errors are alike by ALIKE: given what they share, they are
    independent (the one-factor Gaussian copula), which is summed up over NODES."""
    own, common = math.sqrt(1 - ALIKE), math.sqrt(ALIKE)

    def below(seconds: float) -> float:
        far = [_deviations(one, seconds) for one in found]
        return sum(
            weight * math.prod([_NORMAL.cdf((each - common * node) / own) for each in far])
            for node, weight in NODES
        )

    def quantile(probability: float) -> float:
        # a bracket that holds it: all of them are surely below the upper end
        low = math.log(min(one.p10 for one in found)) - 1
        high = max(math.log(one.p50) + 4 * math.log(one.p90 / one.p50) for one in found) + 1e-9
        high = min(high, LARGEST)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if below(math.exp(middle)) < probability else (low, middle)
        return math.exp(high)

    return Quantiles(quantile(0.1), quantile(0.5), quantile(0.9))


def _deviations(one: Quantiles, seconds: float) -> float:
    """By how many standard deviations `seconds` is more than its median (log-normal to either side)."""
    far = math.log(seconds / one.p50)
    width = math.log(one.p90 / one.p50) if far > 0 else math.log(one.p50 / one.p10)
    if width == 0:
        return math.inf if far >= 0 else -math.inf
    return far / width * NINETY
