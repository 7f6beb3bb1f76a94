"""What the broker's database says, after real sessions on simulated sites."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from broker.model import Phase
from broker.sessions import retention
from reports.promises.broker import report
from reports.promises.sessions import read
from tests.broker.conftest import NOW, clock, federation, make_broker, make_document, settings
from tests.broker.driving import ANN, DATA, ENDED, accept, is_in, notes, running, turn

# fixtures of the broker's own tests
__all__ = ["clock", "federation", "make_broker", "settings"]
SINCE, UNTIL = NOW - timedelta(days=1), NOW + timedelta(days=1)


def drive(broker, clock, until) -> None:
    async def story() -> None:
        async with running(broker):
            await turn(clock, until, step=0.5)

    asyncio.run(story())


def test_a_session_is_read_as_it_went(make_broker, engine, clock) -> None:
    broker = make_broker(run_seconds=30.0)
    uuid = accept(broker, make_document(data=DATA), position=1)
    drive(broker, clock, is_in(broker, uuid, *ENDED))
    record = read(engine, SINCE, UNTIL)
    (asked,) = record.asked
    assert (asked.yes, asked.direct, asked.refusals) == (True, False, ())
    assert asked.answer_seconds is not None
    assert 0 < asked.answer_seconds < 600
    placement = broker.session(uuid).placement
    (one,) = [each for each in record.promises if each.accepted]
    assert (one.uuid, one.rank, one.phase, one.site) == (uuid, 2, Phase.COMPLETED, placement.site_id)
    assert (one.promised_start, one.prepare_seconds) == (placement.start, placement.prepare_seconds)
    assert one.created <= one.preparing < one.prepared <= one.started < one.finished <= one.ended
    (begun,) = notes(broker, uuid, "started")
    assert (one.started, one.finished) == (begun.time, broker.session(uuid).outcome.ended)
    assert one.move_bytes == sum(
        move.size_bytes for move in placement.staging.moves if move.source != move.destination
    )
    assert one.money == next(cost.maximum for cost in placement.costs if cost.type.endswith("monetary"))
    assert {each.phase for each in record.promises if not each.accepted} == {Phase.REJECTED}
    assert len(record.promises) == 3


def test_failures_refusals_and_direct_ones_are_read(make_broker, engine, clock) -> None:
    broker = make_broker()
    for platform in broker.platforms.values():
        platform.failing["prepare"] = "the image https://example.org/secret can't be had"
    failed = broker.direct(make_document(), ANN).uuid
    broker.request(make_document(cores=(1000, None)), ANN)
    broker.direct(make_document(executable={"kind": "no-such-kind"}), ANN)
    drive(broker, clock, is_in(broker, failed, *ENDED))
    record = read(engine, SINCE, UNTIL)
    assert [(one.yes, one.direct) for one in record.asked].count((False, False)) == 1
    answers = {(one.yes, one.direct): one for one in record.asked}
    assert {site for site, _ in answers[False, False].refusals} == {"perth", "lausanne", "penticton"}
    assert {kind for _, kind in answers[False, False].refusals} == {"resource-limit"}
    assert {site for site, _ in answers[False, True].refusals} == {""}
    (one,) = record.promises
    assert one.problem is not None
    assert (one.direct, one.started, one.prepared, one.problem[0]) == (True, None, None, "failed")
    document = report(record, SINCE, UNTIL)
    (row,) = next(table for table in document.tables if table.name == "sessions").frame.to_dict("records")
    assert row["why"] == "the image … can't be had"
    only = read(engine, SINCE, UNTIL, {"perth"})
    assert {site for each in only.asked for site, _ in each.refusals} == {"perth", ""}
    assert {each.site for each in only.promises} <= {"perth"}


def test_what_was_removed_is_known_to_be_missing(make_broker, engine, clock) -> None:
    broker = make_broker()
    broker.request(make_document(cores=(1000, None)), ANN)
    assert read(engine, SINCE, UNTIL).complete_since is None
    clock.advance(40 * 86_400)
    assert retention.remove_old(engine, clock.now(), timedelta(days=30)) == 1
    record = read(engine, SINCE, UNTIL)
    assert (record.asked, record.complete_since) == ((), NOW)
    assert "forgotten in part" in report(record, SINCE, UNTIL).remarks[0]


@pytest.mark.parametrize("wanted", [True, False])
def test_owners_have_names_where_they_are_known(make_broker, engine, clock, wanted: bool) -> None:
    broker = make_broker()
    accept(broker)
    document = report(read(engine, SINCE, UNTIL), SINCE, UNTIL, owners=wanted)
    found = [table.frame["owner"].tolist() for table in document.tables if table.name == "owners"]
    assert found == ([["ann-uuid"]] if wanted else [])
