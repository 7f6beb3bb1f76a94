"""What the report on the network finds in rows with known levels: figures by hand, states, differences,
faults."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.clock import ManualClock
from netprobe.archive import Archive
from netprobe.cost import seconds_for
from netprobe.forecast import Forecaster
from netprobe.measurement import Kind, Measurement, Origin
from reports.compare.reading import read
from reports.compare.ways import Quantity, Side
from reports.network import moving
from reports.network.differences import asymmetries, changes
from reports.network.measured import KINDS, lost_share, measured
from reports.network.model import Network, Sample, State
from reports.network.page import found as look
from reports.network.sites import Role, rows
from tests.databases import with_tables
from tests.reports.network.planted import BEFORE, FELL, SINCE, UNTIL, Planter, changed, federation, troubled

DAY = timedelta(days=1)


def network(folder: Path, found: Iterable[Measurement], names: str | tuple[str, ...] = "abc") -> Network:
    engine = with_tables(folder / "archive.db")
    Archive(engine).add(found)
    reading = read(engine, KINDS, BEFORE, UNTIL)
    engine.dispose()
    return measured(reading, SINCE, federation(names))


def test_figures_are_those_that_one_works_out_by_hand(tmp_path: Path) -> None:
    made = Planter()
    # of this time: 40 tests, of which 10 carry 1, 20 carry 2 and 10 carry 4 Gbit/s
    levels = iter([9e9] * 40 + [1e9, 2e9, 2e9, 4e9] * 10)
    got = [*made.rates("a", "b", lambda when: next(levels), spread=0), *made.pings("a", "b", 0.02)]
    # 3 of 100 packets in one of the 80 pings of this time
    chosen = next(one for one in got if one.kind is Kind.LATENCY and one.started > SINCE)
    lossy = replace(chosen, figures={**chosen.figures, "loss_ratio": 0.03, "packets_lost": 3.0})
    found = network(tmp_path, [lossy if one is chosen else one for one in got])
    rate = found.figures[Quantity.THROUGHPUT]["a", "b"]
    assert (rate.count, rate.state) == (40, State.MEASURED)
    assert rate.value == pytest.approx(2e9)
    assert [rate.p10, rate.p90] == pytest.approx([1e9, 4e9])
    assert found.figures[Quantity.LOSS]["a", "b"].value == pytest.approx(3 / 8000)
    assert found.figures[Quantity.LATENCY]["a", "b"].value == pytest.approx(0.02, rel=0.02)
    assert found.figures[Quantity.THROUGHPUT]["b", "a"].state is State.MISSING
    assert found.tests == 120
    assert [(one.side, one.kind, one.tools) for one in found.tools] == [
        (Side.SCRIPTED, Kind.THROUGHPUT, {"iperf3": 40}),
        (Side.SCRIPTED, Kind.LATENCY, {"ping": 80}),
    ]


def test_loss_is_that_of_all_packets_not_of_tests() -> None:
    few = Sample(np.array([1.0]), np.array([0.5]), np.array([10.0]))
    many = Sample(np.array([2.0]), np.array([0.0]), np.array([90.0]))
    assert lost_share([few, many]) == pytest.approx(0.05)
    assert lost_share([replace(few, packets=np.array([0.0]))]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({}, State.MEASURED),
        ({"fails": lambda when: True}, State.FAILED),
        ({"fails": lambda when: when > UNTIL - timedelta(hours=20)}, State.FAILED),
        # two in a row are chance
        ({"fails": lambda when: when > UNTIL - timedelta(hours=12)}, State.MEASURED),
        ({"end": UNTIL - 2 * DAY}, State.STALE),
        ({"end": UNTIL - 0.9 * DAY}, State.MEASURED),
        # what is tested every second day is late after four
        ({"end": UNTIL - 3 * DAY, "every_hours": 48.0}, State.MEASURED),
        ({"end": SINCE}, State.MISSING),
    ],
)
def test_states(tmp_path: Path, options: dict[str, Any], state: State) -> None:
    found = network(tmp_path, Planter().rates("a", "b", 1e9, **options))
    assert found.figures[Quantity.THROUGHPUT]["a", "b"].state is state
    assert found.tested[Kind.THROUGHPUT]["a", "b"].state is state if found.tested else state is State.MISSING


def test_a_failing_path_says_since_when_and_why(tmp_path: Path) -> None:
    begun = UNTIL - 3 * DAY
    made = Planter().rates("a", "b", 1e9, fails=lambda when: when > begun, error="source: no route")
    one = network(tmp_path, made).tested[Kind.THROUGHPUT]["a", "b"]
    assert (one.succeeded, one.failed, one.failing, one.error) == (28, 12, 12, "source: no route")
    assert one.newest_success is not None
    assert begun - timedelta(hours=6) < one.newest_success <= begun


def test_rates_are_of_tcp_with_as_few_streams_as_there_are(tmp_path: Path) -> None:
    made = Planter()
    udp = {"udp": True, "bitrate": "1 Mbit/s"}
    found = network(
        tmp_path,
        [
            *made.rates("a", "b", 1e9, spread=0),
            *made.rates("a", "b", 8e9, spread=0, parameters={"streams": 8}),
            *made.rates("a", "b", 1e6, spread=0, parameters=udp),
            *made.rates("b", "a", 5e9, spread=0, parameters={"streams": 8}),
        ],
    )
    rates = found.figures[Quantity.THROUGHPUT]
    assert rates["a", "b"].value == pytest.approx(1e9)
    assert rates["b", "a"].value == pytest.approx(5e9)
    assert rates["b", "a"].of == "8 streams together"
    assert found.asked_for_a_rate == 40
    # one stream one way and eight the other: not the same
    assert asymmetries(found).ends == ()


def test_round_trips_come_of_what_there_is(tmp_path: Path) -> None:
    made = Planter()
    one_way = [
        replace(one, figures={"owd_seconds": delay}, origin=Origin.PERFSONAR)
        for path, delay in ((("a", "c"), 0.03), (("c", "a"), -0.01))
        for one in made.pings(*path, 0.1)
    ]
    found = network(tmp_path, [*made.rates("a", "b", 1e9), *one_way])
    trips = found.figures[Quantity.LATENCY]
    # iperf3's smallest round trip, and delays of both ways together: the clocks' offset cancels
    assert [trips["a", "b"].value, trips["a", "c"].value] == pytest.approx([0.02, 0.02])
    assert "throughput" in trips["a", "b"].of
    assert trips["a", "c"].of == "one way and back"


def test_two_directions_that_differ(tmp_path: Path) -> None:
    made = Planter()
    got = [*made.rates("a", "b", 2e9), *made.rates("b", "a", 6e9), *made.rates("a", "c", 3e9)]
    got += [*made.rates("c", "a", 3.1e9), *made.rates("b", "c", 1e9)]
    # a direction that only the mesh tests can't be compared with one that only scripts test
    got += [*made.rates("c", "b", 9e9, origin=Origin.PERFSONAR)]
    found = asymmetries(network(tmp_path, got))
    (one,) = found.found
    assert one.slow == ("a", "b")
    assert one.difference.ratio == pytest.approx(3, rel=0.02)
    assert 2.8 < one.difference.low < 3 < one.difference.high < 3.2
    assert (found.compared, found.too_few) == (2, 1)


def test_a_change_has_its_date_and_both_levels(tmp_path: Path) -> None:
    made, when = Planter(), SINCE + 6 * DAY
    got = [*made.rates("a", "b", changed(4e9, 1e9, when)), *made.rates("b", "a", 4e9)]
    got += made.pings("a", "b", 0.02)
    found = network(tmp_path, got)
    rates = changes(found, Quantity.THROUGHPUT)
    (one,) = rates.found
    assert (one.ends, one.worse, rates.compared) == (("a", "b"), True, 2)
    assert one.when is not None
    assert abs(one.when - when) <= timedelta(hours=6)
    assert one.difference.ratio == pytest.approx(0.25, rel=0.03)
    assert one.difference.low < one.difference.ratio < one.difference.high < 0.3
    assert changes(found, Quantity.LATENCY).found == ()


def test_more_loss_is_a_change(tmp_path: Path) -> None:
    made = Planter()
    quiet = [one for one in made.pings("a", "b", 0.02, 0.0) if one.started < SINCE]
    lossy = [one for one in made.pings("a", "b", 0.02, 0.02) if one.started >= SINCE]
    (one,) = changes(network(tmp_path, [*quiet, *lossy]), Quantity.LOSS).found
    assert one.worse
    assert one.difference.ratio == pytest.approx(0.02, abs=0.004)
    assert one.difference.low > 0.01


@pytest.mark.parametrize("wander", [0.0, 0.6, 0.9])
def test_where_nothing_is_wrong_nothing_is_found(tmp_path: Path, wander: float) -> None:
    """Day and night, and tests that depend on the one before."""
    made = Planter(7)
    sites = tuple(f"s{number}" for number in range(8))
    level = {frozenset((one, two)): 10 ** made.chance.uniform(8, 10) for one in sites for two in sites}

    def wavy(base: float) -> Any:
        away = 0.0

        def now(when: datetime) -> float:
            nonlocal away
            away = wander * away + np.sqrt(1 - wander**2) * made.chance.normal(0, 0.15)
            return base * math.exp(away) * (1 + 0.2 * math.sin(2 * math.pi * when.hour / 24))

        return now

    got = [
        row
        for one in sites
        for two in sites
        if one != two
        for row in made.rates(one, two, wavy(level[frozenset((one, two))]))
    ]
    findings = look(network(tmp_path, got, sites))
    assert findings.asymmetries.compared == 28
    # at a false discovery rate of 5 % there may be one
    assert len(findings.asymmetries.found) <= 1
    assert len(findings.changes[Quantity.THROUGHPUT].found) <= 1
    assert findings.faults == ()


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return network(tmp_path_factory.mktemp("twelve"), troubled(), ())


def test_what_is_a_sites_is_not_its_paths(twelve: Network) -> None:
    told = {(one.site, one.role): one.words for one in look(twelve).faults}
    assert set(told) == {
        ("nairobi", Role.RECEIVING),
        ("santiago", Role.BOTH),
        ("mumbai", Role.SENDING),
    }
    assert "11 of 11" in told["nairobi", Role.RECEIVING]
    assert f"{FELL:%Y-%m-%d}" in told["santiago", Role.BOTH]
    assert "sends more slowly than it receives" in told["mumbai", Role.SENDING]


def test_what_the_whole_federation_has_is_no_sites(tmp_path: Path) -> None:
    made, sites = Planter(), tuple(f"s{number}" for number in range(5))
    level = changed(4e9, 1e9, FELL)
    got = [row for one in sites for two in sites if one != two for row in made.rates(one, two, level)]
    findings = look(network(tmp_path, got, sites))
    assert len(findings.worse) == 20
    assert findings.faults == ()


def test_a_row_for_each_site(twelve: Network) -> None:
    found = {one.site: one for one in rows(twelve)}
    assert len(found) == 12
    rates = twelve.figures[Quantity.THROUGHPUT]
    slowest = min(
        (one for one in rates.values() if one.source == "mumbai" and one.state is State.MEASURED),
        key=lambda one: one.value or 0,
    )
    assert found["mumbai"].worst_receiver == slowest.destination
    assert found["mumbai"].worst_sent == slowest.value
    assert found["nairobi"].receives is None
    assert found["nairobi"].paths_failed == 11
    assert found["perth"].tests == sum(
        one.tests for paths in twelve.tested.values() for ends, one in paths.items() if "perth" in ends
    )


def test_moving_data_takes_what_the_product_forecasts(tmp_path: Path) -> None:
    made = Planter()
    got = [*made.rates("a", "b", 2e9), *made.rates("b", "a", 1e8), *made.pings("a", "b", 0.05)]
    engine = with_tables(tmp_path / "archive.db")
    archive, sites = Archive(engine), federation("abc")
    archive.add(got)
    history, tests = moving.known(archive, 3, UNTIL)
    found = moving.moves(history, tests, sites, tuple("abc"), (10**12, 10**14), UNTIL)
    forecast = Forecaster(archive, sites, ManualClock(UNTIL)).path("a", "b")
    assert found.paths["a", "b"].seconds[1] == seconds_for(forecast, 10**14)
    # 1e14 bytes at 2 Gbit/s, what writing them back to disk adds, and what transfers usually take beyond that
    assert found.paths["a", "b"].seconds[1].p50 == pytest.approx((4e5 + 4e4) * 1.03, rel=0.02)
    assert found.paths["b", "a"].seconds[0].p50 < found.paths["b", "a"].seconds[0].p90
    assert found.paths["a", "b"].measured
    assert not found.paths["a", "c"].measured
    # what came later isn't known at that time
    archive.add(replace(one, id=f"later-{one.id}", started=one.started + 20 * DAY) for one in got)
    again, _ = moving.known(archive, 3, UNTIL)
    assert moving.moves(again, tests, sites, tuple("abc"), (10**12, 10**14), UNTIL) == found
    engine.dispose()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 40), st.integers(0, 40))
def test_what_lies_between_two_times(values: list[float], begin: int, end: int) -> None:
    times = np.arange(len(values), dtype=float)
    found = Sample(times, np.array(values), np.ones(len(values))).between(begin, max(begin, end))
    assert list(found.times) == [time for time in times if begin <= time < max(begin, end)]
    assert found.packets is not None
    assert len(found.packets) == len(found.values) == len(found)
