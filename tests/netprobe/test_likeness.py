"""Forecasts rest on tests that were made like transfers; what others say is told, corrected or left out."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.backtest import replay
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast, Rung, forecast_from
from netprobe.history import History
from netprobe.likeness import PLAIN, SEVERAL, Sort, alike, newest_alike, sort_of
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.parallel import stream_gain

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORLD = Federation("test", {name: Site(name, name, Place(10.0 * n, 0.0)) for n, name in enumerate("abcd")})
RTT = 0.1
# 64 KiB a round trip
HELD = 65536 * 8 / RTT
WINDOW = {"window": "64 KiB"}


def made(rate: float, hours: float, path: str = "ab", /, **parameters: Any) -> Measurement:
    """A test of ten seconds, so many hours ago."""
    figures = {"bits_per_second": rate, "rtt_seconds_min": RTT, "mss_bytes": 1448.0}
    told = {"duration": "10 s", "omit": "2 s", **parameters}
    ends = path[0], path[1]
    started = NOW - hours * HOUR
    return Measurement(Kind.THROUGHPUT, *ends, started, 10.0, "iperf3", Origin.SCRIPTED, figures, told)


def moved(rate: float, hours: float, path: str = "ab", size: float = 1e9, files: int = 1) -> Measurement:
    figures = {"size_bytes": size, "seconds": size * 8 / rate, "files": float(files)}
    ends = path[0], path[1]
    started = NOW - hours * HOUR
    return Measurement(Kind.TRANSFER, *ends, started, 1.0, "transfer", Origin.STAGING, figures, {})


def said(tests: list[Measurement], path: str = "ab") -> Forecast:
    return forecast_from(History.of(tests), WORLD, path[0], path[1], NOW)


@pytest.mark.parametrize(
    ("rate", "told", "sort"),
    [
        (1e8, {}, PLAIN),
        (1e8, {"streams": 4}, SEVERAL),
        (1e8, {"reverse": True}, PLAIN),
        (1e8, {"bidirectional": True}, Sort(bidirectional=True)),
        (HELD, WINDOW, Sort(window_bytes=65536.0)),
        (4 * HELD, {**WINDOW, "streams": 4}, Sort(window_bytes=65536.0, several=True)),
        (HELD, {"window_bytes": 65536}, Sort(window_bytes=65536.0)),
        # there was room in the window
        (HELD / 3, WINDOW, PLAIN),
        (1e8, {"window": "16 MiB"}, PLAIN),
        (9.9e7, {"bitrate": "100 Mbit/s"}, Sort(target_bits_per_second=1e8)),
        (2e7, {"bitrate": "100 Mbit/s"}, PLAIN),
        (1e8, {"window": "wide", "bitrate": None, "bidirectional": "no"}, PLAIN),
    ],
)
def test_what_held_a_test_down_makes_its_sort(rate: float, told: dict[str, Any], sort: Sort) -> None:
    assert sort_of(made(rate, 1, **told), RTT) == sort
    assert sort.plain == (sort in (PLAIN, SEVERAL))


levels = st.lists(st.floats(0.8, 1.2), min_size=1, max_size=30)


@given(levels, levels, st.sampled_from([WINDOW, {"bidirectional": True}, {"bitrate": "5 Mbit/s"}]))
def test_unlike_tests_change_nothing_beside_new_plain_ones(
    plain: list[float], unlike: list[float], told: dict[str, Any]
) -> None:
    usual = [made(1e8 * level, n + 1) for n, level in enumerate(plain)]
    others = [made(5e6 * level, n + 0.5, **told) for n, level in enumerate(unlike)]
    alone, beside = said(usual), said([*usual, *others])
    assert beside.bits_per_second == alone.bits_per_second
    assert (beside.tests, beside.gain) == (alone.tests, alone.gain)
    assert f"{len(others)} test" in beside.explanation
    assert "made otherwise than transfers are left out" in beside.explanation


@given(st.permutations([PLAIN, SEVERAL, Sort(window_bytes=65536.0), Sort(bidirectional=True)]))
def test_the_most_alike_there_is_counts(sorts: list[Sort]) -> None:
    told: dict[Sort, dict[str, Any]] = {
        PLAIN: {},
        SEVERAL: {"streams": 8},
        Sort(window_bytes=65536.0): WINDOW,
        Sort(bidirectional=True): {"bidirectional": True},
    }
    tests = [made(HELD, n + 1, **told[sort]) for n, sort in enumerate(sorts)]
    for count in range(1, 5):
        found = alike(tests[:count], RTT)
        assert found.sort == min(sorts[:count])
        assert [sort_of(test, RTT) for test in found.own] == [found.sort]
        assert found.own == found.with_stand_ins


@given(
    st.lists(st.sampled_from([{}, {"streams": 8}, WINDOW, {"bidirectional": True}]), min_size=1, max_size=30),
    st.integers(1, 8),
)
def test_the_newest_of_them_are_found_without_looking_at_all(told: list[dict[str, Any]], most: int) -> None:
    tests = [made(HELD, n + 1, **each) for n, each in enumerate(told)]
    whole = alike(tests, RTT)
    left = iter(tests)
    assert newest_alike(left, RTT, most) == (whole.sort, list(whole.own[:most]))
    plain = [n for n, each in enumerate(told) if not each]
    if len(plain) > most:
        assert len(list(left)) == len(tests) - 1 - plain[most]


def test_several_free_streams_say_more_of_a_transfer_than_one_that_is_held_down() -> None:
    found = said([made(HELD, 1, **WINDOW), made(9e7, 2, streams=4)])
    assert found.bits_per_second.p50 == pytest.approx(9e7)
    # an upper bound for one
    assert found.bits_per_second.p10 < 0.65 * 9e7


@settings(max_examples=15)
@given(st.floats(0.05, 0.9), st.floats(0.3, 3.0), st.integers(0, 2**32))
def test_unlike_tests_stand_in_for_old_ones_by_how_far_they_are_off(
    ratio: float, change: float, seed: int
) -> None:
    drawn = random.Random(seed)

    def noise() -> float:
        return math.exp(drawn.gauss(0, 0.02))

    told = {"bidirectional": True}
    both = [made(1e8 * noise(), hours) for hours in range(120, 180, 3)]
    both += [made(1e8 * ratio * noise(), hours + 1, **told) for hours in range(120, 180, 3)]
    since = [made(1e8 * change * ratio * noise(), hours + 1, **told) for hours in range(0, 90, 3)]
    found = said([*both, *since])
    assert found.bits_per_second.p50 == pytest.approx(1e8 * change, rel=0.08)
    assert "corrected by how far such are off" in found.explanation


def test_a_test_is_held_against_what_its_sort_would_give() -> None:
    drawn = random.Random(3)
    tests = []
    for n in range(60):
        tests.append(made(1e8 * math.exp(drawn.gauss(0, 0.05)), 2 * n + 1))
        tests.append(made(HELD * math.exp(drawn.gauss(0, 0.05)), 2 * n, **WINDOW))
    whole = History.of(tests)
    inside, misses = 0, []
    due = sorted(tests, key=lambda test: test.started)[30::2]
    due += sorted(tests, key=lambda test: test.started)[31::2]
    for test in due:
        found = replay(whole, WORLD, test)
        (level,) = found.levels(WORLD, test)
        rate = found.rate(WORLD)
        inside += math.log(rate.p10) <= level <= math.log(rate.p90)
        misses.append(abs(level - math.log(rate.p50)))
    assert sum(misses) / len(misses) < 0.08
    assert 0.75 * len(due) < inside


def test_a_mesh_that_is_held_down_leaves_room_for_what_transfers_really_do() -> None:
    held = [made(HELD, n + 1, **WINDOW) for n in range(20)]
    path = said(held)
    assert path.rung is Rung.MEASURED
    assert "all made with a window of 65.5 kB, which transfers are not" in path.explanation
    predicted = seconds_for(path, 10**9)
    for times in (2.0, 5.0, 50.0):
        assert predicted.p10 < 1e9 * 8 / (times * HELD) < predicted.p90


def test_other_paths_with_both_sorts_say_how_far_a_held_down_mesh_is_off() -> None:
    held = [made(HELD, n + 1, **WINDOW) for n in range(20)]
    taught = [
        made(rate, n + 1, path, **told)
        for path in ("ac", "cb", "cd")
        for rate, told in ((HELD, WINDOW), (4 * HELD, {}))
        for n in range(10)
    ]
    predicted, assumed = (seconds_for(said(tests), 10**9) for tests in ([*held, *taught], held))
    assert predicted.p50 == pytest.approx(1e9 * 8 / (4 * HELD), rel=0.15)
    assert predicted.p90 / predicted.p10 < 0.5 * assumed.p90 / assumed.p10
    # and its own transfers say it better still
    own = seconds_for(said([*held, *taught, *(moved(5 * HELD, n + 0.5) for n in range(12))]), 10**9)
    assert own.p50 == pytest.approx(1e9 * 8 / (5 * HELD), rel=0.1)


@given(st.integers(1, 20), st.floats(0.05, 20.0))
def test_transfers_over_held_down_tests_correct_no_others(count: int, times: float) -> None:
    plain = [made(1e8, n + 1) for n in range(5)] + [moved(0.95e8, n + 0.5) for n in range(3)]
    held = [made(HELD, n + 1, "cd", **WINDOW) for n in range(5)]
    odd = [moved(HELD * times, n + 0.5, "cd") for n in range(count)]
    alone, beside = said([*plain, *held]), said([*plain, *held, *odd])
    assert (beside.correction, beside.bits_per_second) == (alone.correction, alone.bits_per_second)


@pytest.mark.parametrize("rate", [0.6e8, 0.8e8, 0.97e8])
def test_one_transfer_says_little_of_how_transfers_are_spread(rate: float) -> None:
    tests = [made(1e8, n + 1) for n in range(8)]
    none, one = (said(known).correction for known in (tests, [*tests, moved(rate, 0.1)]))
    assert (one.p50 > 1.01 * none.p50) == (rate < 0.9e8)
    wider = math.log(one.p90 / one.p10) / math.log(none.p90 / none.p10)
    assert 0.8 < wider < 2


def test_paths_that_were_not_measured_follow_those_that_were_measured_like_transfers() -> None:
    held = [made(HELD, n + 1, path, **WINDOW) for path in ("ac", "cb", "ba") for n in range(5)]
    plain = [made(1e8, n + 1, path) for path in ("ad", "db") for n in range(5)]
    assert said([*held, *plain]).bits_per_second.p50 > 5 * said(held).bits_per_second.p50


@pytest.mark.parametrize(
    ("transfers", "gain"),
    [
        ([(3e8, 8)] * 3, 3.0),
        ([(0.8e8, 8)] * 3, 1.0),
        # too few, of too few files, or too short
        ([(3e8, 8)] * 2, 1.0),
        ([(3e8, 2)] * 3, 1.0),
    ],
)
def test_transfers_of_several_files_say_what_several_streams_carry(
    transfers: list[tuple[float, int]], gain: float
) -> None:
    found = [moved(rate, n + 0.5, files=files) for n, (rate, files) in enumerate(transfers)]
    history = History.of([made(1e8, 1), *found])
    assert stream_gain(history, "a", "b", NOW) == pytest.approx(gain)
    short = [replace(one, figures={**one.figures, "size_bytes": 1e6, "seconds": 0.1}) for one in found]
    assert stream_gain(History.of([made(1e8, 1), *short]), "a", "b", NOW) == 1.0
    # tests with several streams say it themselves
    measured = History.of([made(1e8, 1), made(2e8, 1.5, streams=4), *found])
    assert stream_gain(measured, "a", "b", NOW) == pytest.approx(2.0)


def test_one_stream_s_mesh_is_no_limit_for_many_files_and_stays_one_for_one() -> None:
    mesh = [made(1e8, n + 1) for n in range(10)]
    learnt = [moved(2.5e8, n + 0.5, files=40) for n in range(4)] + [moved(0.95e8, n + 0.6) for n in range(4)]
    found = said([*mesh, *learnt])
    assert seconds_for(found, 10**10, 40).p50 == pytest.approx(1e10 * 8 / 2.5e8, rel=0.1)
    assert seconds_for(found, 10**10, 1).p50 == pytest.approx(1e10 * 8 / 0.95e8, rel=0.1)
