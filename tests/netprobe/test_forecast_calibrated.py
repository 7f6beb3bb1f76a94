"""Forecasts from long histories, through the forecaster on a real archive: who forecasts, and how sure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from federation.clock import ManualClock
from federation.database import connect, upgrade
from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast, Forecaster, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.transfer_model import file_seconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FEDERATION = Federation(
    "test", {key: Site(key, key.title(), Place(0.0, 10.0 * n)) for n, key in enumerate("abcd")}
)
RTT, SEGMENT = 0.05, 8948.0


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    engine = connect(f"sqlite:///{tmp_path / 'archive.db'}")
    upgrade(engine)
    archive = Archive(engine)
    archive.add(made(Kind.LATENCY, end, 1, {"rtt_seconds": RTT}) for end in "bcd")
    yield archive
    engine.dispose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def forecaster(archive: Archive, clock: ManualClock) -> Forecaster:
    return Forecaster(archive, FEDERATION, clock)


def made(kind: Kind, end: str, hours_ago: float, figures: dict[str, float]) -> Measurement:
    tool = {Kind.THROUGHPUT: "iperf3", Kind.LATENCY: "ping", Kind.TRANSFER: "transfer"}[kind]
    started = NOW - timedelta(hours=hours_ago)
    return Measurement(kind, "a", end, started, 5.0, tool, Origin.SCRIPTED, figures, {"omit": 5})


def rated(end: str, rates: list[float], hours: float = 2) -> list[Measurement]:
    """Tests of these rates, the newest last and two hours old."""
    count = len(rates)
    return [
        made(Kind.THROUGHPUT, end, hours * (count - n), {"bits_per_second": rate, "mss_bytes": SEGMENT})
        for n, rate in enumerate(rates)
    ]


def noisy(level: float, count: int, noise: float, seed: int = 1) -> list[float]:
    drawn = random.Random(seed)
    return [level * math.exp(drawn.gauss(0, noise)) for _ in range(count)]


def moved(end: str, rate: float, gap: float, count: int, noise: float, seed: int = 2) -> list[Measurement]:
    drawn = random.Random(seed)
    found = []
    for n in range(count):
        size = drawn.uniform(1e8, 1e9)
        seconds = file_seconds(size, rate, RTT, SEGMENT) * gap * math.exp(drawn.gauss(0, noise))
        figures = {"size_bytes": size, "files": 1.0, "seconds": seconds}
        found.append(made(Kind.TRANSFER, end, 1 + n, figures))
    return found


def width(found: Forecast) -> float:
    return math.log(found.bits_per_second.p90 / found.bits_per_second.p10)


def test_a_quiet_path_has_a_narrow_interval_and_a_noisy_one_a_wide_one(
    archive: Archive, forecaster: Forecaster
) -> None:
    archive.add(rated("b", noisy(1e8, 40, 0.01)))
    archive.add(rated("c", noisy(1e8, 40, 0.2)))
    quiet, loud = forecaster("a", "b"), forecaster("a", "c")
    # 80 % of a normal distribution are within 1.28 standard deviations
    assert 2 * 1.28 * 0.01 * 0.7 < width(quiet) < 2 * 1.28 * 0.01 * 2
    assert 2 * 1.28 * 0.2 * 0.7 < width(loud) < 2 * 1.28 * 0.2 * 1.6


def test_the_forecaster_and_its_past_error_are_said(archive: Archive, forecaster: Forecaster) -> None:
    archive.add(rated("b", noisy(1e8, 40, 0.1)))
    found = forecaster("a", "b")
    assert found.forecaster is not None
    assert f"; by {found.forecaster}, wrong by " in found.explanation
    assert "past forecasts" in found.explanation
    assert found.changed is None


def test_a_path_that_halved_last_night_is_forecast_from_this_morning(
    archive: Archive, forecaster: Forecaster
) -> None:
    archive.add(rated("b", noisy(1e8, 40, 0.04) + noisy(5e7, 7, 0.04)))
    found = forecaster("a", "b")
    assert found.bits_per_second.p50 == pytest.approx(5e7, rel=0.08)
    assert found.tests == 7
    assert found.changed == NOW - timedelta(hours=14)
    assert "; the rate changed 14 h ago, older tests are left out" in found.explanation


def test_without_new_tests_the_interval_widens(
    archive: Archive, forecaster: Forecaster, clock: ManualClock
) -> None:
    archive.add(rated("b", noisy(1e8, 40, 0.02)))
    widths = []
    for days in (0, 1, 7, 60):
        clock.advance((NOW + timedelta(days=days) - clock.now()).total_seconds())
        widths.append(width(forecaster("a", "b")))
    assert widths == sorted(widths)
    assert widths[-1] > 4 * widths[0]
    assert widths[-1] < math.log(20)


def test_a_path_with_one_test_borrows_the_noise_of_the_others(
    archive: Archive, forecaster: Forecaster
) -> None:
    archive.add(rated("b", [1e8]))
    alone = width(forecaster("a", "b"))
    archive.add(rated("c", noisy(3e8, 40, 0.02)))
    quiet = width(forecaster("a", "b"))
    archive.add(rated("d", noisy(3e8, 80, 0.5), hours=0.5))
    assert quiet < alone < width(forecaster("a", "b"))


def test_transfers_teach_the_gap_and_how_sure_it_is(archive: Archive, forecaster: Forecaster) -> None:
    archive.add(rated("b", noisy(1e8, 40, 0.02)))
    archive.add(moved("b", 1e8, 1.3, 40, 0.04))
    found = forecaster("a", "b")
    assert found.correction_is_whole
    assert found.correction.p50 == pytest.approx(1.3, rel=0.04)
    seconds = seconds_for(found, 5e8)
    assert seconds.p50 == pytest.approx(1.3 * file_seconds(5e8, 1e8, RTT, SEGMENT), rel=0.05)
    assert 2 * 1.28 * 0.04 * 0.7 < math.log(seconds.p90 / seconds.p10) < 2 * 1.28 * 0.04 * 1.6


def test_few_transfers_leave_the_rates_own_error_on_top(archive: Archive, forecaster: Forecaster) -> None:
    archive.add(rated("b", noisy(1e8, 40, 0.1)))
    archive.add(moved("b", 1e8, 1.1, 3, 0.02))
    found = forecaster("a", "b")
    assert not found.correction_is_whole
    seconds = seconds_for(found, 5e8)
    assert math.log(seconds.p90 / seconds.p10) > width(found) * 0.9


@pytest.mark.parametrize("seed", range(3))
def test_eight_transfers_of_ten_are_inside(seed: int) -> None:
    """Each of the last thirty transfers, forecast from what came before it."""
    inside = []
    for path in range(4):
        drawn = random.Random(100 * seed + path)
        gap = drawn.uniform(1.0, 1.4)
        tests = rated("b", noisy(1e8, 60, 0.05, seed=path + 10 * seed))
        ping = made(Kind.LATENCY, "b", 500, {"rtt_seconds": RTT})
        transfers = moved("b", 1e8, gap, 60, 0.08, seed=path + 7 * seed)
        for transfer in transfers[:30]:
            known = [one for one in (*tests, *transfers, ping) if one.started < transfer.started]
            found = forecast_from(History.of(known), FEDERATION, "a", "b", transfer.started)
            seconds = seconds_for(found, transfer.figures["size_bytes"])
            assert 0 < seconds.p10 <= seconds.p50 <= seconds.p90 < math.inf
            inside.append(seconds.p10 <= transfer.figures["seconds"] <= seconds.p90)
    assert 0.72 <= sum(inside) / len(inside) <= 0.88
