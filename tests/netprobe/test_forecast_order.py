"""A forecast is of what was measured: neither the order in which it came nor the sites' names change it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = "abcd"
PLACES = {name: Place(10.0 * number, 20.0 * number) for number, name in enumerate(NAMES)}

# mostly of one path, for what is chosen and learnt needs some tests
ends = st.sampled_from(["ab", "ab", "ab", "ba", "ac", "cb", "da", "dc"])
ages = st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds))
levels = st.floats(1e5, 1e10)


def rated(path: str, age: timedelta, rate: float, failed: bool) -> Measurement:
    figures = {} if failed else {"bits_per_second": rate}
    how = {"omit": 5}
    return Measurement(
        Kind.THROUGHPUT,
        path[0],
        path[1],
        NOW - age,
        5.0,
        "iperf3",
        Origin.SCRIPTED,
        figures,
        how,
        error="refused" if failed else None,
    )


def moved(path: str, age: timedelta, rate: float, size: int) -> Measurement:
    seconds = 1 + size * 8 / rate
    figures = {
        "bits_per_second": size * 8 / seconds,
        "size_bytes": float(size),
        "files": 1.0,
        "seconds": seconds,
    }
    return Measurement(Kind.TRANSFER, path[0], path[1], NOW - age, seconds, "mover", Origin.SCRIPTED, figures)


def pinged(path: str, age: timedelta, rtt_seconds: float) -> Measurement:
    figures = {"rtt_seconds": rtt_seconds}
    return Measurement(Kind.LATENCY, path[0], path[1], NOW - age, 2.0, "ping", Origin.SCRIPTED, figures)


measurements = st.lists(
    st.one_of(
        st.builds(rated, ends, ages, levels, st.booleans()),
        st.builds(rated, ends, ages, levels, st.just(False)),
        st.builds(moved, ends, ages, levels, st.integers(1, 10**10)),
        st.builds(pinged, ends, ages, st.floats(1e-4, 0.5)),
    ),
    max_size=40,
    unique_by=lambda each: (each.kind, each.source, each.destination, each.started),
)


def said(tests: list[Measurement], path: str, places: dict[str, Place] = PLACES) -> Forecast:
    sites = Federation("any", {name: Site(name, name, place) for name, place in places.items()})
    return forecast_from(History.of(tests), sites, path[0], path[1], NOW)


def figures(found: Forecast) -> list[float]:
    seconds = seconds_for(found, 10**9)
    some = (found.bits_per_second, found.moving, found.correction, seconds)
    return [*(each for one in some for each in (one.p10, one.p50, one.p90)), found.rtt_seconds, found.gain]


def alike(one: Forecast, other: Forecast) -> None:
    assert figures(one) == pytest.approx(figures(other), rel=1e-6)
    assert (one.rung, one.tests, one.tools, one.transfers, one.newest_age_seconds) == (
        other.rung,
        other.tests,
        other.tools,
        other.transfers,
        other.newest_age_seconds,
    )


@settings(max_examples=40)
@given(measurements, st.randoms(use_true_random=False), ends)
def test_the_order_in_which_it_came_changes_nothing(
    tests: list[Measurement], drawn: random.Random, path: str
) -> None:
    shuffled = drawn.sample(tests, len(tests))
    alike(said(shuffled, path), said(tests, path))


@settings(max_examples=40)
@given(measurements, st.permutations(NAMES), ends)
def test_other_names_change_nothing(tests: list[Measurement], names: list[str], path: str) -> None:
    called = dict(zip(NAMES, names, strict=True))
    renamed = [
        replace(each, source=called[each.source], destination=called[each.destination]) for each in tests
    ]
    places = {called[name]: place for name, place in PLACES.items()}
    alike(said(renamed, "".join(called[name] for name in path), places), said(tests, path))
