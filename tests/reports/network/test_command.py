"""`fairlead report network`: its files, and what it says of odd data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fairlead.cli import main
from federation.database import connect
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from tests.databases import with_tables
from tests.reports.network.planted import BEFORE, SINCE, UNTIL, Planter, changed

TIMES = ["--since", SINCE.isoformat(), "--until", UNTIL.isoformat()]


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No catalogue of whoever runs this, and no lab's."""
    monkeypatch.delenv("FAIRLEAD_CATALOGUE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def filled(folder: Path, found: Iterable[Measurement]) -> str:
    url = f"sqlite:///{folder / 'archive.db'}"
    engine = with_tables(folder / "archive.db")
    Archive(engine).add(found)
    engine.dispose()
    return url


def run(*arguments: str, report: str = "network") -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["report", report, *arguments])
    return int(leaving.value.code or 0)


def said(folder: Path, found: Iterable[Measurement], *more: str) -> tuple[int, dict[str, Any], str]:
    url = filled(folder, found)
    status = run(*TIMES, "--database", url, "--format", "html,json", "--out", str(folder / "out"), *more)
    page = (folder / "out" / "network.html").read_text()
    return status, json.loads((folder / "out" / "network.json").read_text()), page


def some() -> list[Measurement]:
    made = Planter()
    when = SINCE + timedelta(days=2)
    return [
        *made.rates("a", "b", 2e9),
        *made.rates("b", "a", 6e9),
        *made.rates("a", "c", changed(4e9, 1e9, when)),
        *made.rates("c", "a", 3e9, fails=lambda now: True),
        *made.pings("a", "b", 0.02),
    ]


