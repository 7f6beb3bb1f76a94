"""What transfers reach where all tests of a path were held down by a window."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from netprobe.batch_model import PathModel, batch_seconds
from netprobe.cost import seconds_of
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
WORLD = Federation("test", {name: Site(name, name, Place(10.0 * n, 0.0)) for n, name in enumerate("abcdef")})
WINDOW_BYTES, SEGMENT = 65536, 1448.0


def probed(path: str, trip: float, hours: float, rate: float | None = None) -> Measurement:
    """A test of ten seconds with a window of 64 KiB, or (`rate`) a plain one."""
    figures = {
        "bits_per_second": rate or WINDOW_BYTES * 8 / trip,
        "rtt_seconds_min": trip,
        "mss_bytes": SEGMENT,
    }
    told = {"duration": "10 s", "omit": "5 s"} | ({} if rate else {"window": "64 KiB"})
    started = NOW - timedelta(hours=hours)
    return Measurement(
        Kind.THROUGHPUT, path[0], path[1], started, 10, "iperf3", Origin.SCRIPTED, figures, told
    )


def moved(path: str, carries: float, trip: float, sizes: list[int], off: float = 0.0) -> Measurement:
    """A transfer over a path that carries so much, as the model has it but for an error."""
    seconds = 1.03 * batch_seconds(sizes, PathModel(carries, trip, SEGMENT)) * math.exp(off)
    figures = {"size_bytes": float(sum(sizes)), "seconds": seconds, "files": float(len(sizes))}
    told = {"sizes": [[1, size] for size in sizes]}
    started = NOW - timedelta(minutes=30)
    return Measurement(
        Kind.TRANSFER, path[0], path[1], started, seconds, "transfer", Origin.STAGING, figures, told
    )


def said(known: list[Measurement], path: str = "ab") -> Forecast:
    return forecast_from(History.of(known), WORLD, path[0], path[1], NOW)


def width(found: Forecast) -> float:
    assert found.freed is not None
    return math.log(found.freed.p90 / found.freed.p10)


carried = st.floats(1e7, 2e9)
trips = st.floats(0.02, 0.25)


@settings(max_examples=40, deadline=None)
@given(carried, trips, st.integers(0, 2**32))
def test_one_long_transfer_says_what_the_path_carries(carries: float, trip: float, seed: int) -> None:
    held = WINDOW_BYTES * 8 / trip
    # a window that held the test down
    assume(carries > 1.5 * held and carries < 500 * held)
    drawn = random.Random(seed)
    long = moved("ab", carries, trip, [round(carries * 3)] * 4, drawn.gauss(0, 0.05))
    tests = [probed("ab", trip, n + 1) for n in range(4)]
    none, one = said(tests), said([*tests, long])
    assert one.freed is not None
    assert one.freed.p10 * 0.9 < carries < one.freed.p90 * 1.1
    assert one.freed.p50 == pytest.approx(carries, rel=0.25)
    assert width(one) < 0.5 * width(none)
    assert one.bits_per_second == none.bits_per_second
    assert "by 1 transfer" in one.explanation
    # whatever is moved next
    for sizes in ([10**5], [10**6] * 100, [10**9] * 3):
        truth = 1.03 * batch_seconds(sizes, PathModel(carries, trip, SEGMENT))
        predicted = seconds_of(one, sizes)
        assert predicted.p10 < truth < predicted.p90


@settings(max_examples=20, deadline=None)
@given(carried, trips)
def test_a_transfer_that_is_all_round_trips_says_next_to_nothing(carries: float, trip: float) -> None:
    assume(carries > 10 * WINDOW_BYTES * 8 / trip)
    tests = [probed("ab", trip, n + 1) for n in range(4)]
    short = said([*tests, moved("ab", carries, trip, [100] * 40)])
    assert width(short) > 0.6 * width(said(tests))


@settings(max_examples=20, deadline=None)
@given(st.floats(2e8, 5e8), st.integers(0, 2**32))
def test_other_paths_that_were_held_down_teach_it(level: float, seed: int) -> None:
    drawn = random.Random(seed)
    paths = ["ac", "cb", "cd", "db", "ae", "eb", "fb", "af"]
    known = [probed(path, 0.1, n + 1) for path in [*paths, "ab"] for n in range(3)]
    moves = [moved(path, level * math.exp(drawn.gauss(0, 0.2)), 0.1, [round(level)] * 4) for path in paths]
    alone, taught = said(known), said([*known, *moves])
    assert alone.freed is not None
    assert taught.freed is not None
    assert width(taught) < width(alone)
    assert abs(math.log(taught.freed.p50 / level)) < abs(math.log(alone.freed.p50 / level))
    assert taught.freed.p10 < level < taught.freed.p90
    assert "8 other paths" in taught.explanation
    assert "nothing is known of them here" in alone.explanation


@given(trips)
def test_what_tests_gave_is_carried_at_least(trip: float) -> None:
    found = said([probed("ab", trip, n + 1) for n in range(3)])
    assert found.freed is not None
    assert found.freed.p10 > 0.9 * found.bits_per_second.p50


def test_a_path_with_plain_tests_is_not_touched() -> None:
    found = said([probed("ab", 0.1, 1), probed("ab", 0.1, 2, rate=1e8)])
    assert found.freed is None
    assert found.moving == found.bits_per_second


@pytest.mark.parametrize("carries", [3e7, 1e8, 3e8])
def test_what_was_moved_is_said_as_it_was_where_rate_and_round_trips_both_count(carries: float) -> None:
    trip, sizes = 0.1, [round(carries * 0.1)] * 2
    truth = 1.03 * batch_seconds(sizes, PathModel(carries, trip, SEGMENT))
    tests = [probed("ab", trip, n + 1) for n in range(4)]
    assert seconds_of(said([*tests, *[moved("ab", carries, trip, sizes)] * 5]), sizes).p50 == pytest.approx(
        truth, rel=0.02
    )
