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

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
    if len(values) < 2 * SHORTEST:
        return ()
    series = np.asarray(values, dtype=np.float64)
    costs = _costs(series)
    found: list[Change] = []
    level = before = 0  # where this level and the one before begin
    promising = _promising(costs, level)
    for end in range(2 * SHORTEST, len(values) + 1):
        if found and end <= found[-1].known + SHORTEST:
            again = _best_split(series, costs, before, end)
            if again is not None:
                level = again
                found[-1] = Change(level, found[-1].known)
                promising = _promising(costs, level)
        if end not in promising:
            continue
        first = max(level, end - WINDOW)
        split = _best_split(series, costs, first, end)
        if split is not None:
            before, level = first, split
            found.append(Change(level, end))
            promising = _promising(costs, level)
    return tuple(found)


def _promising(costs: Floats, level: int) -> set[int]:
    """With how many tests two levels fit well enough instead of the one that begins at `level`: all at once,
    and whatever the size of the step."""
    ends = np.arange(level + 2 * SHORTEST, costs.shape[1] + 1)
    firsts = np.maximum(level, ends - WINDOW)
    counts = ends - firsts
    lengths = np.minimum(np.arange(SHORTEST, WINDOW - SHORTEST + 1)[:, None], counts - SHORTEST)
    two = (costs[lengths, firsts] + costs[counts - lengths, firsts + lengths]).min(axis=0)
    return set(ends[_better(costs[counts, firsts], two, counts) >= THRESHOLD].tolist())


def _better(one: Floats, two: Floats, count: NDArray[np.int64] | int) -> Floats:
    """The logarithm of the likelihood ratio, by the costs of one level and of two."""
    floor = np.multiply(count, LEAST_SPREAD)
    found: Floats = np.multiply(count, np.log(np.maximum(one, floor) / np.maximum(two, floor)))
    return found


def _best_split(values: Floats, costs: Floats, first: int, end: int) -> int | None:
    """Where the values from `first` to before `end` are best cut in two levels; None where one level will
    do."""
    count = end - first
    if count < 2 * SHORTEST:
        return None
    lengths = np.arange(SHORTEST, count - SHORTEST + 1)
    both = costs[lengths, first] + costs[count - lengths, first + lengths]
    best = int(both.argmin())
    if _better(costs[count, first], both[best], count) < THRESHOLD:
        return None
    split = first + SHORTEST + best
    step = abs(float(np.median(values[first:split]) - np.median(values[split:end])))
    return split if step >= LEAST_STEP else None


def _costs(values: Floats) -> Floats:
    """The sum of absolute deviations from the median of so many values (a row) from a place on (a column)."""
    count = len(values)
    # a window, and the few tests with which a change is placed again
    longest = min(count, WINDOW + SHORTEST)
    found = np.zeros((longest + 1, count))
    windows = sliding_window_view(np.concatenate((values, np.zeros(longest - 1))), longest)
    for length in range(2, longest + 1):
        whole = count - length + 1
        # the upper half less the lower half
        signs = np.sign(np.arange(1 - length, length, 2.0))
        found[length, :whole] = np.sort(windows[:whole, :length], axis=1) @ signs
    return np.maximum(found, 0.0, out=found)
