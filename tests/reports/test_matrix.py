"""The measured mesh: as figures, as a picture, and on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from fairlead.cli import main
from federation.errors import OutsideError
from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from reports.heatmap import draw
from reports.matrix import State, matrix
from tests.databases import with_tables

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FEDERATION = Federation("mesh", {key: Site(key, key.title(), Place(0.0, n)) for n, key in enumerate("abc")})


def measured(
    source: str, destination: str, value: float | None, kind: Kind, minutes: float = 5
) -> Measurement:
    name, tool = ("bits_per_second", "iperf3") if kind is Kind.THROUGHPUT else ("rtt_seconds", "ping")
    return Measurement(
        kind=kind,
        source=source,
        destination=destination,
        started=NOW - timedelta(minutes=minutes),
        seconds=3.0,
        tool=tool,
        origin=Origin.SCRIPTED,
        figures={} if value is None else {name: value},
        error="destination b: refused" if value is None else None,
    )


def some() -> list[Measurement]:
    return [
        measured("a", "b", 90e6, Kind.THROUGHPUT, 5),
        measured("a", "b", 92e6, Kind.THROUGHPUT, 6),
        measured("a", "b", None, Kind.THROUGHPUT, 7),
        measured("b", "a", None, Kind.THROUGHPUT, 5),
        measured("a", "c", 400e6, Kind.THROUGHPUT, 5),
        measured("a", "b", 0.15, Kind.LATENCY, 9),
    ]


def test_every_cell_says_what_there_is() -> None:
    found = matrix(History.of(some()), FEDERATION, NOW)
    good, failed = found.throughput["a", "b"], found.throughput["b", "a"]
    assert good.state is State.MEASURED
    assert good.value == pytest.approx(91e6, rel=0.01)
    assert (good.tests, good.failed) == (3, 1)
    assert good.newest_age_seconds == pytest.approx(300)
    assert good.error is None
    assert failed.state is State.FAILED
    assert failed.value is None
    assert failed.error == "destination b: refused"
    assert found.throughput["c", "b"].state is State.MISSING
    assert found.throughput["a", "a"].state is State.SELF
    assert found.round_trip["a", "b"].value == pytest.approx(0.15)
    assert found.round_trip["b", "a"].state is State.MISSING


def test_rows_send_and_columns_receive() -> None:
    found = matrix(History.of(some()), FEDERATION, NOW)
    values = found.values(found.throughput)
    assert values.loc["a", "c"] == pytest.approx(400e6)
    assert np.isnan(values.loc["c", "a"])
    assert len(found.frame()) == 6


@pytest.mark.parametrize("measurements", [[], some(), some()[:1]], ids=["nothing", "some", "one"])
def test_the_picture_is_drawn_whatever_there_is(measurements: list[Measurement], tmp_path: Path) -> None:
    path = tmp_path / "mesh.png"
    draw(matrix(History.of(measurements), FEDERATION, NOW), path, NOW)
    picture = imread(path)
    assert picture.shape[1] > picture.shape[0] > 500
    assert picture[..., :3].std() > 0.02


@pytest.mark.parametrize("count", [12, 60])
def test_a_large_mesh_is_a_picture_that_can_be_looked_at(count: int, tmp_path: Path) -> None:
    names = [f"site-{number}" for number in range(count)]
    sites = Federation("large", {name: Site(name, name, Place(0.0, n)) for n, name in enumerate(names)})
    tests = [
        measured(one, two, 1e9 * (1 + n), Kind.THROUGHPUT)
        for n, one in enumerate(names)
        for two in names
        if one != two
    ]
    path = tmp_path / "large.png"
    draw(matrix(History.of(tests), sites, NOW), path, NOW)
    height, width = imread(path).shape[:2]
    assert 1000 < height < width < 5000


def test_a_failed_cell_looks_otherwise_than_an_untested_one(tmp_path: Path) -> None:
    pictures = []
    for number, measurements in enumerate((some(), [one for one in some() if one.source != "b"])):
        path = tmp_path / f"{number}.png"
        draw(matrix(History.of(measurements), FEDERATION, NOW), path, NOW)
        pictures.append(imread(path))
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="can't be written"):
        draw(matrix(History.of([]), FEDERATION, NOW), tmp_path / "none" / "mesh.png", NOW)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The options that name a catalogue of three sites and an archive that holds `some()`."""
    lines = [
        f'[sites.{key}]\nname = "{key}"\nlatitude = 1.0\nlongitude = {n}.0\n' for n, key in enumerate("abc")
    ]
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text('name = "mesh"\n' + "\n".join(lines))
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    engine = with_tables(tmp_path / "archive.db")
    Archive(engine).add(some())
    engine.dispose()
    return ["--catalogue", str(catalogue), "--database", url]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["probe", *arguments])
    return int(leaving.value.code or 0)


def test_the_matrix_command(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("matrix", *arguments, "--png", str(tmp_path / "mesh.png"), "--json") == 0
    rows = {(row["source"], row["destination"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows["a", "c"]["bits_per_second"] == pytest.approx(400e6)
    assert rows["b", "a"]["bits_per_second"] is None
    assert rows["b", "a"]["throughput_error"] == "destination b: refused"
    assert (tmp_path / "mesh.png").stat().st_size > 1000
    assert run("matrix", *arguments) == 0
    shown = capsys.readouterr().out
    assert "400 Mbit/s" in shown
    assert "failed" in shown


def test_the_matrix_of_an_empty_archive_is_a_no(arguments: list[str], tmp_path: Path) -> None:
    assert run("matrix", *arguments[:2], "--database", f"sqlite:///{tmp_path / 'empty.db'}") == 1


def test_the_forecast_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("forecast", "a", "b", "--size", "25GB", "--files", "400", *arguments, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rung"] == "measured"
    assert document["size_bytes"] == 25_000_000_000
    assert document["seconds"]["p10"] < document["seconds"]["p50"] < document["seconds"]["p90"]
    assert run("forecast", "b", "a", *arguments) == 0
    assert "other-direction" in capsys.readouterr().out


def test_an_unknown_site_is_one_clear_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("forecast", "a", "atlantis", *arguments) == 2
    assert "no site is called 'atlantis' in 'mesh': expected one of a, b, c" in capsys.readouterr().err
