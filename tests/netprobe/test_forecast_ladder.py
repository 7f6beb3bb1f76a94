"""Every rung of the ladder, through the forecaster on a real archive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from federation.clock import ManualClock
from federation.database import connect, upgrade
from federation.sites import Federation, Place, Site
from federation.units import format_bits_per_second
from netprobe.archive import Archive
from netprobe.forecast import Forecast, Forecaster, Rung, from_outside
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PLACES = {
    "perth": Place(-31.95, 115.86),
    "capetown": Place(-33.92, 18.42),
    "manchester": Place(53.48, -2.24),
    "lausanne": Place(46.52, 6.63),
}
FEDERATION = Federation("test", {key: Site(key, key.title(), place) for key, place in PLACES.items()})


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    engine = connect(f"sqlite:///{tmp_path / 'archive.db'}")
    upgrade(engine)
    yield Archive(engine)
    engine.dispose()


@pytest.fixture
def forecast(archive: Archive) -> Callable[[str, str], Forecast]:
    return Forecaster(archive, FEDERATION, ManualClock(NOW))


def iperf3(
    source: str, destination: str, mbit: float, minutes_ago: float = 4, error: str | None = None
) -> Measurement:
    figures = {} if error else {"bits_per_second": mbit * 1e6, "mss_bytes": 8948.0}
    # all of slow start is omitted, so that the rate is the figure itself
    return _made(Kind.THROUGHPUT, "iperf3", source, destination, minutes_ago, figures, error, {"omit": 5})


def ping(source: str, destination: str, seconds: float, minutes_ago: float = 4) -> Measurement:
    return _made(Kind.LATENCY, "ping", source, destination, minutes_ago, {"rtt_seconds": seconds}, None, {})


def transfer(
    source: str, destination: str, size: float, seconds: float, minutes_ago: float = 2
) -> Measurement:
    figures = {"size_bytes": size, "files": 1.0, "seconds": seconds}
    return _made(Kind.TRANSFER, "transfer", source, destination, minutes_ago, figures, None, {})


def _made(
    kind: Kind,
    tool: str,
    source: str,
    destination: str,
    minutes_ago: float,
    figures: dict[str, float],
    error: str | None,
    parameters: dict[str, object],
) -> Measurement:
    origin = Origin.STAGING if kind is Kind.TRANSFER else Origin.SCRIPTED
    started = NOW - timedelta(minutes=minutes_ago)
    return Measurement(
        kind, source, destination, started, 5.0, tool, origin, figures, parameters, error=error
    )


def width(forecast: Forecast) -> float:
    return math.log(forecast.bits_per_second.p90 / forecast.bits_per_second.p10)


def test_measured_says_what_a_person_can_check(archive: Archive, forecast: Forecaster) -> None:
    rates = (93.0, 94.2, 94.8, 95.0, 95.2, 95.4)
    archive.add(iperf3("perth", "manchester", rate, 4 + number) for number, rate in enumerate(rates))
    archive.add([ping("perth", "manchester", 0.0261)])
    found = forecast("perth", "manchester")
    assert found.rung is Rung.MEASURED
    assert found.tests == 6
    assert found.newest_age_seconds == pytest.approx(240)
    assert found.tools == ("iperf3",)
    assert found.rtt_seconds == pytest.approx(0.0261)
    assert found.mss_bytes == 8948
    assert found.bits_per_second.p50 == pytest.approx(94.9e6, rel=0.002)
    assert found.explanation.startswith("6 iperf3 tests, newest 4 min old: 94.9 Mbit/s median (")
    assert found.explanation.endswith("), round trip 26.1 ms")


def test_rates_of_two_units_are_said_with_both(archive: Archive, forecast: Forecaster) -> None:
    archive.add(iperf3("perth", "manchester", 1.0 + 0.2 * (n % 2), n) for n in range(12))
    archive.add(iperf3("perth", "lausanne", 0.9 + 0.4 * (n % 2), n) for n in range(12))
    for destination in ("manchester", "lausanne"):
        found = forecast("perth", destination)
        rate = found.bits_per_second
        low, middle, high = map(format_bits_per_second, (rate.p10, rate.p50, rate.p90))
        one = len({each.split()[1] for each in (low, middle, high)}) == 1
        said = f"{low.split()[0]} to {high.split()[0]}" if one else f"{low} to {high}"
        assert f": {middle} median ({said})," in found.explanation


def test_one_test_is_believed_less_than_many(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("perth", "manchester", 95)])
    archive.add(iperf3("perth", "lausanne", 95, minutes) for minutes in range(1, 13))
    assert width(forecast("perth", "manchester")) > 2 * width(forecast("perth", "lausanne")) > 0


def test_old_tests_are_believed_less(archive: Archive, forecast: Forecaster) -> None:
    archive.add(iperf3("perth", "manchester", 95, 60 * 24 * 7 + number) for number in range(6))
    archive.add(iperf3("perth", "lausanne", 95, number) for number in range(6))
    assert width(forecast("perth", "manchester")) > 2 * width(forecast("perth", "lausanne"))


def test_newer_tests_count_more(archive: Archive, forecast: Forecaster) -> None:
    archive.add(iperf3("perth", "manchester", 40, 60 * 30 + number) for number in range(5))
    archive.add(iperf3("perth", "manchester", 90, number) for number in range(3))
    assert forecast("perth", "manchester").bits_per_second.p50 == pytest.approx(90e6, rel=0.05)


def test_the_other_direction(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("manchester", "perth", 95), ping("manchester", "perth", 0.24)])
    measured, back = forecast("manchester", "perth"), forecast("perth", "manchester")
    assert back.rung is Rung.OTHER_DIRECTION
    assert back.rtt_seconds == pytest.approx(0.24)
    assert back.tests == 1
    assert back.bits_per_second.p50 < measured.bits_per_second.p50
    assert width(back) > width(measured)
    assert "other one" in back.explanation


def test_the_sites_other_paths_and_their_slower_side(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("perth", "lausanne", 400), iperf3("capetown", "manchester", 50)])
    found = forecast("perth", "manchester")
    assert found.rung is Rung.SITE_PATHS
    assert found.bits_per_second.p50 < 50e6
    assert "2 other paths" in found.explanation


def test_peers_at_a_similar_round_trip(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("lausanne", "manchester", 300), ping("lausanne", "manchester", 0.2)])
    archive.add([ping("perth", "capetown", 0.22)])
    found = forecast("perth", "capetown")
    assert found.rung is Rung.ROUND_TRIP
    assert found.rtt_seconds == pytest.approx(0.22)
    assert found.bits_per_second.p50 < 300e6
    assert "similar round trip" in found.explanation


def test_peers_at_another_round_trip_say_nothing(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("lausanne", "manchester", 300), ping("lausanne", "manchester", 0.02)])
    archive.add([ping("perth", "capetown", 0.22)])
    assert forecast("perth", "capetown").rung is Rung.DISTANCE


def test_distance_alone(forecast: Forecaster) -> None:
    near, far = forecast("lausanne", "manchester"), forecast("lausanne", "perth")
    assert near.rung is far.rung is Rung.DISTANCE
    assert near.tests == 0
    assert near.newest_age_seconds is None
    metres = PLACES["lausanne"].distance_metres(PLACES["manchester"])
    assert near.rtt_seconds == pytest.approx(2 * metres * 1.5 / 2e8 + 0.004)
    assert far.rtt_seconds > 3 * near.rtt_seconds
    assert "estimated from the distance" in near.explanation


def test_a_site_that_the_catalogue_does_not_know_still_has_a_forecast(forecast: Forecaster) -> None:
    assert forecast("nowhere", "perth").rung is Rung.DISTANCE
    assert forecast("nowhere", "perth").rtt_seconds > 0


def test_the_same_site(forecast: Forecaster) -> None:
    found = forecast("perth", "perth")
    assert found.rung is Rung.SAME_SITE
    assert found.bits_per_second.p10 >= 0.9e9
    assert "Perth already" in found.explanation


def test_outside_is_wider_than_every_rung() -> None:
    assert from_outside("perth").rung is Rung.OUTSIDE
    assert width(from_outside("perth")) >= 2 * math.log(9.9)


def test_each_rung_down_is_wider_and_lower_on_the_same_evidence(
    archive: Archive, forecast: Forecaster
) -> None:
    archive.add([iperf3("lausanne", "manchester", 30), ping("lausanne", "manchester", 0.2)])
    archive.add([ping("perth", "capetown", 0.2)])
    ladder = [
        forecast("lausanne", "manchester"),
        forecast("manchester", "lausanne"),
        forecast("lausanne", "perth"),
        forecast("perth", "capetown"),
    ]
    assert [found.rung for found in ladder] == list(Rung)[1:5]
    for upper, lower in pairwise(ladder):
        assert width(lower) > width(upper)
        assert lower.bits_per_second.p50 < upper.bits_per_second.p50


def test_distance_is_wider_than_the_rungs_above(archive: Archive, forecast: Forecaster) -> None:
    distance = forecast("perth", "capetown")
    archive.add([iperf3("lausanne", "manchester", 30), ping("lausanne", "manchester", 0.2)])
    archive.add([ping("perth", "capetown", 0.2)])
    assert width(distance) > width(forecast("perth", "capetown"))


def test_failed_tests_are_counted_and_lower_nothing(archive: Archive, forecast: Forecaster) -> None:
    archive.add(iperf3("perth", "manchester", 95, 3 + number) for number in range(3))
    before = forecast("perth", "manchester")
    archive.add([iperf3("perth", "manchester", 0, 10, error="destination manchester: refused")])
    after = forecast("perth", "manchester")
    assert after.bits_per_second == before.bits_per_second
    assert after.tests == 3
    assert after.explanation.endswith("; 1 of the last 4 tests failed")


def test_newest_tests_that_all_failed_are_said(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("perth", "manchester", 95, 60)])
    archive.add(
        iperf3("perth", "manchester", 0, ago, error="destination manchester: refused") for ago in (1, 2)
    )
    found = forecast("perth", "manchester")
    assert found.rung is Rung.MEASURED
    assert found.explanation.endswith(
        "the newest 2 tests of this path failed, last: destination manchester: refused"
    )


def test_a_path_whose_tests_all_failed_falls_down_the_ladder(archive: Archive, forecast: Forecaster) -> None:
    archive.add([iperf3("perth", "manchester", 0, 1, error="source perth: no route")])
    found = forecast("perth", "manchester")
    assert found.rung is Rung.DISTANCE
    assert "every test of this path failed, last: source perth: no route" in found.explanation


def test_udp_tests_do_not_count_and_parallel_ones_only_in_need(
    archive: Archive, forecast: Forecaster
) -> None:
    one = iperf3("perth", "manchester", 50)
    udp = _made(
        Kind.THROUGHPUT, "iperf3", "perth", "manchester", 1, {"bits_per_second": 1e6}, None, {"udp": True}
    )
    four = _made(
        Kind.THROUGHPUT, "iperf3", "perth", "manchester", 1, {"bits_per_second": 2e8}, None, {"streams": 4}
    )
    archive.add([udp, four])
    bound = forecast("perth", "manchester")
    assert bound.bits_per_second.p50 == pytest.approx(2e8)
    archive.add([one])
    found = forecast("perth", "manchester")
    assert found.bits_per_second.p50 == pytest.approx(50e6)
    assert width(found) < width(bound)


def test_a_short_test_without_omit_is_cleared_of_slow_start(archive: Archive, forecast: Forecaster) -> None:
    figures = {"bits_per_second": 50e6, "mss_bytes": 8948.0}
    short = _made(Kind.THROUGHPUT, "iperf3", "perth", "manchester", 1, figures, None, {"duration": 3})
    archive.add([short, ping("perth", "manchester", 0.24)])
    assert 55e6 < forecast("perth", "manchester").bits_per_second.p50 < 100e6


def test_real_transfers_correct_the_forecast(archive: Archive, forecast: Forecaster) -> None:
    archive.add(iperf3("perth", "manchester", 80, 10 + number) for number in range(4))
    archive.add(iperf3("perth", "lausanne", 80, 10 + number) for number in range(4))
    before = forecast("perth", "manchester")
    archive.add(transfer("perth", "manchester", 100e6, 15.0, number) for number in range(3))
    after = forecast("perth", "manchester")
    assert after.transfers == 3
    assert after.bits_per_second == before.bits_per_second
    assert 1.15 < after.correction.p50 < 1.5
    assert "; corrected by 3 transfers (x1." in after.explanation
    other = forecast("perth", "lausanne")
    assert other.transfers == 0
    assert before.correction.p50 < other.correction.p50 < after.correction.p50
    assert "corrected by 3 transfers on other paths" in other.explanation


def test_more_transfers_are_believed_more(archive: Archive, forecast: Forecaster) -> None:
    archive.add(iperf3("perth", "manchester", 80, 30 + number) for number in range(4))
    ratios = []
    for number in range(6):
        archive.add([transfer("perth", "manchester", 100e6, 20.0, 20 - number)])
        ratios.append(forecast("perth", "manchester").correction.p50)
    assert ratios == sorted(ratios)
    assert ratios[-1] < 20.0 / (100e6 * 8 / 80e6)


def test_copies_within_a_site_do_not_correct_paths_between_sites(
    archive: Archive, forecast: Forecaster
) -> None:
    archive.add([iperf3("perth", "manchester", 80)])
    before = forecast("perth", "manchester")
    archive.add(transfer("perth", "perth", 100e6, 30.0, number) for number in range(5))
    assert forecast("perth", "manchester") == before
    assert forecast("perth", "perth").correction.p50 > 5
