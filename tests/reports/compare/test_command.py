"""`fairlead report compare`: its files, and what it says of data that can't be compared."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fairlead.cli import main
from netprobe.archive import Archive
from netprobe.measurement import Measurement, Origin
from tests.databases import with_tables
from tests.reports.compare.planted import SINCE, UNTIL, Planter

TIMES = ["--since", SINCE.isoformat(), "--until", UNTIL.isoformat()]


def filled(folder: Path, found: Iterable[Measurement]) -> str:
    url = f"sqlite:///{folder / 'archive.db'}"
    engine = with_tables(folder / "archive.db")
    Archive(engine).add(found)
    engine.dispose()
    return url


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["report", "compare", *arguments])
    return int(leaving.value.code or 0)


def said(folder: Path, found: Iterable[Measurement], *more: str) -> tuple[int, dict[str, Any]]:
    url = filled(folder, found)
    status = run(*TIMES, "--database", url, "--format", "html,json", "--out", str(folder / "out"), *more)
    text = (folder / "out" / "compare.html").read_text()
    assert text.startswith("<!doctype html>") or "<!doctype html>" in text
    return status, json.loads((folder / "out" / "compare.json").read_text())


def some(seed: int = 1) -> list[Measurement]:
    made = Planter(seed, days=30)
    return [
        *made.rates("a", "b", 9e9, 9e9),
        *made.rates("b", "a", 5e9, 9e9),
        *made.latency("a", "b"),
    ]


def test_all_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, out = filled(tmp_path, some()), tmp_path / "out"
    formats = "html,pdf,md,csv,parquet,json"
    status = run(*TIMES, "--database", url, "--format", formats, "--out", str(out))
    assert status == 1
    printed = " ".join(capsys.readouterr().out.split())
    document = json.loads((out / "compare.json").read_text())
    assert document["headline"] in printed
    assert document["verdicts"]["disagree"] == 1
    page = (out / "compare.html").read_text()
    assert "because one-direction fault: scripted: " in page
    # nothing is fetched, and no address of the database is told
    assert "src=" not in page
    assert "archive.db" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    rows = list(csv.DictReader(io.StringIO((out / "compare.csv").read_text())))
    frame = pd.read_parquet(out / "compare.parquet")
    assert len(rows) == len(frame) == len(document["comparisons"]) == 6
    assert rows[0]["verdict"] == frame.verdict[0] == "disagree"
    assert float(rows[0]["ratio"]) == pytest.approx(1.8, rel=0.05)
    assert "disagree" in (out / "compare.md").read_text()
    assert (out / "compare.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_data_give_the_same_report(tmp_path: Path) -> None:
    url = filled(tmp_path, some())
    made = []
    for _ in range(2):
        run(*TIMES, "--database", url, "--format", "html,csv,json,md", "--out", str(tmp_path / "out"))
        made.append([path.read_bytes() for path in sorted((tmp_path / "out").iterdir())])
    assert made[0] == made[1]


def test_an_empty_archive(tmp_path: Path) -> None:
    status, document = said(tmp_path, [])
    assert status == 1
    assert document["headline"] == "There is nothing to compare."
    assert "nothing can be compared" in document["remarks"][0]


@pytest.mark.parametrize(("origin", "side"), [(Origin.SCRIPTED, "mesh"), (Origin.PERFSONAR, "scripted")])
def test_one_side_only(tmp_path: Path, origin: Origin, side: str) -> None:
    status, document = said(tmp_path, [one for one in some() if one.origin is origin])
    assert status == 1
    assert any(f"nothing of the {side} side" in remark for remark in document["remarks"])
    assert {row["verdict"] for row in document["comparisons"]} == {"one side only"}


def test_all_failed(tmp_path: Path) -> None:
    broken = [
        replace(one, error="destination b: refused", figures={}) if one.origin is Origin.SCRIPTED else one
        for one in some()
    ]
    _, document = said(tmp_path, broken)
    assert any("all of its tests failed" in remark for remark in document["remarks"])
    row = document["comparisons"][0]
    assert "destination b: refused" in row["words"]
    assert row["scripted_state"] == "failed"


def test_one_point_each(tmp_path: Path) -> None:
    one, two = Planter(1).rates("a", "b", 9e9, None), Planter(1).rates("a", "b", None, 9e9)
    _, document = said(tmp_path, [next(one), next(two)])
    (row,) = (row for row in document["comparisons"] if row["quantity"] == "throughput")
    assert row["verdict"] == "too few tests"
    assert row["more_tests"] == 7
    assert "7 more are needed" in row["words"]


def test_sites_under_two_names(tmp_path: Path) -> None:
    made = list(Planter(1).rates("perth", "sydney", 9e9, 9e9))
    renamed = [
        replace(one, source="ps-perth.example.org", destination="host-7")
        if one.origin is Origin.PERFSONAR
        else one
        for one in made
    ]
    addressed = [replace(one, destination_address="192.0.2.7") for one in renamed]
    _, document = said(tmp_path, addressed)
    remarks = " ".join(document["remarks"])
    assert "sydney (scripted) and host-7 (mesh) have an address in common" in remarks
    assert "perth is known to the scripted side only, ps-perth.example.org to the mesh only" in remarks


def test_clocks_that_are_ahead(tmp_path: Path) -> None:
    ahead = [replace(one, started=one.started + timedelta(days=40_000)) for one in some()[:5]]
    url, out = (
        filled(tmp_path, [*some(2), *[replace(one, id=f"x{one.id}") for one in ahead]]),
        tmp_path / "out",
    )
    run("--since", "2026-01-01", "--database", url, "--format", "json", "--out", str(out))
    document = json.loads((out / "compare.json").read_text())
    assert "5 scripted results are dated in the future: a clock there is wrong." in document["remarks"]


def test_only_some_sites(tmp_path: Path) -> None:
    other = [replace(one, id=f"y{one.id}", source="c") for one in some() if one.source == "a"]
    _, document = said(tmp_path, [*some(), *other], "--sites", "a,b", "--kinds", "throughput")
    assert {row["source"] for row in document["comparisons"]} == {"a", "b"}


def test_what_a_template_asks_for_is_missing(tmp_path: Path) -> None:
    template = tmp_path / "mesh.json"
    template.write_text(
        json.dumps(
            {
                "addresses": {name: {"address": name} for name in ("a", "b", "c")},
                "groups": {"g": {"type": "mesh", "addresses": [{"name": name} for name in "abc"]}},
                "tests": {
                    "t": {
                        "type": "throughput",
                        "spec": {
                            "source": "{% address[0] %}",
                            "dest": "{% address[1] %}",
                            "duration": "PT20S",
                        },
                    }
                },
                "schedules": {"s": {"repeat": "PT6H"}},
                "tasks": {"x": {"group": "g", "test": "t", "schedule": "s"}},
            }
        )
    )
    _, document = said(tmp_path, some(), "--mesh", str(template), "--kinds", "throughput")
    assert document["coverage"]["throughput"]["mesh"]["missing"] == 4
    (row,) = (row for row in document["comparisons"] if (row["source"], row["destination"]) == ("a", "c"))
    assert row["mesh_expected"] == 120
    assert "nothing of 120 expected" in row["words"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--margin", "much"], '--margin: expected a share such as "10%"'),
        (["--kinds", "noise"], "--kinds: expected throughput, latency, loss"),
        (["--format", "docx"], "--format: expected html, pdf"),
        (["--since", "soon"], "--since: expected"),
        (["--since", "2030-01-01", "--until", "2029-01-01"], "--since: expected a time before --until"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    assert run(*arguments, "--database", url, "--out", str(tmp_path)) == 2
    assert complaint in capsys.readouterr().err
