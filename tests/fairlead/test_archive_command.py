"""`fairlead archive`: counting, to a file and back, and giving up what is old."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.cli import main
from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin

NOW = datetime.now(UTC)
Fairlead = Callable[..., tuple[int | str | None, str, str]]


def measurement(days: float, kind: Kind = Kind.THROUGHPUT) -> Measurement:
    return Measurement(
        kind=kind,
        source="perth",
        destination="manchester",
        started=NOW - timedelta(days=days),
        seconds=5.0,
        tool="iperf3",
        origin=Origin.SCRIPTED,
        figures={"bits_per_second": 9e7},
        raw={"start": {}},
    )


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    found = f"sqlite:///{tmp_path / 'fairlead.db'}"
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", found)
    engine = connect(found)
    upgrade(engine)
    old = [measurement(100 + hour / 48) for hour in range(24)]
    Archive(engine).add([*old, measurement(1, Kind.LATENCY), measurement(1)])
    engine.dispose()
    return found


@pytest.fixture
def fairlead(url: str, capfd: pytest.CaptureFixture[str]) -> Fairlead:
    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["archive", *arguments])
        said = capfd.readouterr()
        return left.value.code, said.out, said.err

    return run


def test_info_counts_by_kind(fairlead: Fairlead) -> None:
    status, out, _ = fairlead("info")
    assert status == 0
    assert "26 measurements" in out
    found = json.loads(fairlead("info", "--json")[1])
    assert [(one["kind"], one["origin"], one["archive"], one["count"]) for one in found["holdings"]] == [
        ("latency", "scripted", None, 1),
        ("throughput", "scripted", None, 25),
    ]
    assert found["count"] == 26
    assert found["size_bytes"] > 10_000


@pytest.mark.parametrize("name", ["mesh.parquet", "mesh.csv"])
def test_out_of_one_database_and_into_another(fairlead: Fairlead, tmp_path: Path, name: str) -> None:
    file, other = str(tmp_path / name), f"sqlite:///{tmp_path / 'other.db'}"
    assert fairlead("export", file)[:2] == (0, f"{file}: 26 measurements written\n")
    assert fairlead("import", file, "--database", other)[:2] == (
        0,
        f"{file}: 26 measurements, 26 of them new\n",
    )
    again = fairlead("import", file, "--database", other, "--json")[1]
    assert json.loads(again) == {"file": file, "rows": 26, "added": 0, "known": 26}
    assert json.loads(fairlead("export", file, "--kind", "latency", "--json")[1])["count"] == 1


def test_prune_says_first_what_it_does_then(fairlead: Fairlead) -> None:
    ages = ("--raw-after", "2 d", "--thin-after", "30 d", "--bucket", "1 d")
    counted = json.loads(fairlead("prune", *ages, "--dry-run", "--json")[1])
    assert json.loads(fairlead("info", "--json")[1])["count"] == 26
    status, out, _ = fairlead("prune", *ages)
    assert (status, counted["raw"], counted["removed"]) == (0, 24, 0)
    assert counted["thinned"] in (22, 23)
    assert out == f"24 raw documents dropped, 0 measurements removed, {counted['thinned']} thinned out\n"
    assert fairlead("prune", "--remove-after", "30 d", "--dry-run")[1].endswith("0 would be thinned out\n")
    assert fairlead("prune", "--remove-after", "30 d")[0] == 0
    assert json.loads(fairlead("info", "--json")[1])["count"] == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["prune"], 2, "nothing to give up: expected --raw-after,"),
        (["prune", "--raw-after", "soon"], 2, "--raw-after: expected "),
        (["prune", "--raw-after", "999999 d"], 2, "raw_after: expected an age of 0 to 36500 days"),
        (["prune", "--thin-after", "1 d", "--bucket", "0 s"], 2, "bucket: expected more than 0"),
        (["export", "mesh.xlsx"], 2, "mesh.xlsx: expected a name that ends with .parquet or .csv"),
        (["export", "a.csv", "--kind", "speed"], 2, "--kind: expected one of throughput,"),
        (["import", "nowhere.csv"], 3, "nowhere.csv: can't be read: No such file"),
        (["import", "nowhere.parquet"], 3, "nowhere.parquet: can't be read: No such file"),
    ],
)
def test_what_is_wrong_is_one_line(fairlead: Fairlead, arguments: list[str], status: int, said: str) -> None:
    left, out, err = fairlead(*arguments)
    assert (left, out) == (status, "")
    assert err.startswith(f"fairlead: {said}")
    assert err.count("\n") == 1


def test_an_empty_archive_is_said(fairlead: Fairlead, tmp_path: Path) -> None:
    assert "nothing was measured yet" in fairlead("info", "--database", f"sqlite:///{tmp_path / 'new.db'}")[2]
