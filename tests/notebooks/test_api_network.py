"""What the API says of the network is what the wings say, and of the past what was known then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead
from fairlead.cli import main
from federation.catalogue import load_federation
from federation.clock import ManualClock, SystemClock
from federation.database import connect, upgrade
from federation.errors import InputError
from netprobe.archive import Archive
from netprobe.cost import seconds_for
from netprobe.exchange import export, read
from netprobe.forecast import Forecaster
from netprobe.measurement import Kind, Measurement, Origin
from reports.matrix import matrix
from tests.notebooks.conftest import DATA

SITES = ("perth", "manchester", "lausanne", "penticton")
MIDDLE = datetime(2026, 1, 8, 12, tzinfo=UTC)
# more than a hundred tests of each path, and some that failed
LATE = datetime(2026, 1, 11, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    return list(read(DATA / "week.parquet"))


def test_a_measurement_is_a_row(week: fairlead.Fairlead, rows: list[Measurement]) -> None:
    found = week.measurements("throughput")
    assert len(found) == sum(one.kind is Kind.THROUGHPUT for one in rows)
    assert found["started"].is_monotonic_increasing
    assert str(found["started"].dt.tz) == "UTC"
    some = next(one for one in rows if one.kind is Kind.THROUGHPUT and one.succeeded)
    same = (found["started"] == some.started) & (found["source"] == some.source)
    assert found.loc[same, "bits_per_second"].item() == some.figures["bits_per_second"]
    assert found.loc[same, "error"].isna().all()
    failed = [one for one in rows if one.kind is Kind.THROUGHPUT and not one.succeeded]
    assert found["error"].notna().sum() == len(failed) > 0


def test_measurements_of_a_path_and_a_time(week: fairlead.Fairlead) -> None:
    found = week.measurements("latency", since="2d", until="1d", source="perth", destination="lausanne")
    assert set(found["source"]) == {"perth"}
    assert set(found["destination"]) == {"lausanne"}
    # "1d" ago is where it ends, and "2d" are counted from there
    assert found["started"].min() >= pd.Timestamp("2026-01-09", tz="UTC")
    assert found["started"].max() < pd.Timestamp("2026-01-11", tz="UTC")
    assert found["rtt_seconds"].between(0.07, 0.15).all()


def test_what_was_never_measured_has_its_columns_all_the_same(week: fairlead.Fairlead) -> None:
    found = week.measurements("path")
    assert found.empty
    assert {"started", "source", "destination", "hops", "path_mtu_bytes", "error"} <= set(found.columns)
    assert str(found["started"].dt.tz) == "UTC"
    assert found["rtt_seconds"].dtype == float


def test_paths_are_those_of_the_matrix(week: fairlead.Fairlead) -> None:
    found = week.paths()
    assert len(found) == 12
    assert set(found["throughput_state"]) == {"measured"}
    slowest = found.loc[found["bits_per_second"].idxmin()]
    assert (slowest["source"], slowest["destination"]) != ("lausanne", "manchester")


def test_a_forecast_is_the_forecasters(rows: list[Measurement], tmp_path: Path) -> None:
    """A database that ends at that time says the same as the whole one, looked at then."""
    federation = load_federation(DATA / "sites.toml")
    engine = connect(f"sqlite:///{tmp_path / 'until.db'}")
    upgrade(engine)
    archive = Archive(engine)
    archive.add(one for one in rows if one.started < LATE)
    direct = Forecaster(archive, federation, ManualClock(LATE))
    with fairlead.open(DATA / "week.parquet", catalogue=DATA / "sites.toml", at=LATE) as then:
        found, mesh = then.forecast(size="5 GB", files=3), then.paths()
    pd.testing.assert_frame_equal(mesh, matrix(archive.history(), federation, LATE).frame())
    assert mesh["throughput_failed"].sum() > 0
    engine.dispose()
    assert len(found) == 12
    for one in found.itertuples():
        path = direct.path(one.source, one.destination)
        seconds = seconds_for(path, 5e9, 3)
        assert one.bits_per_second_p50 == pytest.approx(path.bits_per_second.p50)
        assert (one.seconds_p10, one.seconds_p50, one.seconds_p90) == pytest.approx(
            (seconds.p10, seconds.p50, seconds.p90)
        )
        assert one.explanation == path.explanation


def test_what_came_later_changes_no_backtest(rows: list[Measurement], tmp_path: Path) -> None:
    """Whatever follows: each row was forecast by what was before it."""
    cut = tmp_path / "cut.parquet"
    export((one for one in rows if one.started < MIDDLE), cut, MIDDLE)
    asked: dict[str, Any] = {"source": "perth", "destination": "lausanne", "first": 20, "every": 3}
    with (
        fairlead.open(DATA / "week.parquet", catalogue=DATA / "sites.toml") as whole,
        fairlead.open(cut, catalogue=DATA / "sites.toml") as part,
    ):
        for kind in ("throughput", "transfer"):
            early, late = part.backtest(kind, **asked), whole.backtest(kind, **asked)
            assert 0 < len(early) < len(late)
            pd.testing.assert_frame_equal(early, late.iloc[: len(early)])


def test_a_backtest_knows_what_was_before_and_not_the_test_itself(week: fairlead.Fairlead) -> None:
    found = week.backtest(source="penticton", destination="perth", first=5, until="2026-01-06")
    assert found["tests"].tolist() == list(range(5, 5 + len(found)))
    moved = week.backtest("transfer", source="penticton", destination="perth", first=5)
    # four rounds of two tests each before the first
    assert moved["tests"].tolist()[:3] == [8, 16, 24]


def test_a_backtest_says_what_was_inside(week: fairlead.Fairlead) -> None:
    found = week.backtest(source="manchester", every=4)
    low, high = found["forecast_bits_per_second_p10"], found["forecast_bits_per_second_p90"]
    came = found["sustained_bits_per_second"]
    assert (found["inside"] == came.between(low, high)).all()
    assert found["ratio"].to_numpy() == pytest.approx(
        (came / found["forecast_bits_per_second_p50"]).to_numpy()
    )
    later = week.backtest(source="manchester", every=4, since="3d")
    assert 0 < len(later) < len(found)


def test_a_short_test_is_held_against_its_forecast_after_slow_start(week: fairlead.Fairlead) -> None:
    """The mesh's tests of this path take a second, and count their beginning; the scripts' leave it out."""
    found = week.backtest(source="lausanne", destination="perth", every=5).set_index("origin")
    more = found["sustained_bits_per_second"] / found["bits_per_second"]
    assert (more["pscheduler"] > 1.02).all()
    assert more["pscheduler"].median() > 1.1
    assert more["scripted"].to_numpy() == pytest.approx(1)


def test_transfers_without_a_forecast_are_neither_inside_nor_outside(tmp_path: Path) -> None:
    one = Measurement(
        Kind.TRANSFER, "perth", "lausanne", MIDDLE, 4.0, "transfer", Origin.STAGING,
        {"size_bytes": 1e6, "files": 1.0, "seconds": 4.0, "bits_per_second": 2e6},
    )  # fmt: skip
    said = {"predicted_seconds": 3.0, "predicted_seconds_p10": 2.0, "predicted_seconds_p90": 5.0}
    two = Measurement(
        Kind.TRANSFER, "perth", "lausanne", MIDDLE + timedelta(hours=1), 4.0, "transfer", Origin.STAGING,
        {**one.figures, **said},
    )  # fmt: skip
    file = tmp_path / "two.csv"
    export([one, two], file, SystemClock().now())
    with fairlead.open(file) as opened:
        found = opened.transfers()
    assert found["inside"].isna().tolist() == [True, False]
    assert found["inside"].tolist()[1] is True
    assert found["ratio"].tolist()[1] == pytest.approx(4 / 3)


def test_coverage_tells_what_the_mesh_lacks(week: fairlead.Fairlead) -> None:
    found = week.coverage(DATA / "mesh.json", since="7d").set_index(["test", "source", "destination"])
    assert len(found) == 24
    states = found["state"]
    assert states["throughput", "perth", "lausanne"] == "ok"
    assert states["throughput", "manchester", "lausanne"] == "stale"
    assert states["rtt", "manchester", "lausanne"] == "stale"
    assert states["throughput", "penticton", "manchester"] == "failed"
    assert states["rtt", "penticton", "manchester"] == "ok"
    assert found["expected"].eq(84).all()


def test_a_comparison_is_the_reports(week: fairlead.Fairlead, tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'week.db'}")
    upgrade(engine)
    Archive(engine).add(read(DATA / "week.parquet"))
    engine.dispose()
    with pytest.raises(SystemExit):
        main(
            [
                "report", "compare", "--since", "7d", "--until", "2026-01-12", "--kinds", "throughput",
                "--format", "csv", "--out", str(tmp_path), "--database", f"sqlite:///{tmp_path / 'week.db'}",
                "--catalogue", str(DATA / "sites.toml"),
            ]
        )  # fmt: skip
    reported = pd.read_csv(tmp_path / "compare.csv")
    found = week.compare(since="7d", quantities="throughput")
    keys = ["source", "destination"]
    assert found[keys].to_numpy().tolist() == reported[keys].to_numpy().tolist()
    assert found["verdict"].tolist() == reported["verdict"].tolist()
    assert found["ratio"].to_numpy() == pytest.approx(reported["ratio"].to_numpy(), nan_ok=True)
    assert "agree" in found.attrs["headline"]


replicas = st.lists(st.sampled_from(SITES), min_size=1, max_size=4, unique=True)


@settings(max_examples=25)
@given(size=st.integers(10**6, 10**12), held=replicas, more=replicas, destination=st.sampled_from(SITES))
def test_one_more_replica_is_never_worse(
    week: fairlead.Fairlead, size: int, held: list[str], more: list[str], destination: str
) -> None:
    few = week.moves({"a": (size, held)}, destination)
    many = week.moves({"a": (size, [*held, *more])}, destination)
    assert many["seconds_p50"].item() <= few["seconds_p50"].item()


def test_sites_are_ranked_by_when_the_data_is_there(week: fairlead.Fairlead) -> None:
    files: dict[str, tuple[str | float, list[str]]] = {
        "cube": ("60 GB", ["perth", "lausanne"]),
        "calibration": (8e9, ["penticton"]),
    }
    found = week.rank(files)
    assert sorted(found["site"]) == sorted(SITES)
    assert found["seconds_p90"].is_monotonic_increasing
    by_site = found.set_index("site")
    assert by_site["moved_bytes"].to_dict() == {
        "perth": 8e9, "lausanne": 8e9, "penticton": 60e9, "manchester": 68e9
    }  # fmt: skip
    # the tariff of the catalogue: 0.02 for each GiB that comes to Perth
    assert by_site.loc["perth", "price"] == pytest.approx(0.02 * 8e9 / 2**30)
    assert week.rank(files, "perth")["site"].tolist() == ["perth"]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("measurements", {"kind": "speed"}, "kind: expected one of throughput, latency"),
    ("measurements", {"source": "pert"}, "source: expected one of lausanne, manchester"),
    ("backtest", {"destination": "pert"}, "destination: expected one of lausanne"),
    ("compare", {"sites": ["perth", "pert"]}, "sites: expected one of lausanne, .* got 'pert'"),
    ("measurements", {"since": "last week"}, "since: expected"),
    ("measurements", {"since": "2027-01-01"}, "since: expected a time before 2026-01-12"),
    ("forecast", {"source": "atlantis"}, "source: expected one of perth"),
    ("forecast", {"size": "much"}, "size: expected"),
    ("forecast", {"size": -1.0}, "size: expected bytes"),
    ("forecast", {"files": 0}, "files: expected at least 1"),
    ("backtest", {"kind": "latency"}, "kind: expected one of throughput, transfer"),
    ("backtest", {"first": 0}, "first, every: expected at least 1"),
    ("coverage", {"template": DATA / "nowhere.json"}, "nowhere.json"),
    ("compare", {"quantities": "speed"}, "quantities: expected some of throughput"),
    ("compare", {"margin": 10}, "margin: expected a share such as 0.1"),
    ("compare", {"sites": []}, "sites: expected one or several"),
    ("rank", {"files": {}}, "files: expected at least one"),
    ("rank", {"files": {"a": "perth"}}, r"files\['a'\]: expected its size and sites"),
    ("rank", {"files": {"a": ("1 GB", ["atlantis"])}}, r"files\['a'\]: expected one of perth"),
    ("moves", {"files": {"a": ("1 GB", ["perth"])}, "destination": "x"}, "destination: expected one of"),
]


@pytest.mark.parametrize(("method", "arguments", "said"), WRONG)
def test_wrong_use_is_one_line(
    week: fairlead.Fairlead, method: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as failed:
        getattr(week, method)(**arguments)
    assert "\n" not in str(failed.value)
