"""One path's history as a picture, its forecast and the federation's distances on the command line."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from fairlead.cli import main
from federation.clock import SystemClock
from federation.errors import OutsideError
from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from reports.path_history import draw_path
from tests.databases import with_tables

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FEDERATION = Federation("test", {key: Site(key, key.title(), Place(0.0, n)) for n, key in enumerate("abc")})
CATALOGUE = """
name = "test"
[sites.a]
name = "Alpha"
latitude = 0.0
longitude = 0.0
rses = ["ALPHA"]
[sites.b]
name = "Beta"
latitude = 0.0
longitude = 10.0
rses = ["BETA"]
"""


def history(newest: datetime) -> list[Measurement]:
    """Forty tests at 100 Mbit/s, eight at 50, the newest an hour old; one of them failed."""
    drawn = random.Random(1)
    found = []
    for hours in range(48, 0, -1):
        rate = (1e8 if hours > 8 else 5e7) * math.exp(drawn.gauss(0, 0.05))
        error = "destination b: refused" if hours == 20 else None
        figures = {} if error else {"bits_per_second": rate}
        started = newest - timedelta(hours=hours)
        found.append(
            Measurement(
                Kind.THROUGHPUT,
                "a",
                "b",
                started,
                5.0,
                "iperf3",
                Origin.SCRIPTED,
                figures,
                {"omit": 5},
                error=error,
            )
        )
    return found


def forecast(found: list[Measurement]) -> Forecast:
    return forecast_from(History.of(found), FEDERATION, "a", "b", NOW)


def colours(path: Path) -> set[tuple[int, ...]]:
    pixels = (imread(path)[:, :, :3] * 255).round().astype(int)
    return set(map(tuple, np.unique(pixels.reshape(-1, 3), axis=0).tolist()))


def test_the_picture_shows_tests_failures_the_change_and_the_forecast(tmp_path: Path) -> None:
    found = history(NOW)
    draw_path(found, forecast(found), ("Alpha", "Beta"), tmp_path / "path.png", NOW)
    tests, old, ahead, failed = (0x2A, 0x6F, 0x97), (0xA9, 0xB4, 0xBD), (0xE0, 0x7A, 0x1F), (0xB3, 0x26, 0x1E)
    assert {tests, old, ahead, failed} <= colours(tmp_path / "path.png")


def test_a_path_without_tests_has_a_picture_of_its_forecast(tmp_path: Path) -> None:
    draw_path([], forecast([]), ("Alpha", "Beta"), tmp_path / "path.png", NOW)
    shown = colours(tmp_path / "path.png")
    assert (0xE0, 0x7A, 0x1F) in shown
    assert (0x2A, 0x6F, 0x97) not in shown


def test_a_picture_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="it can't be written"):
        draw_path([], forecast([]), ("Alpha", "Beta"), tmp_path / "nowhere" / "path.png", NOW)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    engine = with_tables(tmp_path / "archive.db")
    Archive(engine).add(history(SystemClock().now()))
    engine.dispose()
    return ["--catalogue", str(catalogue), "--database", url]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["probe", *arguments])
    return int(leaving.value.code or 0)


def test_the_forecast_command_says_why_and_draws(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "path.png"
    assert (
        run("forecast", "a", "b", "--size", "25GB", "--files", "400", "--png", str(picture), *arguments) == 0
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "in 8 cases of 10" in shown
    assert "the rate changed 8 h ago, older tests are left out" in shown
    assert "past forecasts" in shown
    assert picture.stat().st_size > 1000
    assert run("forecast", "a", "b", "--json", *arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert datetime.fromisoformat(document["changed"]) < SystemClock().now()
    assert document["forecaster"]


def test_the_distances_command_in_every_format(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("distances", *arguments) == 0
    assert "?" in capsys.readouterr().out  # the other direction wasn't measured
    assert run("distances", "--format", "json", *arguments) == 0
    there, back = json.loads(capsys.readouterr().out)
    assert (there["source"], there["evidence"]) == ("a", "measured")
    assert back["evidence"] == "other-direction"
    assert back["distance"] > there["distance"] > 1000
    assert run("distances", "--format", "rucio", "--size", "1GB", *arguments) == 0
    small, _ = json.loads(capsys.readouterr().out)
    assert (small["source"], small["destination"]) == ("ALPHA", "BETA")
    assert small["distance"] < there["distance"]
    assert run("distances", "--format", "fts", *arguments) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == []
    assert "`data_hosts`" in told.err


def test_distances_for_nothing_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("distances", "--size", "0 MB", *arguments) == 2
    assert "expected more than nothing" in capsys.readouterr().err
