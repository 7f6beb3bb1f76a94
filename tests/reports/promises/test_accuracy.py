"""The report on forecasts: its figures by hand, its verdicts, and what it says of data that say nothing."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from netprobe.evidence import Rung
from netprobe.quantiles import Quantiles
from reports.document import Document
from reports.promises import scoring
from reports.promises.accuracy import report, verdict
from reports.promises.reasons import reason
from reports.promises.transfers import Transfer, Transfers
from tests.reports.promises.making import SINCE, UNTIL, page, transfer


def of(*found: Transfer, ahead: int = 0) -> Document:
    return report(Transfers(found, ahead), (), SINCE, UNTIL)


def frame(document: Document, name: str) -> list[dict]:
    table = next(table for table in document.tables if table.name == name)
    return table.frame.to_dict("records")


# 10 s was forecast (8 to 15): five inside, one early, two late
TOOK = (7.0, 9.0, 10.0, 11.0, 12.0, 14.0, 16.0, 20.0)


def test_scores_are_what_one_counts_by_hand() -> None:
    document = of(*(transfer(hour, seconds, last_rate=4e8) for hour, seconds in enumerate(TOOK)))
    (path,) = frame(document, "paths")
    assert path["path"] == "a to b"
    assert path["transfers"] == 8
    assert path["inside_share"] == 5 / 8
    assert path["below_p10_share"] == 1 / 8
    assert path["below_p50_share"] == 2 / 8
    assert path["below_p90_share"] == 6 / 8
    # the median of the eight is between 11 and 12
    assert math.exp(path["bias_ln"]) == pytest.approx(math.sqrt(1.1 * 1.2))
    off = sorted(abs(math.log(seconds / 10)) for seconds in TOOK)
    assert path["typical_ln"] == pytest.approx((off[3] + off[4]) / 2)
    # 1 GB at 400 Mbit/s take 20 s
    naive = sorted(abs(math.log(seconds / 20)) for seconds in TOOK)
    assert path["naive_typical_ln"] == pytest.approx((naive[3] + naive[4]) / 2)
    assert path["naive_transfers"] == 8


def test_each_transfer_stands_with_its_error_the_worst_miss_first() -> None:
    document = of(*(transfer(hour, seconds) for hour, seconds in enumerate(TOOK)))
    rows = frame(document, "transfers")
    assert [row["actual_seconds"] for row in rows[:3]] == [20.0, 16.0, 7.0]
    assert rows[0]["error_seconds"] == 10.0
    assert rows[0]["ratio"] == pytest.approx(2.0)
    assert not rows[0]["inside"]
    assert {row["inside"] for row in rows[3:]} == {True}
    assert next(iter(document.tables)).shown == 3


def test_classes_stand_in_the_order_in_which_they_grow() -> None:
    ages = (86_400.0 * 3, 600.0, 7200.0)
    found = [
        transfer(n, 10.0, tests_age_seconds=age, size_bytes=10.0 ** (7 + n)) for n, age in enumerate(ages)
    ]
    rows = frame(of(*found, transfer(5, 10.0, size_bytes=2e10, files=7, rung=Rung.DISTANCE)), "groups")
    by = {name: [row["group"] for row in rows if row["by"] == name] for name in {row["by"] for row in rows}}
    assert by["size"] == ["up to 10 MB", "10 to 100 MB", "100 MB to 1 GB", "over 10 GB"]
    assert by["files"] == ["1 file", "2 to 10 files"]
    assert by["age of newest test"] == ["up to 15 min", "1 to 6 h", "over 1 d", "no test"]
    assert by["rested on"] == ["not recorded", "distance"]


@pytest.mark.parametrize(
    ("inside", "outside", "word"),
    [
        (80, 20, "as promised"),
        (75, 25, "as promised"),
        (55, 45, "too narrow"),
        (99, 1, "too wide"),
        (24, 5, "none"),
    ],
)
def test_a_verdict_is_one_that_chance_doesn_t_give(inside: int, outside: int, word: str) -> None:
    hits = [True] * inside + [False] * outside
    assert verdict(scoring.share(hits)) == word
    # spread evenly, so that they don't come in runs
    step = outside / (inside + outside)
    found = [
        transfer(n, 99.0 if math.floor((n + 1) * step + 1e-9) > math.floor(n * step + 1e-9) else 10.0)
        for n in range(inside + outside)
    ]
    document = of(*found)
    assert document.data["verdict"] == word
    if word == "none":
        assert "too few for a verdict, 1 more are needed" in document.headline


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), "No transfer began in this time"),
        ((transfer(1, 5.0, error="a to b: refused"),), "none that worked had a forecast"),
        ((transfer(1, 5.0, forecast=None),), "none that worked had a forecast"),
        ((transfer(1, 9.0),), "1 transfer had a forecast, 1 stayed inside"),
    ],
)
def test_data_that_say_nothing_give_a_report_that_says_so(found: tuple[Transfer, ...], words: str) -> None:
    document = of(*found, ahead=2)
    assert words in document.headline
    assert any("2 transfers dated in the future" in remark for remark in document.remarks)
    assert document.headline in page(document)


def test_failures_are_told_and_are_in_no_figure() -> None:
    failed = transfer(3, 99.0, error="a to b: connection refused")
    document = of(transfer(1, 10.0), failed, transfer(2, 10.0, forecast=None))
    assert frame(document, "failures") == [
        {"path": "a to b", "failed": 1, "last": failed.started, "last_error": "a to b: connection refused"}
    ]
    assert [row["transfers"] for row in frame(document, "paths")] == [1]
    assert any("1 transfer failed (33 %)" in remark for remark in document.remarks)
    assert any("1 transfer had no forecast" in remark for remark in document.remarks)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (transfer(1, 10.0), ""),
        (transfer(1, 30.0, rung=Rung.DISTANCE, beside=1), "rested on the distance alone"),
        (
            transfer(1, 30.0, rung=Rung.MEASURED, last_rate=9e8, next_rate=3e8),
            "900 Mbit/s in the one before, 300",
        ),
        # it became faster afterwards, which explains nothing
        (transfer(1, 30.0, last_rate=3e8, next_rate=9e8), ""),
        (transfer(1, 30.0, beside=2), "beside 2 other transfers"),
        # what runs beside makes nothing faster
        (transfer(1, 5.0, beside=2), ""),
        (transfer(1, 5.0, tests_age_seconds=3 * 86_400.0), "the newest test was 3 d old"),
        (transfer(1, 0.5, forecast=Quantiles(0.1, 0.2, 0.3)), "it was short"),
    ],
)
def test_a_miss_has_its_reason_where_one_is_known(found: Transfer, words: str) -> None:
    assert words in reason(found)
    assert bool(reason(found)) == bool(words)


def test_a_path_that_is_worse_than_promised_is_named_and_no_other() -> None:
    good = [
        transfer(n + 0.1 * m, 99.0 if n % 5 == 0 else 10.0, source=f"s{m}")
        for n in range(40)
        for m in range(9)
    ]
    assert of(*good).remarks == ()
    bad = [transfer(n + 0.95, 99.0 if n % 3 else 10.0, source="bad") for n in range(40)]
    (remark,) = of(*good, *bad).remarks
    assert remark.endswith("on these paths: bad to b (35\N{NO-BREAK SPACE}% of 40).")


def test_the_same_data_give_the_same_page() -> None:
    found = [transfer(hour, seconds) for hour, seconds in enumerate(TOOK * 9)]
    assert page(of(*found)) == page(of(*found))


def test_a_page_stays_small_however_many_there_are() -> None:
    found = [transfer(n / 10, 7.0 + n % 13) for n in range(5_000)]
    assert len(page(of(*found))) < 2_000_000


def test_worse_and_better_are_told() -> None:
    good, bad = (9.0, 11.0, 10.0), (6.0, 20.0, 16.0)
    later = [transfer(n, (good if n < 60 else bad)[n % 3] * (1 + n / 1000)) for n in range(120)]
    assert any("getting worse" in text for section in of(*later).sections for text in section.text)
    assert later[0].started + timedelta(hours=119) == later[-1].started
