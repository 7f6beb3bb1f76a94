"""What the report says, of usual data and of odd."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from reports.document import NOBODY, Document
from reports.laid_out import LaidOut
from reports.space_use.model import Cloud, Purse, Reading
from reports.space_use.page import report
from reservations.calendar import VCPU, Sight
from reservations.credits import Account
from reservations.history.past import End
from tests.reports.space_use.made import (
    DAY,
    HOUR,
    NOW,
    calendar,
    cloud,
    host,
    past,
    reading,
    sample,
    taken,
    use,
)


def usual() -> Reading:
    bookings = [taken(1, 0, 12, holder="ska"), taken(2, 0, 6, 4, ours="imaging")]
    perth = cloud(
        calendar([host(1), host(2, gpus=2)], bookings),
        past=past(use(24, 12, 16, holder="ska"), use(9, 9, 0, End.FAILED)),
    )
    account = Account("this quarter", "core-hours", 500, 1000, {VCPU: 1.0}, NOW, NOW - 10 * DAY)
    return reading(
        perth,
        cloud(calendar([host(1, 32)], []), "manchester", samples=(sample(1, 8, total=32),)),
        purses=(Purse("perth", account),),
    )


@pytest.fixture(scope="module")
def made() -> tuple[Document, str, str]:
    return said(usual())


def said(known: Reading) -> tuple[Document, str, str]:
    document = report(known, NOBODY)
    laid = LaidOut(document)
    json.dumps(laid.json())
    return document, laid.page(printed=False), laid.markdown()


def test_the_first_page_has_the_answer(made: tuple[Document, str, str]) -> None:
    document, page, text = made
    # 12 h of 16 cores of 48 h, and 8 of 32 cores in one hour that Manchester is known of
    share = (16 * 12 + 8) / (16 * 48 + 32)
    assert f"{share:.0%}".replace("%", " %") in document.headline
    assert "since 2026-11-24" in document.headline
    # 12 h x 8 and 6 h x 4 of 24 h x 48
    assert "10 % are booked for the next 1 d" in document.headline
    assert "1 GPU with 4 cores for 8 h: now at Perth." in document.headline
    figures = {card.words: card.figure for card in document.cards}
    assert figures["cores and 2 GPUs"] == "48"
    assert figures["core-hours taken"] == "200"
    assert figures["of the cores taken, mean"] == f"{share:.0%}".replace("%", " %")
    for words in (
        "Perth",
        "Manchester",
        "all together",
        "this quarter",
        "2026-12-06",
        "ours",
        "not recorded by whom",
    ):
        assert words in page
        assert words in text
    assert document.headline in text


def test_the_same_data_gives_the_same_bytes(made: tuple[Document, str, str]) -> None:
    assert said(usual())[1:] == made[1:]


def test_nothing_loads_from_elsewhere_and_pictures_are_told_to_those_who_cant_see_them(
    made: tuple[Document, str, str],
) -> None:
    document, page, _ = made
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "data:image" not in page
    pictures = [picture for section in document.sections for picture in section.pictures]
    assert len(pictures) == 6
    assert pictures[1].alt.startswith("all together: share of cores taken: fullest ")


def test_without_any_past_it_says_from_when_on_it_will_know() -> None:
    document, page, _ = said(reading(cloud(calendar([host(1)], [taken(1, 0, 6)]))))
    assert "How much was taken before now is not known; it is recorded from now on." in document.headline
    assert "25 % are booked" in document.headline
    assert "Of the 48 hours before now, 48 are not known" in " ".join(document.remarks)
    assert "share of cores booked ahead" in page


def test_what_a_source_forgets_is_at_least() -> None:
    document, page, _ = said(reading(cloud(calendar([host(1)], []), past=past(use(24, 0, 4), whole=False))))
    assert document.headline.startswith("At least 25 % of the cores were taken")
    assert "figures of the past are at least" in " ".join(document.remarks)
    assert "at least" in page


def test_a_cloud_that_hides_its_hosts_is_not_taken_for_free() -> None:
    hidden = calendar([], [], Sight.OWN)
    document, _, _ = said(reading(cloud(hidden)))
    assert document.headline == "No cloud shows its hosts: how much is taken is not known."
    assert any("Not all that is taken is shown to us at: Perth" in remark for remark in document.remarks)
    assert document.tables[0].frame["cores"].isna().all()
    assert set(document.tables[1].frame["small_why_not"]) == {"not shown"}
    beside, _, _ = said(reading(cloud(hidden), cloud(calendar([host(1)], [taken(1, 0, 24)]), "manchester")))
    assert "100 % are booked" in beside.headline


@pytest.mark.parametrize(
    "known",
    [
        reading(),
        reading(cloud(None, problem="connection refused"), remarks=("blazar of perth could not be asked",)),
        reading(cloud(calendar([host(1, 0)], []))),
        reading(cloud(calendar([host(1, bookable=False)], [taken(1, -5, None)]), past=past(use(9, None, 8)))),
    ],
    ids=["no clouds", "down", "no cores", "nothing that can be booked"],
)
def test_odd_clouds_give_a_report_that_says_so(known: Reading) -> None:
    document, page, _ = said(known)
    assert document.headline == "No cloud shows its hosts: how much is taken is not known."
    for remark in known.remarks:
        assert remark in page


def test_a_clock_that_is_ahead_makes_nothing_older_than_new() -> None:
    early = replace(calendar([host(1)], [taken(1, 0, 6)]), known_at=NOW + HOUR)
    _, page, _ = said(reading(cloud(early)))
    assert "just now" in page


def test_two_sources_of_a_site_are_told_apart() -> None:
    shown = calendar([host(1)], [])
    nova = Cloud("perth", "nova", (shown,), shown)
    document, _, _ = said(reading(cloud(shown), nova))
    assert set(document.tables[0].frame["cloud"]) == {"Perth (static)", "Perth (nova)", "all together"}


def test_names_that_others_chose_are_text() -> None:
    evil = "<script>alert(1)</script>"
    bookings = [taken(1, 0, 24, holder=evil, name=evil)]
    known = reading(cloud(calendar([host(1)], bookings), past=past(use(9, 3, 8, holder=evil))))
    _, page, _ = said(replace(known, names={"perth": evil}))
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_an_hour_of_history_is_enough() -> None:
    known = replace(usual(), since=NOW - timedelta(minutes=5), ahead=NOW + timedelta(minutes=5))
    document, _, _ = said(known)
    assert "booked for the next 5 min" in document.headline


def test_very_many_bookings_are_drawn_as_their_sum() -> None:
    bookings = [taken(1, number / 100, number / 100 + 0.01, 1) for number in range(2000)]
    document, page, _ = said(reading(cloud(calendar([host(1)], bookings))))
    assert "2,000 bookings on 1 host, summed up." in page
    assert len(page) < 300_000
    assert document.tables[0].frame["core_hours_booked"].tolist() == [pytest.approx(20)]
