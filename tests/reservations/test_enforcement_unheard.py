"""What Blazar doesn't tell the credit service, and many that ask at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.database import connect
from federation.errors import OutsideError
from reservations.enforcement.app import Enforcement, create_app
from reservations.enforcement.cloud import LIST_SECONDS, LONG_LIST_SECONDS
from reservations.enforcement.ledger import DeniedError
from tests.reservations.enforcement_support import (
    START,
    World,
    create,
    end,
    listed,
    naive,
    update,
)
from tests.waiting import until

HOUR = timedelta(hours=1)


# What was never heard of


def test_equal_questions_are_two_leases_and_what_was_never_made_is_given_up_after_its_time(world):
    world.grant(40)
    world.enforcement.create(create())
    world.enforcement.create(create())
    assert world.left() == [0]
    with pytest.raises(DeniedError):
        world.enforcement.create(create())
    world.until(START + 2 * HOUR)
    world.enforcement.end(end(create()))
    assert world.left() == [0]
    world.until(START + 3 * HOUR + timedelta(seconds=1))
    assert world.left() == [20]
    # its end was told late: it was there after all
    world.enforcement.end(end(create(), "lease-2"))
    assert world.left() == [0]


def test_an_operator_may_give_up_what_is_pending_and_nothing_else(world):
    world.grant(40)
    world.enforcement.create(create())
    (booking,) = world.ledger.bookings()
    assert booking.paid == {"2026Q4": 20}
    assert world.ledger.give_up(booking.id)
    assert not world.ledger.give_up(booking.id)
    assert world.left() == [40]


def test_the_clouds_list_confirms_what_was_made_and_gives_up_what_was_not(seeing):
    seeing.grant(60)
    one, other = create("one"), create("other")
    seeing.enforcement.create(one)
    seeing.enforcement.create(other)
    seeing.leases = [listed(one)]
    seeing.enforcement.reconcile()
    assert seeing.states() == ["confirmed", "pending"]  # it may be on its way
    seeing.clock.advance(180)
    seeing.enforcement.reconcile()
    assert seeing.states() == ["confirmed", "given up"]
    assert seeing.left() == [40]


def test_of_equal_questions_as_many_are_kept_as_there_are_leases(seeing):
    seeing.grant(60)
    for _ in range(3):
        seeing.enforcement.create(create())
    seeing.leases = [listed(create(), "a"), listed(create(), "b")]
    seeing.clock.advance(180)
    seeing.enforcement.reconcile()
    seeing.enforcement.reconcile()
    assert (seeing.left(), sorted(seeing.states())) == ([20], ["confirmed", "confirmed", "given up"])


def test_a_denial_looks_at_the_cloud_first(seeing):
    seeing.grant(20)
    seeing.enforcement.create(create("never made"))
    seeing.clock.advance(180)
    seeing.enforcement.create(create("second"))
    assert (seeing.left(), seeing.states()) == ([0], ["given up", "pending"])


def test_an_end_that_was_lost_is_seen(seeing):
    seeing.grant(80)
    terminated, deleted = create("terminated", hours=2), create("deleted", hours=4)
    for question, number in ((terminated, "a"), (deleted, "b")):
        seeing.enforcement.create(question)
        seeing.leases.append(listed(question, number))
    seeing.enforcement.reconcile()
    seeing.until(START + 3 * HOUR)
    early = {"end_date": naive(START + HOUR), "status": "TERMINATED"}
    seeing.leases = [listed(terminated, "a", **early)]
    seeing.enforcement.reconcile()
    assert seeing.states() == ["ended", "ended"]
    assert seeing.left() == [80 - 10 - 30]


def test_an_extension_that_failed_is_seen(seeing):
    seeing.grant(60)
    question = create(hours=2)
    seeing.enforcement.create(question)
    seeing.enforcement.update(update(question, end_date=naive(START + 4 * HOUR)))
    seeing.leases = [listed(question)]
    seeing.enforcement.reconcile()
    assert seeing.left() == [20]
    seeing.clock.advance(180)
    seeing.enforcement.reconcile()
    assert (seeing.left(), seeing.states()) == ([40], ["confirmed"])


def test_a_cloud_that_is_away_changes_no_decision(engine_here):
    def gone(seconds):
        raise OutsideError("Blazar is not there")

    world = World(engine_here)
    enforcement = Enforcement(engine_here, world.clock, gone)
    world.grant(20)
    enforcement.create(create())
    with pytest.raises(DeniedError):
        enforcement.create(create())


def test_blazar_that_waits_for_an_answer_is_asked_for_less_long_than_one_that_does_not(engine_here):
    asked = []

    def slow(seconds):
        asked.append(seconds)
        raise OutsideError(f"Blazar doesn't answer within {seconds:g} s")

    world = World(engine_here)
    enforcement = Enforcement(engine_here, world.clock, slow)
    world.grant(0)
    with pytest.raises(DeniedError):
        enforcement.create(create())
    assert asked == [LIST_SECONDS]
    with TestClient(create_app(enforcement, "token", 0.01)):
        until(lambda: len(asked) > 1, "a comparison by itself")
    assert asked[1] == LONG_LIST_SECONDS > 2 * 75


# Many at a time


def test_nothing_is_spent_twice_however_many_ask_at_a_time(engine):
    world = World(engine)
    world.grant(100)
    start = threading.Barrier(8)

    def ask(number):
        start.wait()
        granted = 0
        for attempt in range(4):
            try:
                world.enforcement.create(create(f"lease {number}.{attempt}", hours=1))
                granted += 1
            except DeniedError:
                pass
        return granted

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 10
    assert world.left() == [0]


DEEDS = st.tuples(st.sampled_from(["create", "extend", "end", "late"]), st.integers(0, 3), st.integers(1, 6))


@settings(max_examples=40)
@given(st.lists(DEEDS, max_size=14))
def test_no_story_overspends_or_pays_back_more_than_was_paid(template, tmp_path_factory, story):
    path = tmp_path_factory.mktemp("story") / "fairlead.db"
    path.write_bytes(template.read_bytes())
    engine = connect(f"sqlite:///{path}")
    world, asked, ids = World(engine), {}, {}
    world.grant(60)
    used = 0.0
    try:
        for place, (what, number, hours) in enumerate(story):
            name = f"lease-{number}"
            try:
                if what == "create" and name not in asked:
                    question = create(name, hours)
                    world.enforcement.create(question)
                    # no two leases have one id, whatever they are called
                    asked[name], ids[name] = question, f"{name}.{place}"
                elif what == "extend" and name in asked:
                    longer = naive(START + timedelta(hours=hours))
                    if longer > asked[name]["lease"]["end_date"]:
                        world.enforcement.update(update(asked[name], ids[name], end_date=longer))
                        asked[name]["lease"]["end_date"] = longer
                elif what in ("end", "late") and name in asked:
                    if what == "late" and world.clock.now() < START + HOUR:
                        world.until(START + HOUR)
                    world.enforcement.end(end(asked.pop(name), ids[name]))
                    used += 10.0 if world.clock.now() > START else 0.0
            except DeniedError:
                pass
            booked = sum((_instant(each["lease"]["end_date"]) - START) / HOUR * 10 for each in asked.values())
            assert world.left() == [pytest.approx(60 - used - booked)]
            assert 0 <= world.left()[0] <= 60
    finally:
        engine.dispose()


def _instant(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
