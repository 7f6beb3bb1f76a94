"""`import fairlead` and `fairlead.open`: quick; a database or a file, at a time; mistakes are one line."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fairlead
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.errors import FairleadError, InputError
from netprobe.archive import Archive
from netprobe.exchange import export, read
from netprobe.recorded import load_recorded, recorded
from tests.notebooks.conftest import DATA

CATALOGUE = DATA / "sites.toml"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The measurements that the product has with it, in a database."""
    file = tmp_path / "lab.db"
    engine = connect(f"sqlite:///{file}")
    upgrade(engine)
    load_recorded(Archive(engine), SystemClock().now())
    engine.dispose()
    return file


def test_importing_fairlead_imports_nothing_else() -> None:
    heavy = ("pandas", "numpy", "sqlalchemy", "typer", "netprobe", "federation", "fairlead.api")
    code = f"import sys, fairlead; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_not_there_is_an_attribute_error() -> None:
    assert {"open", "Fairlead"} <= set(dir(fairlead))
    with pytest.raises(AttributeError, match="nothing_of_this"):
        _ = fairlead.nothing_of_this


@pytest.mark.parametrize("form", ["path", "text", "url"])
def test_a_database_by_path_or_url(database: Path, form: str) -> None:
    forms: dict[str, str | Path] = {"path": database, "text": str(database), "url": f"sqlite:///{database}"}
    with fairlead.open(forms[form], catalogue=CATALOGUE) as opened:
        assert len(opened.measurements("throughput")) == sum(one.kind == "throughput" for one in recorded())


def test_both_databases_say_the_same(database_url: str) -> None:
    engine = connect(database_url)
    upgrade(engine)
    Archive(engine).add(read(DATA / "week.parquet"))
    engine.dispose()
    asked: dict[str, Any] = {"catalogue": CATALOGUE, "at": "2026-01-07"}
    with fairlead.open(database_url, **asked) as ours, fairlead.open(DATA / "week.parquet", **asked) as file:
        pd.testing.assert_frame_equal(ours.measurements("latency"), file.measurements("latency"))
        pd.testing.assert_frame_equal(ours.forecast(), file.forecast())
        mesh: dict[str, Any] = {"template": DATA / "mesh.json", "since": "1d"}
        pd.testing.assert_frame_equal(ours.coverage(**mesh), file.coverage(**mesh))


def test_the_settings_name_the_database_where_nothing_else_does(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", f"sqlite:///{database}")
    monkeypatch.setenv("FAIRLEAD_CATALOGUE", str(CATALOGUE))
    with fairlead.open() as opened:
        assert len(opened.measurements("throughput")) > 0
        assert list(opened.federation.sites) == ["perth", "manchester", "lausanne", "penticton"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_file_says_what_its_database_says(database: Path, tmp_path: Path, suffix: str) -> None:
    engine = connect(f"sqlite:///{database}")
    file = tmp_path / f"measurements{suffix}"
    export(Archive(engine).all(), file, SystemClock().now())
    engine.dispose()
    with fairlead.open(file) as of_file, fairlead.open(database) as of_database:
        for kind in ("throughput", "latency", "transfer"):
            pd.testing.assert_frame_equal(of_file.measurements(kind), of_database.measurements(kind))


def test_the_copy_of_a_file_goes_when_it_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with fairlead.open(DATA / "week.parquet") as opened:
        assert list(tmp_path.iterdir())
        assert len(opened.measurements()) > 0
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_wrong_leaves_no_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet at all")
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    with pytest.raises(InputError, match="expected Parquet"):
        fairlead.open(broken)
    assert not list(copies.iterdir())


def test_at_is_an_instant(tmp_path: Path) -> None:
    week = DATA / "week.parquet"
    with fairlead.open(week, at=datetime(2026, 1, 7, tzinfo=UTC)) as then, fairlead.open(week) as now:
        assert then.now == datetime(2026, 1, 7, tzinfo=UTC)
        seen, whole = then.measurements(), now.measurements()
        assert seen["started"].max() < pd.Timestamp("2026-01-07", tz="UTC") < whole["started"].max()
        pd.testing.assert_frame_equal(seen[["started"]], whole[["started"]].iloc[: len(seen)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"measurements": "nowhere.db"}, "nowhere.db: no such file"),
        ({"measurements": "mysql://host/name"}, "database URL: expected"),
        ({"measurements": str(DATA / "sites.toml")}, "file is not a database"),
        ({"measurements": str(DATA / "week.parquet"), "at": "yesterday"}, "at: expected"),
        ({"measurements": str(DATA / "week.parquet"), "catalogue": "nowhere.toml"}, "nowhere.toml"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(FairleadError, match=said) as failed:
        fairlead.open(**arguments)
    assert "\n" not in str(failed.value)


def test_without_sites_what_needs_none_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("FAIRLEAD_CATALOGUE", raising=False)
    with fairlead.open(DATA / "week.parquet") as opened:
        assert len(opened.measurements()) > 0
        for asked in (opened.paths, opened.forecast, opened.backtest, lambda: opened.space):
            with pytest.raises(InputError, match="no sites are known: expected"):
                asked()
