"""The report on the broker: its figures by hand, its verdicts, and whom it doesn't name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import Phase
from reports.document import Document
from reports.promises import starts
from reports.promises.broker import report
from reports.promises.sessions import Asked, Promise, Record
from reports.promises.starts import Start, start_of
from tests.reports.promises.making import SINCE, UNTIL, asked, hours, offer, page, promise


def of(requests: list[Asked], promises: list[Promise], **more) -> Document:
    return report(Record(tuple(requests), tuple(promises), **more), SINCE, UNTIL)


def rows(document: Document, name: str) -> list[dict]:
    table = next(table for table in document.tables if table.name == name)
    return table.frame.to_dict("records")


@pytest.mark.parametrize(
    ("given", "start"),
    [
        (promise(1, late=-600.0), Start.ON_TIME),
        (promise(1, late=60.0), Start.ON_TIME),
        (promise(1, late=61.0), Start.LATE),
        (promise(1, late=600.0, start_within=timedelta(minutes=9)), Start.ON_TIME),
        (promise(1, Phase.FAILED, late=None), Start.NEVER),
        # it failed, but it had started
        (promise(1, Phase.FAILED, late=0.0), Start.ON_TIME),
        (promise(1, Phase.CANCELLED, late=None), Start.CANCELLED),
        (promise(1, Phase.AVAILABLE, late=None), Start.OVERDUE),
        (promise(24 * 30 - 1, Phase.AVAILABLE, late=None), Start.DUE_LATER),
    ],
)
def test_a_promised_start_came_true_or_not(given: Promise, start: Start) -> None:
    assert start_of(given, UNTIL) is start


def test_the_figures_of_a_site_are_what_one_counts_by_hand() -> None:
    made = [
        promise(1, late=-30.0),
        promise(2, late=20.0),
        promise(3, late=900.0, prepared=hours(4) + timedelta(seconds=50)),
        promise(4, Phase.FAILED, late=None, prepared=None, problem=("failed", "no room")),
        promise(5, Phase.CANCELLED, late=None, prepared=None),
        *(offer(number, 2, Phase.REJECTED) for number in (1, 2, 3)),
    ]
    document = of([asked(number) for number in range(1, 6)], made)
    (site,) = rows(document, "sites")
    assert (site["offers"], site["accepted"], site["due"]) == (8, 5, 4)
    assert site["on_time_share"] == 2 / 4
    # 50, 50 and 150 s of the 100 that were promised
    assert (site["prepared"], site["prepared_in_time_share"]) == (3, 2 / 3)
    assert site["late_seconds_p50"] == 20.0
    # of the third only what it waited once it was ready
    assert site["waited_seconds_p90"] == pytest.approx(20 + 0.8 * 830)
    assert site["longest_queue"] == 1
    (used,) = rows(document, "use")
    assert (used["completed"], used["failed"], used["cancelled"]) == (3, 1, 1)
    # three sessions of four cores, an hour each of the two that were promised
    assert (used["core_hours_promised"], used["core_hours_used"]) == (24.0, 12.0)
    assert "2 of 4 promised starts came true: too few for a verdict, 16 more are needed" in document.headline


def test_broken_promises_stand_first_with_their_reasons() -> None:
    made = [
        promise(1),
        promise(2, late=900.0),
        promise(3, Phase.FAILED, late=None, problem=("failed", "perth: http://secret.example/a is gone")),
        promise(4, late=7200.0, moves=1),
        promise(5, late=300.0, prepared=hours(6) + timedelta(seconds=290)),
    ]
    document = of([asked(number) for number in range(1, 6)], made)
    found = [(row["start"], row["why"]) for row in rows(document, "sessions")]
    assert [start for start, _ in found] == ["never started", "late", "late", "late", "on time"]
    assert found[0][1] == "perth: … is gone"
    assert found[1][1] == "its cloud refused the reservation, and it was moved to a later one"
    assert found[2][1] == "it was ready, and waited 15 min for room"
    assert found[3][1] == "preparation took 6 min 30 s, 1 min 40 s was promised at 90 %"
    assert next(table for table in document.tables if table.name == "sessions").shown == 4


def test_a_preparation_that_took_a_moment_too_long_is_not_said_to_have_taken_what_was_promised() -> None:
    # promised for seven o'clock, and begun 100 s before
    made = [promise(6, late=300.0, prepared=hours(7) + timedelta(seconds=0.2))]
    [row] = rows(of([asked(6)], made), "sessions")
    assert row["why"] == "preparation took 100.2 s, 100 s was promised at 90 %"


def test_why_and_where_promises_were_broken_is_counted() -> None:
    made = [
        promise(1),
        *(promise(number, late=900.0 * number) for number in (2, 3)),
        promise(4, late=900.0, site="lausanne"),
        promise(5, Phase.FAILED, late=None, problem=("lease-refused", "not enough hosts")),
    ]
    document = of([asked(number) for number in range(1, 6)], made)
    counted = [(row["sessions"], row["sites"]) for row in rows(document, "causes")]
    assert counted == [(3, "perth 2, lausanne 1"), (1, "perth 1")]
    assert rows(document, "causes")[0]["cause"] == "it was ready, and waited for room"
    assert document.headline.endswith(
        "Most were broken at perth: 3 of 4, usually because of this: it was ready, and waited for room."
    )
    assert "causes" not in {table.name for table in of([asked(1)], [promise(1)]).tables}


@pytest.mark.parametrize(
    ("good", "bad", "word"), [(19, 0, "none"), (20, 0, "kept"), (88, 12, "kept"), (70, 30, "broken")]
)
def test_a_verdict_needs_enough_starts(good: int, bad: int, word: str) -> None:
    made = [promise(number, late=0.0 if number < good else 999.0) for number in range(good + bad)]
    document = of([asked(number) for number in range(good + bad)], made)
    assert document.data["verdict"] == word
    assert ("fewer than the 90 %" in document.headline) == (word == "broken")


def test_a_no_counts_for_each_reason_once_and_at_each_site() -> None:
    nos = (
        (("lausanne", "no-room"), ("perth", "no-room")),
        (("perth", "no-room"),),
        (("", "unknown-kind"),),
    )
    requests = [asked(number, yes=False, refusals=why) for number, why in enumerate(nos)]
    document = of([*requests, asked(9)], [])
    found = {row["kind"]: (row["requests"], str(row["sites"])) for row in rows(document, "reasons")}
    assert found == {"no-room": (2, "perth 2, lausanne 1"), "unknown-kind": (1, "nan")}
    assert [(row["site"], row["requests"]) for row in rows(document, "refusals")] == [
        ("perth", 2),
        ("lausanne", 1),
    ]
    assert rows(document, "reasons")[0]["share_of_no"] == 2 / 3
    assert document.headline.startswith(
        "Of 4 requests 1 was answered YES (25\N{NO-BREAK SPACE}%). No session was due"
    )


def test_offers_are_told_by_what_became_of_them_and_by_rank() -> None:
    made = [
        offer(1, 1, Phase.REJECTED),
        promise(1, rank=2),
        offer(1, 3, Phase.REJECTED),
        offer(2, 1, Phase.REJECTED),
        offer(2, 2, Phase.EXPIRED),
        promise(3, rank=1),
        offer(4, 1, Phase.OFFERED),
        # a direct execution is no choice
        promise(5, direct=True),
    ]
    document = of([asked(number) for number in range(1, 6)], made)
    assert {row["became"]: row["offers"] for row in rows(document, "offers")} == {
        "accepted": 2,
        "given up for another of its set": 2,
        "rejected by the user": 1,
        "expired: nobody took one of its set": 1,
        "still open": 1,
    }
    found = [(row["rank"], row["sets_with_one"], row["accepted"]) for row in rows(document, "ranks")]
    assert found == [(1, 4, 1), (2, 2, 1)]


def test_how_long_answers_took_is_told_by_answer_and_the_slow_ones_are_named() -> None:
    requests = [asked(number, yes=number > 1, answer_seconds=float(number)) for number in range(1, 22)]
    requests += [asked(30, direct=True, answer_seconds=90.0), asked(31)]
    document = of(requests, [])
    found = {row["answer"]: row for row in rows(document, "answer-times")}
    assert [(kind, row["requests"]) for kind, row in found.items()] == [
        ("YES", 20),
        ("NO", 1),
        ("run at once", 1),
    ]
    assert (found["YES"]["p25_seconds"], found["YES"]["p50_seconds"]) == (6.75, 11.5)
    assert (found["YES"]["p75_seconds"], found["YES"]["longest_seconds"]) == (16.25, 21.0)
    slow = rows(document, "slow-answers")
    assert [row["request"] for row in slow[:2]] == ["set-30", "set-21"]
    assert len(slow) == 10
    # of answers from before it was kept nothing is told
    assert not [table for table in of([asked(1)], []).tables if table.name == "answer-times"]


def test_reservations_are_counted() -> None:
    made = [
        promise(1, lease="gone", lease_made=True),
        promise(2, lease="gone", lease_made=True, moves=2),
        promise(3, Phase.FAILED, late=None, lease="wanted", problem=("lease-refused", "perth: quota")),
        promise(4, Phase.FAILED, lease="gone", lease_made=True, problem=("lease-lost", "perth: gone")),
        promise(5, credits=3.0, charged=2.5),
    ]
    document = of([asked(number) for number in range(1, 6)], made)
    assert rows(document, "leases") == [
        {"site": "perth", "wanted": 4, "made": 3, "moved": 2, "refused": 1, "lost": 1}
    ]
    (used,) = rows(document, "use")
    assert (used["credits_promised"], used["credits_charged"]) == (3.0, 2.5)


def test_nobody_is_named_unless_it_is_asked_for() -> None:
    record = Record(
        tuple(asked(number, owner=f"{name}-uuid") for number, name in enumerate(("ann", "bob", "ann"))),
        (promise(0), promise(1, owner="bob-uuid")),
        names={"ann-uuid": "ann", "bob-uuid": "bobby tables"},
    )
    silent = report(record, SINCE, UNTIL)
    assert "ann" not in page(silent).replace("Lausanne", "").replace("lausanne", "").replace("channel", "")
    assert "uuid" not in str([table.frame.to_dict() for table in silent.tables])
    assert "2 owners asked; the one who asked most made 67" in page(silent)
    told = report(record, SINCE, UNTIL, owners=True)
    found = [(row["owner"], row["requests"], row["accepted"]) for row in rows(told, "owners")]
    assert found == [("ann", 2, 1), ("bobby tables", 1, 1)]


def test_what_is_forgotten_in_part_is_left_out_and_told() -> None:
    requests, made = [asked(number) for number in range(1, 5)], [promise(number) for number in range(1, 5)]
    document = of(requests, made, complete_since=hours(2))
    assert document.data["requests"] == document.data["accepted"] == 2
    assert document.remarks == (
        "What was asked until 2026-03-01 02:00 UTC is forgotten in part: "
        "the figures are of what was asked since.",
    )
    nothing = of(requests, made, complete_since=UNTIL)
    assert nothing.headline == "Nothing was asked of the broker in this time."
    assert "nothing is told of this time" in page(nothing)
    assert of(requests, made, complete_since=SINCE - timedelta(days=1)).remarks == ()


@pytest.mark.parametrize(
    ("requests", "made", "words"),
    [
        ([], [], "Nothing was asked of the broker"),
        ([asked(1)], [offer(1, 1, Phase.EXPIRED)], "No session was due to start"),
        ([asked(1, yes=False, refusals=(("perth", "no-room"),))], [], "0 were answered YES"),
        (
            [asked(1)],
            [promise(1, Phase.FAILED, late=None, preparing=None, prepared=None)],
            "0 of 1 promised start",
        ),
        (
            [asked(1)],
            [promise(1, Phase.PREPARING, late=None, prepared=None)],
            "0 of 1 promised start came true",
        ),
    ],
)
def test_little_data_gives_a_report_that_says_so(
    requests: list[Asked], made: list[Promise], words: str
) -> None:
    document = of(requests, made)
    assert words in document.headline
    assert page(document) == page(of(requests, made))


PROMISES = st.builds(
    lambda prepared, late: promise(1, late=late, prepared=hours(2) + timedelta(seconds=prepared)),
    st.floats(-500, 500),
    st.floats(-600, 600),
)


@given(st.lists(PROMISES, max_size=30))
def test_a_queue_is_as_long_as_the_most_that_wait_at_one_time(made: list[Promise]) -> None:
    spans = []
    for one in made:
        waited = starts.waited_seconds(one)
        assert waited is not None
        assert waited >= 0
        if waited > 60:
            assert one.started is not None
            spans.append((one.started - timedelta(seconds=waited), one.started))
    # the longest is somewhere where one begins to wait
    brute = max((sum(a <= when < b for a, b in spans) for when, _ in spans), default=0)
    assert starts.longest_queue(made) == brute


def test_other_brokers_preparations_are_theirs() -> None:
    slow = promise(1, prepared=hours(3))
    assert starts.prepared_in_time([slow]).count == 1
    assert starts.prepared_in_time([replace(slow, elsewhere=True)]).count == 0
