"""A report's document in every format: the same content, whole, and a page that sorts in a real browser."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from federation.errors import OutsideError
from reports.document import Card, Column, Document, Made, Picture, Section, Table
from reports.drawing import drawing
from reports.laid_out import LaidOut
from reports.writing import write

CHROMIUM = shutil.which("chromium")
WHEN = datetime(2026, 3, 1, tzinfo=UTC)


def picture() -> Picture:
    with drawing(3, 2) as sheet:
        axes = sheet.axes()
        axes.plot([1, 2], [3, 4])
        axes.set_title("<b>rates</b>")
    return Picture(sheet.svg, "Two rates", "Made up.")


def document() -> Document:
    paths = pd.DataFrame(
        {
            "path": ["a to b", "b | c", "<i>d</i>"],
            "bits_per_second": [9e9, None, 10e9],
            "newest": [WHEN, pd.NaT, WHEN],
        }
    )
    columns = (
        Column("path", "path"),
        Column("bits_per_second", "rate", lambda value: f"{value / 1e9:g} Gbit/s", numeric=True),
        Column("newest", "newest", lambda value: f"{value:%d %B}"),
    )
    sites = pd.DataFrame({"site": ["a", "b"]})
    return Document(
        "test",
        "A <test>",
        WHEN,
        WHEN,
        "3 paths",
        "Two of three paths carry something.",
        (
            Section("Paths", ("In words.",), (picture(),), (Table("paths", "All paths", paths, columns),)),
            Section("Sites", (), (), (Table("sites", "Sites", sites, (Column("site", "site"),)),)),
        ),
        Made("fairlead report test", (("fairlead", "0"),)),
        ("One clock is wrong.",),
        (Card("2", "measured"),),
        ("By looking.",),
        {"margin": 0.1},
    )


def test_every_format_holds_the_report(tmp_path: Path) -> None:
    report = LaidOut(document())
    written = write(report, tmp_path / "out", ("html", "pdf", "md", "csv", "parquet", "json"))
    names = {path.name for path in written}
    assert names == {
        *("test.html", "test.pdf", "test.md", "test.json", "test.csv", "test.parquet"),
        *("test-sites.csv", "test-sites.parquet"),
    }
    out = tmp_path / "out"
    rows = list(csv.DictReader(io.StringIO((out / "test.csv").read_text())))
    assert [row["bits_per_second"] for row in rows] == ["9000000000.0", "", "10000000000.0"]
    assert rows[0]["newest"] == "2026-03-01T00:00:00Z"
    assert len(pd.read_parquet(out / "test-sites.parquet")) == 2
    found = json.loads((out / "test.json").read_text())
    assert found["tables"]["paths"][1] == {"path": "b | c", "bits_per_second": None, "newest": None}
    assert (found["margin"], found["figures"], found["remarks"]) == (
        0.1,
        {"measured": "2"},
        ["One clock is wrong."],
    )
    text = (out / "test.md").read_text()
    assert r"| b \| c | – | – |" in text
    assert "Made by `fairlead report test` (fairlead 0)." in text
    assert (out / "test.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_is_whole_escaped_and_the_same_each_time() -> None:
    page = LaidOut(document()).page(printed=False)
    assert page == LaidOut(document()).page(printed=False)
    for escaped in ("A &lt;test&gt;", "&lt;i&gt;d&lt;/i&gt;", "&lt;b&gt;rates&lt;/b&gt;"):
        assert escaped in page
    assert "<i>d" not in page
    # nothing is fetched
    assert "src=" not in page
    assert "href=" not in page.replace('xlink:href="#', "").replace('href="#', "")


def test_paper_gets_the_first_rows_of_a_long_table() -> None:
    frame = pd.DataFrame({"number": range(500)})
    table = Table("numbers", "Numbers", frame, (Column("number", "number", str, numeric=True),), printed=60)
    long = Document("long", "Long", WHEN, WHEN, "", "", (Section("All", tables=(table,)),), Made())
    assert LaidOut(long).page(printed=True).count("<td") == 60
    assert "440 more are in the other formats." in LaidOut(long).page(printed=True)


def test_what_can_t_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutsideError, match="the folder can't be made"):
        write(LaidOut(document()), tmp_path / "file" / "out", ("md",))


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="there is no playwright here")
def test_tables_are_sorted_by_their_heads_with_mouse_and_keyboard() -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            said: list[str] = []
            page.on("pageerror", lambda error: said.append(str(error)))
            page.set_content(LaidOut(document()).page(printed=False))

            def first_column() -> list[str]:
                return page.locator("table").first.locator("tbody td:first-child").all_inner_texts()

            rate = page.get_by_role("columnheader", name="rate")
            rate.click()
            # by value, not by words: 9 before 10, what is missing first
            assert first_column() == ["b | c", "a to b", "<i>d</i>"]
            assert rate.get_attribute("aria-sort") == "ascending"
            rate.press("Enter")
            assert first_column() == ["<i>d</i>", "a to b", "b | c"]
            assert rate.get_attribute("aria-sort") == "descending"
            path = page.get_by_role("columnheader", name="path")
            path.press(" ")
            assert first_column() == ["<i>d</i>", "a to b", "b | c"]
            assert rate.get_attribute("aria-sort") is None
            assert said == []
        finally:
            browser.close()
