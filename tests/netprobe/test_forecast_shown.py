"""A path whose tests were all held down: what is shown says which rate is theirs, and which of transfers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.cli import main
from federation.clock import SystemClock
from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.forecast import Forecast, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from reports.path_history import rendered
from tests.databases import with_tables
from tests.reports.pages.serving import serving, signed_in

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SITES = {key: Site(key, key.title(), Place(0.0, 10.0 * n)) for n, key in enumerate("ab")}
CATALOGUE = """
name = "test"
[sites.a]
name = "Alpha"
latitude = 0.0
longitude = 0.0
[sites.b]
name = "Beta"
latitude = 0.0
longitude = 10.0
"""


def held_down(now: datetime, source: str = "a", destination: str = "b") -> list[Measurement]:
    """Tests with a window of 64 KiB over 100 ms, which give 5.24 Mbit/s."""
    figures = {"bits_per_second": 65536 * 8 / 0.1, "rtt_seconds_min": 0.1, "mss_bytes": 1448.0}
    told = {"duration": "10 s", "omit": "5 s", "window": "64 KiB"}
    return [
        Measurement(
            Kind.THROUGHPUT,
            source,
            destination,
            now - timedelta(minutes=10 * n),
            10.0,
            "iperf3",
            Origin.SCRIPTED,
            figures,
            told,
        )
        for n in range(1, 4)
    ]


def said(tests: list[Measurement]) -> Forecast:
    return forecast_from(History.of(tests), Federation("test", SITES), "a", "b", NOW)


def test_the_picture_has_both_and_names_them() -> None:
    tests = held_down(NOW)
    held = rendered(tests, said(tests), ("Alpha", "Beta"), NOW, "svg").decode()
    assert "next test, 80 %" in held
    assert "transfers, 80 %" in held
    free = [
        Measurement(
            one.kind, "a", "b", one.started, 10.0, "iperf3", Origin.SCRIPTED, one.figures, {"omit": "5 s"}
        )
        for one in tests
    ]
    plain = rendered(free, said(free), ("Alpha", "Beta"), NOW, "svg").decode()
    assert "forecast, 80 %" in plain
    assert "transfers, 80 %" not in plain


def test_the_command_has_both_and_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    engine = with_tables(tmp_path / "archive.db")
    Archive(engine).add(held_down(SystemClock().now()))
    engine.dispose()
    where = ["--catalogue", str(catalogue), "--database", f"sqlite:///{tmp_path / 'archive.db'}"]
    with pytest.raises(SystemExit) as leaving:
        main(["probe", "forecast", "a", "b", "--size", "1GB", *where])
    assert not leaving.value.code
    shown = capsys.readouterr().out
    rates = {
        name: re.search(rf"│ {name} +│ +\S+ \S+ │ +(\S+ Mbit/s)", shown)
        for name in ("throughput of tests", "of transfers")
    }
    tests, transfers = (found and found[1] for found in rates.values())
    assert tests == "5.24 Mbit/s"
    assert transfers not in (None, tests)


def test_the_page_has_both_and_names_them(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        Archive(client.engine).add(held_down(client.clock.now(), "beta", "gamma"))
        signed_in(client)
        page = client.get("/pages/paths/beta/gamma").text
        plain = client.get("/pages/paths/alpha/beta").text
    moving = re.search(r"one stream that moves data will carry</dt><dd>(\S+ \S+)", page)
    assert moving
    assert moving[1] != "5.24 Mbit/s"
    assert re.search(r"held down as all were, will give</dt><dd>5.24 Mbit/s", page)
    assert "one stream will carry" in plain
    assert "held down" not in plain
