"""Weights, quantiles under weights, and the model of one transfer, as properties."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netprobe.quantiles import Quantiles
from netprobe.transfer_model import (
    DOUBLING_ROUND_TRIPS,
    arrived_bytes,
    file_seconds,
    initial_window_bytes,
    ramp_seconds,
    sustained_bits_per_second,
)
from netprobe.weights import (
    HALF_LIFE_SECONDS,
    age_weight,
    combine,
    effective_count,
    log_spread,
    weighted_quantile,
)

rates = st.floats(1e3, 1e12)
round_trips = st.floats(1e-5, 2.0)
sizes = st.floats(0, 1e13)
segments = st.floats(500, 64_000)
ages = st.floats(0, 1e8)
weighted = st.lists(st.tuples(st.floats(1, 1e9), st.floats(1e-6, 1.0)), min_size=1, max_size=30)


@given(ages, ages)
def test_newer_counts_at_least_as_much(first: float, second: float) -> None:
    young, old = sorted((first, second))
    assert age_weight(young) >= age_weight(old) > 0


def test_half_life() -> None:
    assert age_weight(0) == age_weight(-60) == 1
    assert age_weight(HALF_LIFE_SECONDS) == pytest.approx(0.5)


@given(weighted)
@example([(214431649.97737977, 1.0), (534283342.61890715, 1.0), (534283342.61890715, 1.0)])
def test_quantiles_are_ordered_and_within_the_values(pairs: list[tuple[float, float]]) -> None:
    values, weights = zip(*pairs, strict=True)
    found = [weighted_quantile(values, weights, p) for p in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert found == sorted(found)
    assert min(values) <= found[0]
    assert found[-1] <= max(values)


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=30))
def test_with_equal_weights_the_median_is_the_median(values: list[float]) -> None:
    found = weighted_quantile(values, [1.0] * len(values), 0.5)
    assert found == pytest.approx(statistics.median(values))


@given(weighted, st.floats(1, 1e9))
def test_more_weight_pulls_the_median_towards_its_value(
    pairs: list[tuple[float, float]], value: float
) -> None:
    values, weights = zip(*pairs, strict=True)
    light = weighted_quantile([*values, value], [*weights, 0.01], 0.5)
    heavy = weighted_quantile([*values, value], [*weights, 10.0], 0.5)
    assert abs(heavy - value) <= abs(light - value) * (1 + 1e-9) + 1e-6


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        weighted_quantile([], [], 0.5)


@given(st.lists(st.floats(1e-300, 1.0), min_size=1, max_size=20))
def test_the_effective_count_is_between_one_and_all(weights: list[float]) -> None:
    assert 1 - 1e-9 <= effective_count(weights) <= len(weights) + 1e-9


def test_the_effective_count_of_equal_weights_is_their_number() -> None:
    assert effective_count([0.25] * 8) == pytest.approx(8)
    assert effective_count([]) == 0


@given(weighted)
def test_a_spread_becomes_ordered_quantiles(pairs: list[tuple[float, float]]) -> None:
    values, weights = zip(*pairs, strict=True)
    found = log_spread(values, weights).at_least(0.1).widened(0.2).quantiles
    assert 0 < found.p10 < found.p50 < found.p90


positive = st.tuples(*[st.floats(0.1, 1e6)] * 3).map(lambda three: Quantiles(*sorted(three)))


@given(positive, positive, positive)
def test_combining_is_monotone_and_narrower_than_multiplying(
    first: Quantiles, growth: Quantiles, factor: Quantiles
) -> None:
    grown = Quantiles(first.p10 + growth.p10, first.p50 + growth.p50, first.p90 + growth.p90)
    low, high = combine(first, factor), combine(grown, factor)
    for name in ("p10", "p50", "p90"):
        assert getattr(high, name) >= getattr(low, name) * (1 - 1e-9)
    assert low.p10 >= first.p10 * factor.p10 * (1 - 1e-9)
    assert low.p90 <= first.p90 * factor.p90 * (1 + 1e-9)


@given(sizes, sizes, rates, round_trips, segments)
def test_more_bytes_are_never_faster(a: float, b: float, rate: float, rtt: float, segment: float) -> None:
    small, large = sorted((a, b))
    assert file_seconds(small, rate, rtt, segment) <= file_seconds(large, rate, rtt, segment) * (1 + 1e-9)


@given(sizes, rates, rates, round_trips, segments)
def test_a_better_rate_is_never_slower(size: float, a: float, b: float, rtt: float, segment: float) -> None:
    slow, fast = sorted((a, b))
    assert file_seconds(size, fast, rtt, segment) <= file_seconds(size, slow, rtt, segment) * (1 + 1e-9)


@given(sizes, rates, round_trips, round_trips, segments)
def test_a_longer_round_trip_is_never_faster(
    size: float, rate: float, a: float, b: float, segment: float
) -> None:
    near, far = sorted((a, b))
    assert file_seconds(size, rate, near, segment) <= file_seconds(size, rate, far, segment) * (1 + 1e-9)


@given(sizes, rates, round_trips, segments)
def test_slow_start_costs_something_but_no_more_than_its_rounds(
    size: float, rate: float, rtt: float, segment: float
) -> None:
    found = ramp_seconds(size, rate, rtt, segment)
    plain = size * 8 / rate
    rounds = max(math.ceil(math.log2(max(rate / 8 * rtt / initial_window_bytes(segment), 1))), 0)
    assert plain * (1 - 1e-9) <= found <= plain + (rounds + 1) * DOUBLING_ROUND_TRIPS * rtt + 1e-6 * found


def test_slow_start_by_hand() -> None:
    # 10 segments of 1000 bytes; 80 kB a round trip: windows 10, 20, 40 kB, then the rate
    slower = DOUBLING_ROUND_TRIPS
    rate, rtt = 80_000 * 8 / 0.1, 0.1
    for size, rounds in ((10_000, 1), (30_000, 2), (70_000, 3), (150_000, 4), (950_000, 14)):
        assert ramp_seconds(size * slower, rate, rtt, 1000) == pytest.approx(rounds * rtt * slower)


@given(sizes, rates, round_trips, segments)
def test_what_has_arrived_is_the_inverse_of_how_long_it_takes(
    size: float, rate: float, rtt: float, segment: float
) -> None:
    seconds = ramp_seconds(size, rate, rtt, segment)
    assert arrived_bytes(seconds, rate, rtt, segment) == pytest.approx(size, rel=1e-6, abs=1e-3)


@given(st.floats(1e6, 1e9), st.floats(0.001, 0.3), st.floats(0, 2), st.floats(3, 30))
def test_the_sustained_rate_undoes_slow_start(rate: float, rtt: float, omit: float, seconds: float) -> None:
    before, end = (arrived_bytes(time, rate, rtt, 8948) for time in (omit, omit + seconds))
    average = (end - before) * 8 / seconds
    found = sustained_bits_per_second(average, omit, seconds, rtt, 8948)
    if average > rate * 0.51:
        assert found == pytest.approx(rate, rel=0.01)
    else:
        assert average <= found <= rate * (1 + 1e-9)
