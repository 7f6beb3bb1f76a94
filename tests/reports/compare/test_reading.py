"""What is read of the archive: the same of both databases, whatever the kind of row."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from reports.compare import reading as reading_module
from reports.compare.expected import Wanted
from reports.compare.mesh import compare_mesh
from reports.compare.model import Comparison, Likeness, Outcome
from reports.compare.reading import read
from reports.compare.ways import Quantity, Side
from tests.reports.compare.planted import SINCE, UNTIL, Planter


def _loss(origin: Origin, hours: float, lost: int, path: tuple[str, str] = ("a", "b")) -> Measurement:
    figures = {"packets_sent": 600.0, "packets_lost": float(lost), "loss_ratio": lost / 600}
    started = SINCE + timedelta(hours=hours)
    return Measurement(Kind.LOSS, *path, started, 60.0, "powstream", origin, figures, {"test": "loss"})


def _compared(engine: sa.Engine, found: list[Measurement]) -> dict[tuple[Quantity, str, str], Comparison]:
    Archive(engine).add(found)
    reading = read(engine, (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH), SINCE, UNTIL)
    report = compare_mesh(reading, Wanted({}, {}), tuple(Quantity), 0.10, 0.001)
    return {(one.quantity, one.source, one.destination): one for one in report.comparisons}


def test_both_databases_give_what_was_put_in(engine: sa.Engine) -> None:
    rows = list(Planter(1, days=3).rates("a", "b", 9e9, 5e9, figures={"cpu_percent_source": 40.0}))
    failed = replace(rows[3], id="failed", error="destination: refused", figures={})
    Archive(engine).add([*rows, failed])
    found = read(engine, (Kind.THROUGHPUT,), SINCE, UNTIL)
    observed = found.path(Kind.THROUGHPUT, "a", "b")
    assert found.rows == len(rows) + 1
    for side, origin in ((Side.SCRIPTED, Origin.SCRIPTED), (Side.MESH, Origin.PERFSONAR)):
        of_side = sorted((row for row in rows if row.origin is origin), key=lambda row: row.started)
        got = observed.of(side)
        assert got["started"].tolist() == [row.started.timestamp() for row in of_side]
        for name in ("bits_per_second", "sent_bits_per_second", "mss_bytes", "cpu_percent_source"):
            expected = [row.figures.get(name, math.nan) for row in of_side]
            assert np.array_equal(got[name], expected, equal_nan=True)
        assert {way.duration_seconds for way in got.ways} == {20.0}
    failures = observed.failed(Side.SCRIPTED)
    assert failures.times.tolist() == [rows[3].started.timestamp()]
    assert failures.last == "destination: refused"


def test_a_large_mesh_is_read_in_parts_that_make_the_same_whole(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"site-{number}" for number in range(5)]
    pairs = [(one, two) for one in names for two in names if one != two]
    Archive(engine).add(row for pair in pairs for row in Planter(3, days=1).rates(*pair, 9e9, 8e9))
    whole = read(engine, (Kind.THROUGHPUT,), SINCE, UNTIL)
    monkeypatch.setattr(reading_module, "_FEW_SOURCES", 2)
    monkeypatch.setattr(reading_module, "_BATCH", 3)
    parts = read(engine, (Kind.THROUGHPUT,), SINCE, UNTIL)
    assert whole.rows == parts.rows
    assert whole.kinds[Kind.THROUGHPUT].keys() == parts.kinds[Kind.THROUGHPUT].keys() == set(pairs)
    for pair in pairs:
        for side in Side:
            one, two = (found.path(Kind.THROUGHPUT, *pair).of(side) for found in (whole, parts))
            assert np.array_equal(one.values, two.values, equal_nan=True)
            assert one.ways == two.ways


def test_tests_beside_others_are_counted(engine: sa.Engine) -> None:
    first = next(Planter(1).rates("a", "b", 9e9, None))
    meanwhile = replace(first, id="2", source="c", started=first.started + timedelta(seconds=10))
    same_pair = replace(first, id="3", source="b", destination="a")
    elsewhere = replace(first, id="4", source="d", destination="e")
    later = replace(first, id="5", source="c", started=first.started + timedelta(seconds=40))
    Archive(engine).add([first, meanwhile, same_pair, elsewhere, later])
    found = read(engine, (Kind.THROUGHPUT,), SINCE, UNTIL)
    beside = {
        pair: observed.of(Side.SCRIPTED)["overlapped"].tolist()
        for pair, observed in found.kinds[Kind.THROUGHPUT].items()
    }
    # one that shares both ends counts once
    assert beside == {("a", "b"): [2.0], ("b", "a"): [2.0], ("c", "b"): [2.0, 0.0], ("d", "e"): [0.0]}


def test_rows_of_losses_alone_are_compared(engine: sa.Engine) -> None:
    rows = [
        _loss(origin, hours + shift, lost % 2, path)
        for path in (("a", "b"), ("b", "a"))
        for origin, shift in ((Origin.SCRIPTED, 0.0), (Origin.PERFSONAR, 0.2))
        for lost, hours in enumerate(range(0, 700, 6))
    ]
    found = _compared(engine, rows)
    # of both directions together, for there is no round trip
    assert found.keys() == {(Quantity.LOSS, "a", "b"), (Quantity.LOSS, "b", "a")}
    one = found[Quantity.LOSS, "a", "b"]
    assert one.outcome is Outcome.AGREE
    assert one.scripted is not None
    assert one.scripted.values.max() == pytest.approx(1 - (1 - 1 / 600) ** 2)


def test_losses_of_one_direction_are_no_round_trip(engine: sa.Engine) -> None:
    made = Planter(2)
    pings = [row for row in made.latency("a", "b", loss=0.01) if row.origin is Origin.SCRIPTED]
    found = _compared(engine, [*pings, *(_loss(Origin.PERFSONAR, hours, 6) for hours in range(0, 700, 6))])
    one = found[Quantity.LOSS, "a", "b"]
    (trait,) = (trait for trait in one.traits if trait.name == "of")
    assert (trait.scripted, trait.mesh, trait.likeness) == ("round trip", "one way", Likeness.DIFFERS)
    # latency, and losses that only its tests tell, stay as they are
    assert found[Quantity.LATENCY, "a", "b"].outcome is Outcome.ONE_SIDE


def test_lost_packets_that_only_tests_of_loss_count_explain_a_rate(engine: sa.Engine) -> None:
    rates = Planter(3).rates("a", "b", 9e6, 4e9, spread=0.1, context={"sender_congestion": "cubic"})
    lost = (_loss(Origin.PERFSONAR, hours, 1 if hours % 12 else 0) for hours in range(0, 700, 6))
    found = _compared(engine, [*rates, *lost])
    assert "loss-limited" in found[Quantity.THROUGHPUT, "a", "b"].words
