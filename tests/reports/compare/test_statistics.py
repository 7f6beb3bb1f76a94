"""The statistics: the same figures as scipy's, and intervals that cover as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netprobe.changes import changes
from reports.compare.statistics import (
    LEAST,
    Floats,
    Shift,
    autocorrelation,
    benjamini_hochberg,
    between,
    bland_altman,
    centre,
    effective,
    median_interval,
    needed,
    paired,
    summarise,
    unpaired,
)
from reports.compare.trend import steps, trend

NUMBERS = st.lists(st.integers(-20, 20).map(float), min_size=8, max_size=60).map(np.array)


def every(seconds: float, count: int) -> Floats:
    return np.arange(count, dtype=np.float64) * seconds


def series(chance: np.random.Generator, count: int, correlation: float = 0.0, spread: float = 0.05) -> Floats:
    found = np.empty(count)
    value = chance.normal()
    for index in range(count):
        value = correlation * value + math.sqrt(1 - correlation**2) * chance.normal()
        found[index] = value
    return spread * found


@given(NUMBERS, NUMBERS)
def test_unpaired_as_scipy_has_it(first: Floats, second: Floats) -> None:
    found = unpaired(first, second)
    expected = stats.mannwhitneyu(second, first, method="asymptotic")
    if np.ptp(np.concatenate((first, second))) > 0:
        assert found.mann_whitney_p == pytest.approx(expected.pvalue)
    assert found.cliffs_delta == pytest.approx(2 * expected.statistic / (len(first) * len(second)) - 1)
    assert found.ks_distance == pytest.approx(stats.ks_2samp(first, second).statistic)


@given(NUMBERS)
def test_paired_as_scipy_has_it(difference: Floats) -> None:
    found = paired(difference)
    if (difference != 0).any():
        expected = stats.wilcoxon(difference, method="asymptotic", correction=False, zero_method="wilcox")
        assert found.wilcoxon_p == pytest.approx(expected.pvalue)
    averages = [(a + b) / 2 for index, a in enumerate(difference) for b in difference[index:]]
    assert found.hodges_lehmann == pytest.approx(float(np.median(averages)))


@given(NUMBERS)
def test_slope_as_scipy_has_it(values: Floats) -> None:
    times = every(86_400.0, len(values))
    assert trend(times, values).slope_per_day == pytest.approx(
        stats.theilslopes(values, times / 86_400).slope, abs=1e-12
    )


@given(st.lists(st.floats(0, 1), max_size=40))
def test_adjusted_as_scipy_has_it(p: list[float]) -> None:
    assert benjamini_hochberg(np.array(p)) == pytest.approx(stats.false_discovery_control(p) if p else [])


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_bootstrap_covers_what_it_says(correlation: float) -> None:
    chance = np.random.default_rng(1)
    hits = 0
    for _ in range(150):
        low, high = median_interval(series(chance, 80, correlation), chance)
        hits += low <= 0 <= high
    # 95 %, a little less where tests depend on one another: short series tell little of it
    assert hits / 150 > (0.91 if correlation == 0 else 0.82)


def test_dependent_tests_count_for_fewer() -> None:
    chance = np.random.default_rng(2)
    assert effective(series(chance, 400)) > 300
    assert effective(series(chance, 400, 0.7)) == pytest.approx(400 * 0.3 / 1.7, rel=0.35)
    assert autocorrelation(np.ones(20)) == 0


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_equivalence_is_claimed_wrongly_in_a_twentieth_at_most(correlation: float) -> None:
    """The true difference stands on the margin itself: the worst place."""
    chance = np.random.default_rng(3)
    margin = math.log(1.1)
    wrong = sum(centre(series(chance, 40, correlation) + margin).inside(margin) < 0.05 for _ in range(300))
    assert wrong / 300 < (0.07 if correlation == 0 else 0.10)


@pytest.mark.parametrize(("count", "correlation"), [(12, 0.0), (12, 0.6), (60, 0.6), (60, 0.9)])
def test_a_difference_is_claimed_wrongly_in_a_twentieth_at_most(count: int, correlation: float) -> None:
    """On the margin itself, of short and of dependent series."""
    chance = np.random.default_rng(8)
    margin = math.log(1.1)
    p = [centre(series(chance, count, correlation) + margin).beyond(margin) for _ in range(800)]
    assert sum(one < 0.05 for one in p) / len(p) < 0.04
    # and where many paths are adjusted for: those are the tails
    assert sum(one < 0.0025 for one in p) / len(p) < 0.008


def test_hours_of_the_day_that_differ_are_an_error_that_days_do_not_lessen() -> None:
    chance = np.random.default_rng(9)
    times = every(3, 240) * 3600.0
    steady = series(chance, 240)
    at_noon = np.where(times // 3600 % 24 == 12, 0.3, 0.0)
    plain, with_hours = (centre(steady + at_noon, 0.0, when) for when in (None, times))
    assert with_hours.estimate == plain.estimate == pytest.approx(0.3 / 8, abs=0.01)
    # eight hours of the day, one of which is 0.3 away: sd 0.106, by the root of eight
    assert with_hours.error == pytest.approx(0.3 / math.sqrt(8) / math.sqrt(8), rel=0.1)
    assert with_hours.freedom < 9 < plain.freedom


def test_hours_that_are_alike_cost_nothing_in_most_series() -> None:
    chance = np.random.default_rng(10)
    times = every(6, 120) * 3600.0
    same = 0
    for _ in range(200):
        values = series(chance, 120)
        same += centre(values, times=times) == centre(values)
    assert 0.85 < same / 200 < 0.95


def test_equivalence_and_difference() -> None:
    close = Shift(0.01, 0.01, 30)
    assert close.inside(0.1) < 0.001
    assert close.beyond(0.1) == 1
    far = Shift(-0.5, 0.05, 30)
    assert far.beyond(0.1) < 0.001
    assert far.inside(0.1) > 0.99
    unsure = Shift(0.08, 0.05, 30)
    assert unsure.inside(0.1) > 0.05 < unsure.beyond(0.1)
    assert unsure.interval(0.9)[0] < 0.08 < unsure.interval(0.9)[1]
    assert Shift(0.0, 0.0, 30).inside(0.1) == 0
    assert needed(unsure, 30, 0.1) > 30
    assert needed(unsure, 3, 0.1) == LEAST


def test_independent_samples() -> None:
    chance = np.random.default_rng(4)
    found = between(centre(series(chance, 60)), centre(series(chance, 80) + 0.3))
    assert found.estimate == pytest.approx(0.3, abs=0.03)
    assert found.beyond(math.log(1.1)) < 1e-6


def test_bland_altman() -> None:
    chance = np.random.default_rng(5)
    first = series(chance, 200) + 20
    noise = 0.02 / math.sqrt(2)
    found = bland_altman(
        first + series(chance, 200, spread=noise), first + 0.2 + series(chance, 200, spread=noise)
    )
    assert found.bias == pytest.approx(0.2, abs=0.01)
    assert found.limits[1] - found.limits[0] == pytest.approx(2 * 1.96 * 0.02, rel=0.2)
    assert found.lower_interval[0] < found.limits[0] < found.lower_interval[1]
    assert found.slope_p > 0.01
    proportional = bland_altman(first, 1.5 * first)
    assert proportional.slope == pytest.approx(0.4, abs=0.01)
    assert proportional.slope_p < 1e-6
    assert bland_altman(np.ones(9), np.ones(9)).slope == 0


def test_one_value_is_summarised() -> None:
    found = summarise(np.array([5.0]), np.random.default_rng(0))
    assert (found.count, found.median, found.low, found.high) == (1, 5, 5, 5)


def test_a_step_is_found_with_its_date_and_medians() -> None:
    chance = np.random.default_rng(6)
    times = every(21_600.0, 60)
    values = np.exp(series(chance, 60)) * np.where(np.arange(60) < 25, 9e9, 5e9)
    (found,) = steps(times, values, np.log(values), "mesh")
    assert abs(found.start - 25) <= 1
    assert found.before == pytest.approx(9e9, rel=0.05)
    assert found.after == pytest.approx(5e9, rel=0.05)
    assert found.p < 1e-6
    assert found.when.timestamp() == times[found.start]


def test_the_screen_hides_no_step_that_the_search_finds() -> None:
    chance = np.random.default_rng(7)
    missed = planted = 0
    for _ in range(100):
        count, place = int(chance.integers(14, 90)), 0
        place = int(chance.integers(5, count - 5))
        values = series(chance, count, spread=0.06) + np.where(
            np.arange(count) < place, 0.0, chance.uniform(-0.6, 0.6)
        )
        times = every(3600.0, count)
        searched = changes([float(one) for one in values])
        planted += bool(searched)
        missed += bool(searched) and not steps(times, np.exp(values), values)
    assert planted > 40
    assert missed == 0