def test_all_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, out = filled(tmp_path, some()), tmp_path / "out"
    status = run(*TIMES, "--database", url, "--format", "html,pdf,md,csv,parquet,json", "--out", str(out))
    assert status == 0
    document = json.loads((out / "network.json").read_text())
    assert document["headline"] in " ".join(capsys.readouterr().out.split())
    assert "3 of 6 paths between 3 sites carry data, 1.99 Gbit/s in the median" in document["headline"]
    assert document["figures"]["path became worse"] == "1"
    page = (out / "network.html").read_text()
    # nothing is fetched, and no address of the database is told
    assert "src=" not in page
    assert "archive.db" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    # the file without another name is what the report is about: every ordered pair
    frame, rows = pd.read_parquet(out / "network.parquet"), pd.read_csv(out / "network.csv")
    assert len(frame) == len(rows) == len(document["tables"]["paths"]) == 6
    known = rows.set_index(["source", "destination"])
    assert known.loc[("b", "a"), "bits_per_second"] == pytest.approx(6e9, rel=0.02)
    assert known.loc[("c", "a"), "throughput_state"] == "failed"
    (apart,) = document["tables"]["asymmetry"]
    assert (apart["source"], apart["destination"]) == ("a", "b")
    moved = pd.read_csv(out / "network-moving.csv").set_index(["source", "destination"])
    assert moved.loc[("a", "b"), "100000000000000_bytes_seconds_p50"] > 3600 * 24 * 4
    markdown = (out / "network.md").read_text()
    assert "What to look at first" in markdown
    assert (out / "network.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_data_give_the_same_report(tmp_path: Path) -> None:
    url, out = filled(tmp_path, some()), tmp_path / "out"
    made = []
    for _ in range(2):
        run(*TIMES, "--database", url, "--format", "html,csv,json,md", "--out", str(out))
        made.append([path.read_bytes() for path in sorted(out.iterdir())])
        # what comes later doesn't change what was
        later = [
            replace(one, id=f"later-{one.id}", started=one.started + timedelta(days=30)) for one in some()
        ]
        engine = connect(url)
        Archive(engine).add(later)
        engine.dispose()
    assert made[0] == made[1]


def test_an_empty_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document, page = said(tmp_path, [])
    assert status == 1
    assert document["headline"] == "Nothing was measured in that time."
    assert document["headline"] in page
    assert "nothing was measured in that time" in capsys.readouterr().err


def test_nothing_in_that_time(tmp_path: Path) -> None:
    status, document, _ = said(tmp_path, Planter().rates("a", "b", 1e9, end=SINCE))
    assert status == 1
    assert document["headline"] == "Nothing was measured in that time."


def test_one_test(tmp_path: Path) -> None:
    last = list(Planter().rates("a", "b", 1e9))[-1]
    status, document, _ = said(tmp_path, [last])
    assert status == 0
    assert "1 of 2 paths" in document["headline"]
    assert document["figures"]["changed: nothing before to compare"] == "–"
    assert document["figures"]["directions: too few tests to compare"] == "–"


def test_all_failed(tmp_path: Path) -> None:
    made = Planter().rates("a", "b", 1e9, fails=lambda when: True, error="destination: refused")
    status, document, page = said(tmp_path, made)
    assert status == 0
    assert document["headline"] == (
        "No throughput is known of any of the 2 paths; 1 failing, 1 not tested. Look at a → b first."
    )
    (point,) = document["tables"]["attention"]
    assert point["ask"] == "b"
    assert point["words"] == "all 40 of 40 throughput tests failed: destination: refused"
    assert "guesses" in page


def test_perfsonar_alone(tmp_path: Path) -> None:
    status, document, _ = said(tmp_path, [replace(one, origin=Origin.PERFSONAR) for one in some()])
    assert status == 0
    assert {row["side"] for row in document["tables"]["tools"]} == {"mesh"}


def test_round_trips_alone(tmp_path: Path) -> None:
    _, document, _ = said(tmp_path, [one for one in some() if one.kind is Kind.LATENCY])
    assert document["headline"].startswith(
        "No throughput is known of any of the 2 paths; 1 answer, after 20.1 ms in the median"
    )


def test_only_some_sites(tmp_path: Path) -> None:
    _, document, _ = said(tmp_path, some(), "--sites", "a,b")
    assert {row["source"] for row in document["tables"]["paths"]} == {"a", "b"}
    assert {row["destination"] for row in document["tables"]["moving"]} == {"a", "b"}


def test_whose_it_is_and_what_moving_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = tmp_path / "sites.toml"
    place = "latitude = 1\nlongitude = 2"
    catalogue.write_text(
        f'name = "three"\n[sites.a]\nname = "Alpha"\n{place}\ntariff = {{ per_gib_moved = 0.02 }}\n'
        f'[sites.b]\nname = "Beta"\n{place}\ncontact = "noc@beta.example"\n'
        f'[sites.c]\nname = "Gamma"\n{place}\n'
    )
    monkeypatch.setenv("FAIRLEAD_CATALOGUE", str(catalogue))
    _, document, page = said(tmp_path, some(), "--sizes", "1TB,10TB")
    asked = {row["what"]: row["ask"] for row in document["tables"]["attention"]}
    assert asked == {
        "fails": "Alpha",
        "became worse": "Alpha and Gamma",
        "slower one way": "Alpha and Beta (noc@beta.example)",
    }
    prices = {row["site"]: row["10000000000000_bytes_price"] for row in document["tables"]["prices"]}
    assert prices == {"a": pytest.approx(0.02 * 10e12 / 2**30), "b": 0.0, "c": 0.0}
    assert "186.26" in page


def test_other_sizes(tmp_path: Path) -> None:
    _, document, page = said(tmp_path, some(), "--sizes", "5TB,500GB")
    assert "5000000000000_bytes_seconds_p90" in document["tables"]["moving"][0]
    assert "Time to move 5 TB" in page


def test_clocks_that_are_ahead(tmp_path: Path) -> None:
    ahead = [replace(one, started=one.started + timedelta(days=40_000)) for one in some()[:5]]
    url, out = filled(tmp_path, [*ahead, *some()[5:]]), tmp_path / "out"
    run("--since", BEFORE.isoformat(), "--database", url, "--format", "json", "--out", str(out))
    remarks = json.loads((out / "network.json").read_text())["remarks"]
    assert "5 scripted results are dated in the future: a clock there is wrong." in remarks


def test_a_catalogue_names_sites_that_nobody_tested(tmp_path: Path) -> None:
    sites = "".join(
        f'[sites.{site}]\nname = "{name}"\nlatitude = 0.0\nlongitude = {number}.0\n\n'
        for number, (site, name) in enumerate((("a", "Alpha"), ("b", "Beta"), ("z", "Zeta")))
    )
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text(f'name = "three"\n\n{sites}')
    _, document, page = said(tmp_path, Planter().rates("a", "b", 1e9), "--catalogue", str(catalogue))
    assert "Nothing was tested to or from Zeta." in document["remarks"]
    assert len(document["tables"]["paths"]) == 6
    assert "Alpha → Beta" in page


def test_the_comparison_has_the_network_too(tmp_path: Path) -> None:
    url, out = filled(tmp_path, some()), tmp_path / "out"
    run(*TIMES, "--database", url, "--format", "html,json,md,csv,pdf", "--out", str(out), report="compare")
    page, markdown = (out / "compare.html").read_text(), (out / "compare.md").read_text()
    for words in ("The network as measured", "The two directions", "Time to move 100 TB"):
        assert words in page
    assert "## How long moving data takes" in markdown
    document = json.loads((out / "compare.json").read_text())
    assert document["tables"]["asymmetry"][0]["ratio"] == pytest.approx(3, rel=0.02)
    assert len(document["tables"]["moving"]) == len(pd.read_csv(out / "compare-moving.csv")) == 6


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sizes", "much"], "--sizes: expected a size"),
        (["--sizes", "0B"], "--sizes: expected more than nothing"),
        (["--format", "docx"], "--format: expected html, pdf"),
        (["--since", "soon"], "--since: expected"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    assert run(*arguments, "--database", url, "--out", str(tmp_path)) == 2
    assert complaint in capsys.readouterr().err
