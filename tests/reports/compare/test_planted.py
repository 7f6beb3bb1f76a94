"""Faults are named, and clean meshes are left in peace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement
from reports.compare.expected import Wanted
from reports.compare.mesh import compare_mesh
from reports.compare.model import Cause, Comparison, Outcome, Report
from reports.compare.reading import read
from reports.compare.ways import Quantity
from tests.databases import with_tables
from tests.reports.compare.planted import CONDITIONS, SINCE, UNTIL, Condition, clean, conditions

KINDS = (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH)


def reported(
    found: Iterable[Measurement], folder: Path, quantities: tuple[Quantity, ...] = tuple(Quantity)
) -> Report:
    engine = with_tables(folder / "archive.db")
    Archive(engine).add(found)
    reading = read(engine, KINDS, SINCE, UNTIL)
    engine.dispose()
    return compare_mesh(reading, Wanted({}, {}), quantities, 0.10, 0.001)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Quantity, str, str], Comparison]:
    report = reported(conditions(), tmp_path_factory.mktemp("planted"))
    return {(one.quantity, one.source, one.destination): one for one in report.comparisons}


@pytest.mark.parametrize(
    "condition", CONDITIONS, ids=lambda one: f"{one.source} {one.destination} {one.quantity}"
)
def test_each_condition_is_named(
    planted: dict[tuple[Quantity, str, str], Comparison], condition: Condition
) -> None:
    found = planted[condition.quantity, condition.source, condition.destination]
    assert (found.outcome, found.causes) == (condition.outcome, condition.causes), found.words


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
