"""Many files over one path by the model, and what several streams are known to carry."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprobe.batch_model import (
    MOST_FILES,
    PathModel,
    batch_seconds,
    likely_sizes,
    relative_noise,
    summed_seconds,
)
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.parallel import stream_gain
from netprobe.transfer_model import FILE_SECONDS, SERVER_SECONDS, file_seconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PATH = PathModel(100e6, 0.1, 8948.0)
sizes = st.lists(st.integers(1, 10**9), min_size=1, max_size=40)


@given(sizes, st.floats(1e6, 1e10), st.floats(0, 0.5), st.integers(1, 8))
def test_never_faster_than_the_bytes_nor_slower_than_one_after_the_other(
    some: list[int], rate: float, rtt: float, workers: int
) -> None:
    path = PathModel(rate, rtt, 1448.0)
    found = batch_seconds(some, path, workers)
    assert sum(some) * 8 / rate < found
    # the rate that others leave free is taken up slowly
    alone = sum(file_seconds(size, rate, rtt, 1448.0) for size in some)
    assert found <= 1.6 * alone + 8 * rtt


def test_small_files_cost_a_round_trip_each_divided_among_the_workers() -> None:
    each = PATH.rtt_seconds + SERVER_SECONDS + FILE_SECONDS
    for workers in (1, 2, 4):
        found = batch_seconds([1000] * 80, PATH, workers)
        assert found == pytest.approx(80 / workers * each + PATH.rtt_seconds, rel=0.02)


def test_a_warm_connection_does_not_start_again() -> None:
    cold = file_seconds(5e6, PATH.bits_per_second, PATH.rtt_seconds, PATH.mss_bytes)
    assert batch_seconds([5e6] * 10, PATH, 1) < 0.75 * 10 * cold


@settings(max_examples=30)
@given(st.integers(MOST_FILES + 4, MOST_FILES * 20))
def test_beyond_what_is_gone_through_it_goes_on_evenly(files: int) -> None:
    near, found, more = (summed_seconds(1e5 * count, count, PATH) for count in (files - 4, files, files + 4))
    assert near <= found <= more
    assert found == pytest.approx(batch_seconds([1e5] * files, PATH), rel=0.1)


@given(st.floats(1, 1e12), st.integers(1, 3000))
def test_sizes_that_nobody_knows_make_up_the_sum_and_are_no_two_alike(size: float, files: int) -> None:
    found = likely_sizes(size, files)
    assert len(found) == files
    assert sum(found) == pytest.approx(size)
    assert sorted(set(found), reverse=True) == found
    assert found[0] < 20 * size / files


@pytest.mark.parametrize("spread", [0.5, 0.7, 1.0])
def test_files_of_unlike_sizes_take_about_what_their_sum_lets_one_expect(spread: float) -> None:
    drawn, off = random.Random(3), []
    for _ in range(40):
        sizes = [1e6 * math.exp(drawn.gauss(0, spread)) for _ in range(drawn.randint(20, 200))]
        path = PathModel(10 ** drawn.uniform(7, 8.6), drawn.uniform(0.02, 0.25), 8948.0)
        off.append(math.log(summed_seconds(sum(sizes), len(sizes), path) / batch_seconds(sizes, path)))
    assert abs(median(off)) < 0.02
    assert median(abs(one) for one in off) < 0.05


def test_workers_are_not_taken_to_keep_in_step() -> None:
    """Files that are all alike end together, and the path is idle while all workers ask: real ones don't."""
    path = PathModel(100e6, 0.15, 8948.0)
    assert summed_seconds(100e6, 100, path) < 0.97 * batch_seconds([1e6] * 100, path)


def test_noise_falls_with_length() -> None:
    assert relative_noise(0.1) > relative_noise(1.0) > relative_noise(100.0) > 1.0


def rated(rate: float, streams: int = 1, source: str = "a", **more: object) -> Measurement:
    figures = {"bits_per_second": rate, "rtt_seconds_min": 0.1}
    started = NOW - timedelta(hours=1)
    parameters = {"streams": streams}
    kind, origin = Kind.THROUGHPUT, Origin.SCRIPTED
    return Measurement(kind, source, "b", started, 5.0, "iperf3", origin, figures, parameters, **more)  # type: ignore[arg-type]


WINDOW = {"source": {"tcp_wmem": "4096 16384 2500000"}, "destination": {"tcp_rmem": "4096 131072 6291456"}}


@pytest.mark.parametrize(
    ("tests", "gain"),
    [
        ([], 1.0),
        ([rated(1e8)], 1.0),
        ([rated(1e8), rated(3e8, 4)], 3.0),
        ([rated(1e8), rated(0.9e8, 4)], 1.0),
        # of several streams alone nothing is known of one
        ([rated(3e8, 4)], 1.0),
        # 1.25 MB a round trip are 100 Mbit/s: the window is full, and other paths show what there is
        ([rated(0.95e8, context=WINDOW), rated(3.8e8, source="c")], 4.0),
        ([rated(0.3e8, context=WINDOW), rated(3.8e8, source="c")], 1.0),
        ([rated(0.95e8, context=WINDOW)], 1.0),
    ],
)
def test_what_several_streams_reach(tests: list[Measurement], gain: float) -> None:
    assert stream_gain(History.of(tests), "a", "b", NOW) == pytest.approx(gain)
