"""Change points: what is one, what isn't, and how often a steady path raises a false alarm."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprobe.changes import SHORTEST, changes


def change_starts(values: list[float]) -> tuple[int, ...]:
    return tuple(change.start for change in changes(values))


def normal(drawn: random.Random) -> float:
    return drawn.gauss(0, 1)


def laplace(drawn: random.Random) -> float:
    return drawn.expovariate(1) * drawn.choice((-1, 1))


def student(drawn: random.Random) -> float:
    return drawn.gauss(0, 1) / math.sqrt(sum(drawn.gauss(0, 1) ** 2 for _ in range(3)) / 3)


@pytest.mark.parametrize("noise", [normal, laplace, student])
def test_a_steady_path_raises_one_false_alarm_in_a_thousand_tests_at_most(
    noise: Callable[[random.Random], float],
) -> None:
    drawn = random.Random(11)
    alarms = sum(len(change_starts([18 + 0.2 * noise(drawn) for _ in range(100)])) for _ in range(40))
    assert alarms / 4000 <= 0.001


def test_a_path_whose_tests_depend_on_the_one_before_raises_about_one_in_a_hundred() -> None:
    drawn = random.Random(5)
    alarms = 0
    for _ in range(30):
        level, values = 0.0, []
        for _ in range(100):
            level = 0.5 * level + drawn.gauss(0, 0.2)
            values.append(18 + level)
        alarms += len(change_starts(values))
    assert alarms / 3000 <= 0.015


@pytest.mark.parametrize(("noise", "factor"), [(0.02, 0.8), (0.08, 0.5), (0.15, 0.4), (0.08, 2.0)])
@pytest.mark.parametrize("after", [6, 12])
def test_a_level_that_moved_is_found_within_six_tests(noise: float, factor: float, after: int) -> None:
    drawn = random.Random(2)
    found = 0
    for _ in range(20):
        levels = [0.0] * 30 + [math.log(factor)] * after
        starts = change_starts([18 + level + drawn.gauss(0, noise) for level in levels])
        found += len(starts) == 1 and abs(starts[0] - 30) <= 1
    assert found >= 18


def test_two_changes_are_both_found() -> None:
    drawn = random.Random(4)
    levels = [0.0] * 25 + [-0.7] * 25 + [0.0] * 25
    assert change_starts([level + drawn.gauss(0, 0.05) for level in levels]) == (25, 50)


@given(st.integers(0, 29), st.floats(-5, 5))
def test_one_wild_test_is_no_change(place: int, wild: float) -> None:
    drawn = random.Random(1)
    values = [18 + drawn.gauss(0, 0.05) for _ in range(30)]
    values[place] += wild
    assert change_starts(values) == ()


@given(st.lists(st.floats(-1e3, 1e3), max_size=9))
def test_a_short_history_has_none(values: list[float]) -> None:
    assert change_starts(values) == ()


def test_a_small_step_is_not_worth_it_however_clear() -> None:
    assert change_starts([18.0] * 20 + [18.05] * 20) == ()
    assert change_starts([18.0] * 20 + [18.2] * 20) == (20,)


@given(st.lists(st.floats(10, 25), min_size=10, max_size=40))
def test_levels_have_their_least_length(values: list[float]) -> None:
    bounds = [0, *change_starts(values)]
    assert all(later - before >= SHORTEST for before, later in pairwise(bounds))
