"""The forecasters of the bank by hand and as properties, and which one a path gets."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprobe.bank import BANK, Member
from netprobe.walk import LEAST_SCORED, walk

HOUR = 3600.0
logs = st.lists(st.floats(5, 30), min_size=1, max_size=25)


def named(name: str) -> Member:
    return next(member for member in BANK if member.name == name)


def every(hours: float, count: int) -> tuple[float, ...]:
    return tuple(number * hours * HOUR for number in range(count))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("last test", 9.0),
        ("mean", 18.0 / 5),
        ("median of 3", 4.0),
        ("median of 5", 2.0),
        ("median of 11", 2.0),
        # without the largest and the smallest
        ("trimmed mean of 11", 8.0 / 3),
        ("exponential smoothing (1/2)", 5.9375),
        # of tests that are all new
        ("age-weighted median", 2.0),
    ],
)
def test_by_hand(name: str, expected: float) -> None:
    values = [1.0, 2.0, 2.0, 4.0, 9.0]
    assert named(name).predict([0.0, 1.0, 2.0, 3.0, 4.0], values, 5.0) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("member", BANK, ids=lambda member: member.name)
@given(values=logs, hours=st.floats(0.01, 200), later=st.floats(0, 1e7))
def test_what_is_said_lies_within_what_was_measured(
    member: Member, values: list[float], hours: float, later: float
) -> None:
    times = every(hours, len(values))
    found = member.predict(times, values, times[-1] + later)
    assert min(values) - 1e-9 <= found <= max(values) + 1e-9


def test_time_of_day_looks_at_the_same_hour_of_other_days() -> None:
    times = every(2, 60)
    values = [10.0 if time % 86_400 < 12 * HOUR else 20.0 for time in times]
    for now, expected in ((times[-1] + 2 * HOUR, 10.0), (times[-1] + 16 * HOUR, 20.0)):
        assert named("time of day").predict(times, values, now) == expected


def test_too_few_tests_choose_nothing() -> None:
    found = walk(every(1, LEAST_SCORED), tuple(float(number) for number in range(LEAST_SCORED)))
    assert found.at(100 * HOUR).member == 0


def test_of_equally_good_ones_the_simplest_is_chosen() -> None:
    found = walk(every(1, 30), (18.0,) * 30)
    assert found.at(100 * HOUR).member == 0
    assert set(found.errors) == {0.0}


@pytest.mark.parametrize("kind", ["noise", "steps", "days"])
def test_each_kind_of_path_gets_one_that_suits_it(kind: str) -> None:
    drawn = random.Random(7)
    times, level, values = every(2, 100), 18.0, []
    for time in times:
        if kind == "steps":
            level += drawn.gauss(0, 0.3)
            values.append(level)
        elif kind == "days":
            values.append((17.0 if time % 86_400 < 12 * HOUR else 18.0) + drawn.gauss(0, 0.02))
        else:
            values.append(18.0 + drawn.gauss(0, 0.1))
    found = walk(times, tuple(values))
    chosen = BANK[found.at(times[-1] + 2 * HOUR).member].name
    if kind == "steps":
        assert chosen == "last test"
    elif kind == "days":
        assert chosen == "time of day"
    else:
        assert chosen not in ("last test", "median of 3", "exponential smoothing (1/2)")
    assert found.errors[found.chosen[-1]] <= min(found.errors) * 1.02


def test_a_path_that_halved_is_not_averaged_with_last_week() -> None:
    drawn = random.Random(3)
    values = tuple(math.log(100e6 if number < 30 else 50e6) + drawn.gauss(0, 0.05) for number in range(36))
    found = walk(every(6, 36), values)
    said = found.at(36 * 6 * HOUR)
    assert said.first == 30
    assert math.exp(said.value) == pytest.approx(50e6, rel=0.1)


def test_what_came_later_is_not_known_before() -> None:
    values = tuple(18.0 if number < 20 else 17.0 for number in range(30))
    found = walk(every(1, 30), values)
    assert found.at(19.5 * HOUR).value == pytest.approx(18.0)
    assert found.at(29.5 * HOUR).value == pytest.approx(17.0)
    # the change surprised once
    assert sum(abs(miss.error) > 0.5 for miss in found.misses) == 1
