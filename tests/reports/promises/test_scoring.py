"""Shares, errors and their intervals, against their definitions and scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from reports.promises import scoring

BOOLEANS = st.lists(st.booleans(), min_size=1, max_size=200)


@given(BOOLEANS)
def test_an_interval_is_clopper_and_pearson_s(hits: list[bool]) -> None:
    found = scoring.share(hits)
    exact = binomtest(sum(hits), len(hits)).proportion_ci(0.95, method="exact")
    assert (found.hits, found.count) == (sum(hits), len(hits))
    assert found.low == pytest.approx(exact.low, abs=1e-9)
    assert found.high == pytest.approx(exact.high, abs=1e-9)


@given(BOOLEANS, st.floats(0.1, 1.0))
def test_fewer_that_count_are_less_sure(hits: list[bool], part: float) -> None:
    whole, less = scoring.share(hits), scoring.share(hits, part * len(hits))
    assert less.value == whole.value
    assert less.low <= whole.low + 1e-9
    assert less.high >= whole.high - 1e-9


@given(BOOLEANS)
def test_so_few_is_as_likely_as_the_binomial_says(hits: list[bool]) -> None:
    found = scoring.chance_of_so_few(hits, len(hits))
    assert found == pytest.approx(binom.cdf(sum(hits), len(hits), scoring.PROMISED), abs=1e-9)


@given(st.lists(BOOLEANS, min_size=1, max_size=5))
def test_none_counts_for_more_than_itself(series: list[list[bool]]) -> None:
    count = sum(map(len, series))
    assert 0 < scoring.worth(series) <= count + 1e-9


def test_what_comes_in_runs_counts_for_less_than_what_comes_at_random() -> None:
    runs = ([True] * 20 + [False] * 5) * 8
    mixed = ([True] * 4 + [False]) * 40
    assert scoring.worth([mixed]) == pytest.approx(200, rel=0.02)
    assert scoring.worth([runs]) < 60
    # the same ones on paths of their own say more than on one
    assert scoring.worth([[one] for one in runs]) == 200


def test_none_at_all_says_nothing() -> None:
    none = scoring.share([])
    assert (none.low, none.high, none.words) == (0.0, 1.0, "–")
    assert math.isnan(none.value)
    assert math.isnan(scoring.errors([]).typical)


def test_errors_are_medians_of_logarithms() -> None:
    found = scoring.errors([math.log(ratio) for ratio in (0.5, 0.8, 1.0, 1.25, 4.0)])
    assert found.bias == 0.0
    assert found.typical == pytest.approx(math.log(1.25))
    # of five, the 90 % quantile lies 0.6 of the way from the fourth to the fifth
    assert found.worst_tenth == pytest.approx(0.4 * math.log(2) + 0.6 * math.log(4))
    assert scoring.off(math.log(0.5)) == pytest.approx(scoring.off(math.log(2))) == pytest.approx(1.0)


@pytest.mark.parametrize(("later", "word"), [(0.2, "better"), (5.0, "worse")])
def test_errors_that_shrink_or_grow_are_seen(later: float, word: str) -> None:
    chance = np.random.default_rng(3)
    logs = [*chance.normal(0, 0.1, 60), *chance.normal(0, 0.1 * later, 60)]
    found = scoring.growth(logs)
    assert found is not None
    ratio, low, high = found
    assert low < ratio < high
    assert (high < 1) == (word == "better")
    assert (low > 1) == (word == "worse")


def test_of_few_nothing_is_said_of_their_growth() -> None:
    assert scoring.growth([0.1] * (scoring.LEAST - 1)) is None
    assert scoring.growth([0.0] * 60) is None
