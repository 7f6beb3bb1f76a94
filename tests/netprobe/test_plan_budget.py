"""Budgets: what a test will cost, what has been moved, and where there is no room for another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from federation.hosts import LocalHost
from netprobe.budget import Budget, Ledger, moved, read_budget
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tools import Endpoint, Test, load_tool

IPERF3, PING = load_tool("iperf3"), load_tool("ping")


def between(source: str, destination: str, **parameters: object) -> Test:
    ends = [Endpoint(site, LocalHost(), "192.0.2.1") for site in (source, destination)]
    return Test(ends[0], ends[1], parameters)


def measured(source: str, destination: str, rate: float, archive: str | None = None) -> Measurement:
    figures = {"bits_per_second": rate} if rate else {}
    return Measurement(
        kind=Kind.THROUGHPUT,
        source=source,
        destination=destination,
        started=datetime(2026, 11, 26, tzinfo=UTC),
        seconds=10.4,
        tool="iperf3",
        origin=Origin.SCRIPTED,
        figures=figures,
        parameters={"duration": "10 s"},
        error=None if rate else "refused",
        archive=archive,
    )


@pytest.mark.parametrize(
    ("parameters", "size_bytes"),
    [
        ({"duration": "10 s"}, 1e8),
        ({"duration": 10, "omit": 2}, 1.2e8),
        ({}, 5e7),
        ({"duration": 10, "bitrate": "8 Mbit/s"}, 1e7),
    ],
)
def test_a_test_costs_its_length_at_the_rate_last_measured(
    parameters: dict[str, object], size_bytes: float
) -> None:
    newest = History.of([measured("a", "b", 80e6), measured("a", "b", 0.0)])
    ledger = Ledger.of([], History({}), newest)
    assert ledger.cost(IPERF3, between("a", "b", **parameters)) == pytest.approx(size_bytes)
    assert ledger.cost(PING, between("a", "b")) == 0


def test_bytes_a_day_per_path() -> None:
    ledger = Ledger.of(
        [Budget("path", bytes_per_day=3.5e8)],
        # a failed test moved nobody knows how much; a pulled one is not ours
        History.of([measured("a", "b", 80e6), measured("a", "b", 0), measured("a", "b", 8e9, archive="x")]),
        History.of([measured("a", "b", 80e6)]),
    )
    test = between("a", "b", duration=10)
    assert [ledger.take(IPERF3, test) for _ in range(3)] == [True, True, False]
    assert ledger.take(PING, test)
    assert ledger.take(IPERF3, between("a", "b", duration=5))
    # never measured: at the assumed 1 Gbit/s, a second is 125 MB
    assert ledger.take(IPERF3, between("b", "a", duration=2))
    assert not ledger.take(IPERF3, between("b", "a", duration=1))


def test_a_share_of_a_sites_link_counts_both_directions() -> None:
    # the fastest path is the link: 0.001 of 80 Mbit/s in 24 h are 864 MB
    newest = History.of([measured("a", "b", 80e6), measured("c", "a", 40e6)])
    ledger = Ledger.of([Budget("site", share=0.001)], History({}), newest)
    tests = [between("a", "b", duration=40), between("c", "a", duration=80)]
    assert [ledger.take(IPERF3, test) for test in tests] == [True, True]
    assert not ledger.take(IPERF3, between("a", "b", duration=10))


def test_what_was_moved_is_what_was_sent() -> None:
    udp = measured("a", "b", 8e6)
    assert moved(udp) == 1e7
    sent = {"bits_per_second": 8e6, "sent_bits_per_second": 16e6}
    result = Measurement(
        Kind.THROUGHPUT, "a", "b", udp.started, 1, "iperf3", Origin.SCRIPTED, sent, {"bitrate": "8 Mbit/s"}
    )
    assert moved(result) == 1e7


def test_a_budget_reads_sizes_with_units() -> None:
    budget = read_budget({"bytes_per_day": "2 GB", "assumed_rate": "100 Mbit/s"}, "plan")
    assert (budget.per, budget.bytes_per_day, budget.assumed_rate) == ("path", 2e9, 1e8)
