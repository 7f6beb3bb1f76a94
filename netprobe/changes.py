"""Change points: where a path's rate moved to another level, so that what came before says nothing any more.

Own code and not a library (`ruptures` finds change points in a finished series, and needs scipy): here each
test is looked at as it comes, with nothing but what was known by then.

A change is where two medians, one before and one after, fit so much better than one: the logarithm of the
likelihood ratio under Laplace's distribution, whose cost is the sum of absolute deviations. One wild test
moves no median, so no outlier is a change. The threshold is chosen by simulation: on a steady path (normal,
Laplace or Student's t with 3 degrees of freedom) one test in 1000 at most raises a false alarm (a test holds
that). Where tests depend on the one before (AR(1), 0.5) it is about one in 100: there a level does wander.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heappushpop
from statistics import median

# Tests on each side of a change; fewer are no level.
SHORTEST = 5
# Tests of the present level that are looked at for a change.
WINDOW = 40
# How much better two levels must fit than one, in natural logarithm of the likelihood ratio.
THRESHOLD = 13.0
# A level that moved by less than a tenth is not worth forgetting anything for.
LEAST_STEP = math.log(1.1)
# Spread (natural logarithm) below which tests count as equal: else a series without noise has infinite
# ratios.
LEAST_SPREAD = 0.005


@dataclass(frozen=True)
class Change:
    """A new level starts with the test at index `start`; that was known once `known` tests were there."""

    start: int
    known: int


def changes(values: Sequence[float]) -> tuple[Change, ...]:
    """The change points, in order; `values` are logarithms of rates, oldest first.

    Found by going through the tests as they came. One that was just found is placed again with each of the
    next few tests.
    """
    found: list[Change] = []
    level = before = 0  # where this level and the one before begin
    for end in range(2 * SHORTEST, len(values) + 1):
        if found and end <= found[-1].known + SHORTEST:
            again = _best_split(values[before:end])
            if again is not None:
                level = before + again
                found[-1] = Change(level, found[-1].known)
        first = max(level, end - WINDOW)
        split = _best_split(values[first:end])
        if split is not None:
            before, level = first, first + split
            found.append(Change(level, end))
    return tuple(found)


def _best_split(values: Sequence[float]) -> int | None:
    """Where the values are best cut in two levels; None where one level will do."""
    count = len(values)
    if count < 2 * SHORTEST:
        return None
    before, after = _costs(values), _costs(values[::-1])
    splits = range(SHORTEST, count - SHORTEST + 1)
    best = min(splits, key=lambda split: before[split - 1] + after[count - split - 1])
    two = before[best - 1] + after[count - best - 1]
    floor = count * LEAST_SPREAD
    if count * math.log(max(before[-1], floor) / max(two, floor)) < THRESHOLD:
        return None
    step = abs(median(values[:best]) - median(values[best:]))
    return best if step >= LEAST_STEP else None


def _costs(values: Sequence[float]) -> list[float]:
    """Sum of absolute deviations from the median of the first 1, 2, ... values."""
    low: list[float] = []  # negated: the largest of the smaller half is on top
    high: list[float] = []
    low_sum = high_sum = 0.0
    costs = []
    for value in values:
        moved = -heappushpop(low, -value)
        low_sum += value - moved
        heappush(high, moved)
        high_sum += moved
        if len(high) > len(low):
            back = heappop(high)
            high_sum -= back
            heappush(low, -back)
            low_sum += back
        middle = -low[0] if len(low) > len(high) else (high[0] - low[0]) / 2
        costs.append(max((high_sum - len(high) * middle) + (len(low) * middle - low_sum), 0.0))
    return costs
