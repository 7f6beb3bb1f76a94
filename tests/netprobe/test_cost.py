"""Seconds to move files, and which replica is chosen."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from netprobe.cost import Item, plan_staging, seconds_for
from netprobe.forecast import Forecast, Rung
from netprobe.quantiles import Quantiles

sizes = st.integers(0, 10**13)
rates = st.floats(1e4, 1e11)
spreads = st.floats(1.0, 20.0)

USUAL = Quantiles(0.95, 1.02, 1.2)


def made(
    rate: float,
    spread: float = 1.2,
    rtt: float = 0.05,
    correction: Quantiles = USUAL,
    source: str = "a",
) -> Forecast:
    quantiles = Quantiles(rate / spread, rate, rate * spread)
    return Forecast(
        source, "z", quantiles, rtt, 8948.0, Rung.MEASURED, 3, 60.0, ("iperf3",), 0, correction, "made"
    )


def network(**paths: Forecast) -> object:
    return lambda source, destination: paths[source]


@given(sizes, sizes, rates, spreads)
def test_more_bytes_are_never_faster(first: int, second: int, rate: float, spread: float) -> None:
    small, large = sorted((first, second))
    less, more = (seconds_for(made(rate, spread), size) for size in (small, large))
    for name in ("p10", "p50", "p90"):
        assert getattr(less, name) <= getattr(more, name) * (1 + 1e-9)


@given(sizes, rates, rates, spreads)
def test_a_better_rate_is_never_slower(size: int, first: float, second: float, spread: float) -> None:
    slow, fast = sorted((first, second))
    worse, better = (seconds_for(made(rate, spread), size) for rate in (slow, fast))
    for name in ("p10", "p50", "p90"):
        assert getattr(better, name) <= getattr(worse, name) * (1 + 1e-9)


@given(sizes, rates, spreads, st.integers(1, 500))
def test_more_files_of_the_same_bytes_are_never_faster(
    size: int, rate: float, spread: float, files: int
) -> None:
    assert seconds_for(made(rate, spread), size, files).p50 >= seconds_for(made(rate, spread), size).p50 * (
        1 - 1e-9
    )


@given(sizes, rates, spreads)
def test_seconds_are_ordered_finite_and_never_zero(size: int, rate: float, spread: float) -> None:
    found = seconds_for(made(rate, spread), size)
    assert 0 < found.p10 <= found.p50 <= found.p90 < math.inf


def test_a_large_file_takes_about_size_over_rate() -> None:
    exact = Quantiles(1.0, 1.0, 1.0)
    found = seconds_for(made(100e6, correction=exact), 1_000_000_000)
    assert 80 < found.p50 < 82


def test_small_files_cost_round_trips_not_bytes() -> None:
    exact = Quantiles(1.0, 1.0, 1.0)
    found = seconds_for(made(1e9, rtt=0.2, correction=exact), 100_000, files=100)
    assert found.p50 > 100 * 2 * 0.2


def test_no_files_and_negative_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one file"):
        seconds_for(made(1e8), 10, files=0)
    with pytest.raises(ValueError, match="negative"):
        seconds_for(made(1e8), -1)


def test_the_fastest_replica_is_chosen_for_each_file() -> None:
    item = Item("x", 10**8, [("http://slow/x", "slow"), ("http://fast/x", "fast")])
    tiny = Item("y", 1000, [("http://fast/y", "fast"), ("http://near/y", "near")])
    paths = network(slow=made(1e7), fast=made(1e8, rtt=0.2), near=made(2e7, rtt=0.001))
    staging = plan_staging([item, tiny], "z", paths)  # type: ignore[arg-type]
    assert [(move.key, move.url, move.source) for move in staging.moves] == [
        ("x", "http://fast/x", "fast"),
        ("y", "http://near/y", "near"),
    ]
    assert staging.size_bytes == 10**8 + 1000
    assert staging.destination == "z"
    assert staging.seconds.p50 == pytest.approx(sum(move.seconds.p50 for move in staging.moves))


def test_of_two_equal_medians_the_surer_path_is_chosen() -> None:
    item = Item("x", 10**8, [("http://vague/x", "vague"), ("http://sure/x", "sure")])
    paths = network(vague=made(1e8, spread=5.0), sure=made(1e8, spread=1.1))
    assert plan_staging([item], "z", paths).moves[0].source == "sure"  # type: ignore[arg-type]


def test_data_from_outside_has_a_wide_cost_and_asks_no_forecast() -> None:
    def refuse(source: str, destination: str) -> Forecast:
        raise AssertionError("there is no path to forecast")

    staging = plan_staging([Item("x", 10**8, [("http://elsewhere/x", None)])], "z", refuse)
    assert staging.moves[0].source is None
    assert staging.moves[0].forecast.rung is Rung.OUTSIDE
    assert staging.seconds.p10 > 0
    assert staging.seconds.p90 > 20 * staging.seconds.p10


def test_a_measured_replica_beats_an_unmeasured_one_outside() -> None:
    item = Item("x", 10**8, [("http://elsewhere/x", None), ("http://a/x", "a")])
    assert plan_staging([item], "z", network(a=made(5e7))).moves[0].source == "a"  # type: ignore[arg-type]


def test_nothing_to_move_takes_no_time() -> None:
    staging = plan_staging([], "z", network())  # type: ignore[arg-type]
    assert staging.moves == ()
    assert staging.seconds == Quantiles(0.0, 0.0, 0.0)


def test_an_item_without_replicas_is_refused() -> None:
    with pytest.raises(ValueError, match="'x' has no replica"):
        plan_staging([Item("x", 1, [])], "z", network())  # type: ignore[arg-type]


def test_a_path_is_forecast_once_however_many_files() -> None:
    asked = []

    def forecast(source: str, destination: str) -> Forecast:
        asked.append((source, destination))
        return made(1e8, source=source)

    plan_staging([Item(str(n), 10**6, [("http://a/", "a")]) for n in range(20)], "z", forecast)
    assert asked == [("a", "z")]


def test_widths_add_over_one_path_and_as_squares_over_two() -> None:
    paths = network(a=made(1e8), b=made(1e8, source="b"))
    one = plan_staging([Item("x", 10**8, [("u", "a")])], "z", paths).seconds  # type: ignore[arg-type]
    same = plan_staging([Item(n, 10**8, [("u", "a")]) for n in "xy"], "z", paths).seconds  # type: ignore[arg-type]
    apart = plan_staging([Item(n, 10**8, [("u", n)]) for n in "ab"], "z", paths).seconds  # type: ignore[arg-type]
    assert same.p50 == pytest.approx(2 * one.p50)
    assert same.p90 - same.p50 == pytest.approx(2 * (one.p90 - one.p50))
    assert apart.p50 == pytest.approx(same.p50)
    assert apart.p90 - apart.p50 == pytest.approx(math.sqrt(2) * (one.p90 - one.p50))


@given(st.lists(st.tuples(st.integers(1, 10**10), st.sampled_from("abc")), min_size=1, max_size=8), spreads)
def test_another_file_never_makes_a_staging_faster(files: list[tuple[int, str]], spread: float) -> None:
    assume(files)
    paths = network(a=made(1e8, spread), b=made(3e7, spread, source="b"), c=made(5e8, spread, source="c"))
    items = [Item(str(n), size, [("u", source)]) for n, (size, source) in enumerate(files)]
    fewer, all_of_them = (plan_staging(some, "z", paths).seconds for some in (items[:-1], items))  # type: ignore[arg-type]
    for name in ("p10", "p50", "p90"):
        assert getattr(fewer, name) <= getattr(all_of_them, name) * (1 + 1e-9)
