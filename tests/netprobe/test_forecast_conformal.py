"""Calibrated intervals: how many of what came were inside, by simulation; and what holds for every
history."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprobe.conformal import LEAST, LEAST_OF_OTHERS, Miss, Pool, calibrate, quantile
from netprobe.walk import walk

HOUR = 3600.0
errors = st.lists(st.floats(-5, 5), min_size=LEAST, max_size=80)


def none() -> list[Miss]:
    return []


def misses(found: list[float], hours: float = 6) -> list[Miss]:
    return [Miss(number * hours * HOUR, error) for number, error in enumerate(found)]


def steady(drawn: random.Random, before: float) -> float:
    return drawn.gauss(0, 0.1)


def heavy(drawn: random.Random, before: float) -> float:
    return 0.1 * drawn.gauss(0, 1) / math.sqrt(sum(drawn.gauss(0, 1) ** 2 for _ in range(3)) / 3)


def skewed(drawn: random.Random, before: float) -> float:
    return -0.1 * drawn.lognormvariate(0, 1)


def correlated(drawn: random.Random, before: float) -> float:
    return 0.6 * before + drawn.gauss(0, 0.1)


@pytest.mark.parametrize("series", [steady, heavy, skewed, correlated])
def test_eighty_percent_means_eighty_percent(series: Callable[[random.Random, float], float]) -> None:
    """Every forecast from the 30th test on, of many paths."""
    drawn = random.Random(1)
    inside = []
    for _ in range(60):
        level, values = 0.0, []
        for _ in range(60):
            level = series(drawn, level)
            values.append(18.0 + level)
        times = tuple(number * 6 * HOUR for number in range(len(values)))
        for known in (30, 36, 42, 48, 54, 59):
            found = walk(times[:known], tuple(values[:known]))
            interval = calibrate(found.misses, none, none)
            assert interval is not None
            error = values[known] - found.at(times[known]).value
            inside.append(-interval.below <= error <= interval.above)
    assert 0.75 <= sum(inside) / len(inside) <= 0.85


@pytest.mark.parametrize("count", [LEAST, 20, 50])
def test_the_interval_is_right_for_few_errors_too(count: int) -> None:
    """Of n + 1 errors of one kind, the last is below the others' quantile as often as it says."""
    drawn = random.Random(count)
    below = 0
    for _ in range(4000):
        found = [drawn.expovariate(1) for _ in range(count + 1)]
        limit = quantile(found[:-1], [1.0] * count, 0.9)
        assert limit is not None
        below += found[-1] <= limit
    assert below / 4000 == pytest.approx(0.9, abs=0.02)


def test_too_few_errors_have_no_tail() -> None:
    assert quantile([0.1] * 8, [1.0] * 8, 0.9) is None
    assert quantile([0.1] * 9, [1.0] * 9, 0.9) == pytest.approx(0.1)
    assert quantile([], [], 0.9) is None


@given(errors, st.floats(0.01, 100))
def test_intervals_are_finite_and_their_sides_are_apart(found: list[float], hours: float) -> None:
    interval = calibrate(misses(found, hours), none, none)
    if interval is not None:
        assert 0 <= interval.below <= 5
        assert 0 <= interval.above <= 5
        spread = interval.around(1e8).quantiles
        assert 0 < spread.p10 <= spread.p50 <= spread.p90 < math.inf


@given(errors, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_quantiles_are_monotone(found: list[float], first: float, second: float) -> None:
    low, high = (quantile(found, [1.0] * len(found), p) for p in sorted((first, second)))
    if low is not None and high is not None:
        assert low <= high


def test_newer_errors_count_more() -> None:
    calmed = calibrate(misses([1.0, -1.0] * 40 + [0.1, -0.1] * 60), none, none)
    roused = calibrate(misses([0.1, -0.1] * 60 + [1.0, -1.0] * 40), none, none)
    assert calmed is not None
    assert roused is not None
    assert calmed.above < 0.2 < 0.9 < roused.above


def test_a_path_with_few_errors_borrows_from_its_sites_and_then_from_all() -> None:
    few, many = misses([0.1] * (LEAST - 1)), misses([0.3, -0.3] * LEAST_OF_OTHERS)
    own = calibrate(misses([0.1, -0.1] * LEAST), lambda: many, lambda: many)
    near = calibrate(few, lambda: many, none)
    far = calibrate(few, none, lambda: many)
    assert own is not None
    assert near is not None
    assert far is not None
    assert (own.pool, near.pool, far.pool) == (Pool.PATH, Pool.SITES, Pool.ALL)
    assert own.above < near.above
    assert calibrate(few, none, none) is None
