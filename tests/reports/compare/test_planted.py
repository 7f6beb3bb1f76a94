"""Faults are named, and clean meshes are left in peace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement
from reports.compare.expected import Wanted
from reports.compare.mesh import compare_mesh
from reports.compare.model import Cause, Comparison, Outcome, Report
from reports.compare.reading import read
from reports.compare.ways import Quantity
from tests.reports.compare.planted import SINCE, UNTIL, clean, conditions

KINDS = (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH)


def reported(
    found: Iterable[Measurement], folder: Path, quantities: tuple[Quantity, ...] = tuple(Quantity)
) -> Report:
    engine = connect(f"sqlite:///{folder / 'archive.db'}")
    upgrade(engine)
    Archive(engine).add(found)
    reading = read(engine, KINDS, SINCE, UNTIL)
    engine.dispose()
    return compare_mesh(reading, Wanted({}, {}), quantities, 0.10, 0.001)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Quantity, str, str], Comparison]:
    report = reported(conditions(), tmp_path_factory.mktemp("planted"))
    return {(one.quantity, one.source, one.destination): one for one in report.comparisons}


# path, quantity, verdict, and what is found, the first the reason of a disagreement
TABLE = [
    ("clean-a", "clean-b", Quantity.THROUGHPUT, Outcome.AGREE, []),
    ("clean-a", "clean-b", Quantity.LATENCY, Outcome.AGREE, []),
    ("clean-a", "clean-b", Quantity.LOSS, Outcome.AGREE, []),
    ("busy-day-a", "busy-day-b", Quantity.THROUGHPUT, Outcome.AGREE, []),
    ("window-a", "window-b", Quantity.THROUGHPUT, Outcome.DISAGREE, [Cause.WINDOW]),
    ("cpu-a", "cpu-b", Quantity.THROUGHPUT, Outcome.DISAGREE, [Cause.CPU]),
    ("loss-a", "loss-b", Quantity.THROUGHPUT, Outcome.DISAGREE, [Cause.LOSS]),
    ("shaped-a", "shaped-b", Quantity.THROUGHPUT, Outcome.DISAGREE, [Cause.SHAPED]),
    ("host-a", "host-b", Quantity.THROUGHPUT, Outcome.DISAGREE, [Cause.BUSY]),
    ("slow-a", "slow-b", Quantity.THROUGHPUT, Outcome.AGREE, [Cause.SLOW_START]),
    ("one-way-a", "one-way-b", Quantity.THROUGHPUT, Outcome.AGREE, [Cause.ONE_DIRECTION]),
    ("one-way-b", "one-way-a", Quantity.THROUGHPUT, Outcome.AGREE, []),
    ("route-a", "route-b", Quantity.THROUGHPUT, Outcome.AGREE, [Cause.ROUTE]),
    ("clock-a", "clock-b", Quantity.LATENCY, Outcome.AGREE, [Cause.CLOCK]),
    ("mtu-a", "mtu-b", Quantity.THROUGHPUT, Outcome.DISAGREE, [Cause.MTU]),
    ("odd-a", "odd-b", Quantity.THROUGHPUT, Outcome.DISAGREE, []),
    ("hub", "leaf-p", Quantity.THROUGHPUT, Outcome.AGREE, [Cause.SITE_WIDE]),
    ("hub", "leaf-u", Quantity.THROUGHPUT, Outcome.AGREE, [Cause.SITE_WIDE]),
]


@pytest.mark.parametrize(("source", "destination", "quantity", "outcome", "causes"), TABLE)
def test_each_condition_is_named(
    planted: dict[tuple[Quantity, str, str], Comparison],
    source: str,
    destination: str,
    quantity: Quantity,
    outcome: Outcome,
    causes: list[Cause],
) -> None:
    found = planted[quantity, source, destination]
    assert (found.outcome, list(found.causes)) == (outcome, causes), found.words


def test_what_is_unexplained_says_so_and_what_to_try(
    planted: dict[tuple[Quantity, str, str], Comparison],
) -> None:
    found = planted[Quantity.THROUGHPUT, "odd-a", "odd-b"]
    assert "unexplained; try next: " in found.words
    assert any("loss" in one for one in found.next_steps)


def test_clean_meshes_raise_no_false_alarm(tmp_path: Path) -> None:
    """Four meshes of twenty paths here; `python -m benchmarks.report --clean 50` counts fifty."""
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = reported(clean(seed), folder, (Quantity.THROUGHPUT,))
        assert len(report.comparisons) == 20
        assert report.count(Outcome.DISAGREE) == 0
        # asymmetry is planted there, by levels of their own
        assert {cause for one in report.comparisons for cause in one.causes} <= {Cause.ONE_DIRECTION}
        assert report.count(Outcome.AGREE) >= 18
