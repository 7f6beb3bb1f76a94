"""How one series went: a slope, and the times at which its level changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from netprobe.changes import LEAST_STEP, SHORTEST, changes
from reports.compare.statistics import (
    TRIM,
    Floats,
    between,
    centre,
    couples,
    effective,
    median,
    ranks,
    thinned,
)

# Ranks of 5 tests that are wholly apart from 15 others stand 3.3 standard deviations away, from 35, 3.6.
_SCREEN = 3.0
_WINDOW, _STEP = 40, 10


@dataclass(frozen=True)
class Trend:
    """Theil and Sen's slope of logarithms a day, and Mann and Kendall's p, its variance widened for tests
    that depend on the one before (Yue and Wang 2004, on what is left without the slope)."""

    slope_per_day: float
    p: float


@dataclass(frozen=True)
class Step:
    """A level that changed with the test at index `start`; medians of both sides in the series' own unit.

    `p` is the larger of Mann and Whitney's on the two levels, for as many as they are worth in independent
    tests, and Welch's on their trimmed means; times the places where it could have been cut.
    """

    start: int
    when: datetime
    before: float
    after: float
    p: float
    # whose: filled in by who knows
    side: str = ""


def trend(times: Floats, values: Floats) -> Trend:
    """Of three values or more; times in seconds, values as logarithms. Of long series, 500 evenly spaced."""
    times, values = thinned(times), thinned(values)
    first, second = couples(len(values))
    apart = (times[second] - times[first]) / 86_400
    later = apart > 0
    rises = values[second] - values[first]
    if not later.any():
        return Trend(0.0, 1.0)
    slope = median(rises / apart if later.all() else rises[later] / apart[later])
    score = float(np.count_nonzero(rises > 0) - np.count_nonzero(rises < 0))
    count = len(values)
    variance = count * (count - 1) * (2 * count + 5) / 18
    if (rises == 0).any():
        _, counts = np.unique(values, return_counts=True)
        variance -= float((counts * (counts - 1.0) * (2 * counts + 5)).sum()) / 18
    variance *= count / effective(values - slope * times / 86_400)
    if variance <= 0:
        return Trend(slope, 1.0)
    return Trend(slope, 2 * float(ndtr(-max(abs(score) - 1, 0) / math.sqrt(variance))))


def steps(times: Floats, values: Floats, logarithms: Floats, side: str = "") -> tuple[Step, ...]:
    """The level's changes, oldest first: those of `netprobe.changes`, each with its medians and its p.

    The search takes milliseconds a series, so it is made only where ranks say that there may be one.
    """
    if len(values) < 2 * SHORTEST or not _may_have_changed(logarithms):
        return ()
    starts = [one.start for one in changes([float(one) for one in logarithms])]
    return tuple(
        _step(times, values, logarithms, (before, start, after), side)
        for before, start, after in zip([0, *starts], starts, [*starts[1:], len(values)], strict=False)
    )


def _step(times: Floats, values: Floats, logarithms: Floats, places: tuple[int, int, int], side: str) -> Step:
    begin, start, end = places
    ahead, behind = logarithms[begin:start], logarithms[start:end]
    together = np.concatenate((ahead, behind))
    found, ties = ranks(together)
    first, second, count = len(ahead), len(behind), len(together)
    levels = np.concatenate((ahead - median(ahead), behind - median(behind)))
    variance = first * second / 12 * (count + 1 - ties / (count * (count - 1)))
    away = abs(float(found[first:].sum()) - second * (count + 1) / 2)
    score = away / math.sqrt(variance) * math.sqrt(effective(levels) / count) if variance > 0 else 0.0
    # and their centres are apart: where tests depend on those before, levels wander
    apart = between(centre(ahead, TRIM, times[begin:start]), centre(behind, TRIM, times[start:end]))
    places_cut = max(len(values) - 2 * SHORTEST + 1, 1)
    return Step(
        start,
        datetime.fromtimestamp(float(times[start]), UTC),
        median(values[begin:start]),
        median(values[start:end]),
        min(1.0, max(2 * float(ndtr(-score)), apart.beyond(0.0)) * places_cut),
        side,
    )


def _may_have_changed(values: Floats) -> bool:
    """Whether in some window of 40 tests (10, 20, ... at the start) ranks before and after a place differ.
    Ties get the ranks in which they came: this only says where to search."""
    if float(values.max() - values.min()) < LEAST_STEP:
        return False
    places, before, expected, bound = _screens(len(values))
    windows = np.append(values, np.inf)[places]
    found = windows.argsort(axis=1, kind="stable").argsort(axis=1)
    sums = found.cumsum(axis=1)[:, before - 1]
    return bool((np.abs(sums - expected) >= bound).any())


@lru_cache(64)
def _screens(count: int) -> tuple[NDArray[np.intp], NDArray[np.int64], Floats, Floats]:
    """The windows of so many values, and the places where each could be cut; of the sums of ranks (from 0)
    before them, what is expected, and how far away they must be.

    Windows of fewer values than the widest end in value number `count`, which stands for infinity: its ranks
    come after all others.
    """
    ends = np.array([*range(2 * SHORTEST, count, _STEP), count])[:, None]
    lengths = np.minimum(ends, _WINDOW)
    widest = min(count, _WINDOW)
    offsets = np.arange(widest)
    places = np.where(offsets < lengths, ends - lengths + offsets, count)
    before = np.arange(SHORTEST, widest - SHORTEST + 1)
    after = lengths - before
    bound = _SCREEN * np.sqrt(np.maximum(before * after * (lengths + 1) / 12, 0))
    bound[after < SHORTEST] = np.inf
    return places, before, before * (lengths - 1) / 2, bound


def near(first: Sequence[Step], second: Sequence[Step], within_seconds: float) -> list[tuple[Step, Step]]:
    """Steps of two series that came at the same time and went the same way."""
    return [
        (one, two)
        for one in first
        for two in second
        if abs((one.when - two.when).total_seconds()) <= within_seconds
        and (one.after > one.before) == (two.after > two.before)
    ]
