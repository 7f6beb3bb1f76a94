"""Clocks that are wrong: of a host whose tests are dated in the future or in 1970, and our own."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast, Rung, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SITES = Federation("test", {key: Site(key, key.title(), Place(0.0, 0.0)) for key in "abc"})
RIGHT, WRONG = 1e8, 9e6


def rated(
    rate: float, ago: timedelta, ends: str = "ab", kind: Kind = Kind.THROUGHPUT, **figures: float
) -> Measurement:
    found = {"bits_per_second": rate, **figures}
    return Measurement(kind, ends[0], ends[1], NOW - ago, 5.0, "iperf3", Origin.SCRIPTED, found, {"omit": 5})


def hourly(count: int, level: float = RIGHT, first_hours_ago: float = 1.0) -> list[Measurement]:
    drawn = random.Random(1)
    return [
        rated(level * math.exp(drawn.gauss(0, 0.02)), timedelta(hours=first_hours_ago + n))
        for n in range(count)
    ]


def said(tests: Iterable[Measurement], source: str = "a", destination: str = "b") -> Forecast:
    return forecast_from(History.of(tests), SITES, source, destination, NOW)


def sound(found: Forecast) -> None:
    rate = found.bits_per_second
    assert 0 < rate.p10 < rate.p50 < rate.p90 < math.inf
    assert found.newest_age_seconds is None or found.newest_age_seconds >= 0
    seconds = seconds_for(found, 1e9)
    assert 0 < seconds.p10 <= seconds.p50 <= seconds.p90 < math.inf


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=3), timedelta(days=3650)])
@pytest.mark.parametrize("count", [1, 30])
def test_tests_dated_in_the_future_are_left_out_and_said(ahead: timedelta, count: int) -> None:
    wrong = [rated(WRONG, -ahead - timedelta(hours=n)) for n in range(count)]
    found, without = said([*hourly(20), *wrong]), said(hourly(20))
    assert found.bits_per_second == without.bits_per_second
    assert found.newest_age_seconds == without.newest_age_seconds == 3600
    assert f"; {count} test{'s' * (count > 1)} dated in the future left out: check the clocks" in (
        found.explanation
    )


def test_a_clock_that_is_a_little_ahead_makes_new_tests() -> None:
    found = said([*hourly(20, first_hours_ago=3), *(rated(5e7, -timedelta(minutes=n)) for n in range(1, 8))])
    assert found.bits_per_second.p50 == pytest.approx(5e7, rel=0.05)
    assert found.newest_age_seconds == 0
    assert "future" not in found.explanation


def test_where_all_tests_are_in_the_future_they_are_taken_as_new_and_said() -> None:
    """Our own clock is two days late, or that of the only archive is ahead."""
    wrong = [rated(RIGHT, -timedelta(days=2) + timedelta(hours=n)) for n in range(20)]
    found = said(wrong)
    assert found.rung is Rung.MEASURED
    assert found.bits_per_second.p50 == pytest.approx(RIGHT, rel=0.01)
    assert found.newest_age_seconds == 0
    assert "; 20 tests dated up to 2 d in the future, taken as new: check the clocks" in found.explanation
    sound(found)


def test_the_rungs_leave_them_out_too() -> None:
    wrong = [rated(WRONG, -timedelta(days=1))]
    for ends in ("ba", "ac"):
        found, without = said([*hourly(9), *wrong], *ends), said(hourly(9), *ends)
        assert found.rung in (Rung.OTHER_DIRECTION, Rung.SITE_PATHS)
        assert found.bits_per_second == without.bits_per_second
        assert "; 1 test dated in the future left out" in found.explanation


def test_our_own_clock_that_runs_ahead_makes_all_tests_old_and_the_interval_wide() -> None:
    late = forecast_from(History.of(hourly(20)), SITES, "a", "b", NOW + timedelta(days=400))
    assert late.bits_per_second.p50 == pytest.approx(RIGHT, rel=0.05)
    assert late.bits_per_second.p10 < RIGHT / 2 < 2 * RIGHT < late.bits_per_second.p90
    assert "newest 400 d old" in late.explanation
    sound(late)


def test_tests_dated_in_1970_are_older_than_all_others_and_change_nothing_much() -> None:
    dead = [rated(WRONG, NOW - datetime(1970, 1, 1, n, tzinfo=UTC)) for n in range(3)]
    found = said([*hourly(30), *dead])
    assert found.bits_per_second.p50 == pytest.approx(RIGHT, rel=0.05)
    assert found.bits_per_second.p10 > RIGHT / 2
    sound(found)


def test_a_round_trip_or_a_transfer_in_the_future_breaks_nothing() -> None:
    ahead = -timedelta(days=3650)
    ping = rated(0, ahead, kind=Kind.LATENCY, rtt_seconds=0.05)
    moved = [
        rated(8e7, ahead * n, kind=Kind.TRANSFER, size_bytes=1e8, files=1.0, seconds=10.0) for n in (0, 1)
    ]
    found = said([*hourly(20), ping, *moved])
    assert found.rtt_seconds == pytest.approx(0.05)
    assert found.bits_per_second == said([*hourly(20), ping]).bits_per_second
    sound(found)


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(1e3, 1e12)), min_size=1, max_size=25),
    st.sampled_from(["ab", "ba", "ac", "cb", "ca"]),
)
def test_whatever_the_dates_there_is_a_sound_forecast(found: list[tuple[float, float]], ends: str) -> None:
    sound(said((rated(rate, timedelta(seconds=ago)) for ago, rate in found), *ends))
