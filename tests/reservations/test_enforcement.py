"""What the credit service allows, what it pays back, and its words."""

import json
from datetime import timedelta

import pytest

from federation.errors import InputError
from reservations.enforcement import purses
from reservations.enforcement.bodies import UnpriceableError
from reservations.enforcement.ledger import DeniedError
from tests.reservations.enforcement_support import (
    BEFORE,
    PROJECT,
    RECORDED,
    START,
    World,
    create,
    end,
    naive,
    recorded,
    update,
)

HOUR = timedelta(hours=1)


# What is paid for


def test_a_lease_is_paid_in_full_when_it_is_allowed(world):
    world.grant(40)
    world.enforcement.create(create(hours=2))
    assert world.left() == [20]
    assert world.states() == ["pending"]


def test_a_denial_says_what_it_costs_what_is_left_until_when_and_what_would_fit(world):
    world.grant(40, end=START + timedelta(days=30))
    with pytest.raises(DeniedError) as caught:
        world.enforcement.create(create("big", hours=2, hosts=4))
    assert str(caught.value) == (
        "lease 'big' is refused: this would cost 80 core-hours; 40 core-hours are left in 2026Q4 "
        "until 23 Dec 2026 17:27 UTC: 2 hosts for 2 h, or 4 for 1 h would fit"
    )
    assert (world.left(), world.states()) == ([40], [])


def test_who_has_no_credits_may_book_nothing_unless_exempt(world):
    with pytest.raises(DeniedError, match="this project has no credits here"):
        world.enforcement.create(create())
    exempt = World(world.engine, exempt=[PROJECT])
    for question in (create(), update(create()), end(create())):
        action = "update" if "current_lease" in question else "end" if "id" in question["lease"] else "create"
        getattr(exempt.enforcement, action)(question)
    assert exempt.states() == []


def test_only_purses_that_are_valid_when_it_is_booked_pay(world):
    world.grant(40, name="over", end=BEFORE)
    with pytest.raises(DeniedError, match="no credits are valid now: over until"):
        world.enforcement.create(create())
    world.grant(40, name="now", start=BEFORE, end=BEFORE + HOUR)
    world.grant(40, name="later", start=BEFORE + HOUR)
    world.enforcement.create(create())
    assert world.left() == [40, 20, 40]


def test_every_purse_with_a_price_pays_and_each_must_suffice(world):
    world.grant(100)
    world.grant(1.5, {"HOST": 1}, name="hosts")
    with pytest.raises(DeniedError, match=r"this would cost 2 core-hours; 1.5 core-hours are left in hosts"):
        world.enforcement.create(create(hours=2))
    world.enforcement.create(create(hours=1))
    assert world.left() == [90, 0.5]


def test_instances_cost_their_sizes_and_flavours_what_was_said_of_them(world):
    world.grant(1000, {"VCPU": 1, "MEMORY_MB": 1 / 1024})
    world.enforcement.create(recorded("check-create", "ok-vi"))
    assert world.left()[0] == pytest.approx(1000 - 2 * 2 * 2 - 2 * 2 * 1)
    with pytest.raises(UnpriceableError, match="doesn't know how large the flavour 'm1-small' is"):
        world.enforcement.create(recorded("check-create", "ok-fi"))
    purses.set_flavour(world.engine, "m1-small", {"VCPU": 1, "MEMORY_MB": 2048})
    before = world.left()[0]
    world.enforcement.create(recorded("check-create", "ok-fi"))
    assert world.left()[0] == pytest.approx(before - 1 - 2)


def test_a_flavour_that_the_cloud_knows_need_not_be_told(world):
    seen = World(world.engine, flavour=lambda name: {"VCPU": 7} if name == "m1-small" else None)
    seen.grant(10)
    seen.enforcement.create(recorded("check-create", "ok-fi"))
    assert seen.left() == [3]


def test_hosts_that_are_not_there_are_no_question_of_credits(world):
    world.grant(1000)
    with pytest.raises(UnpriceableError, match=r"not enough hosts are free .* \(asked for: at least 9\)"):
        world.enforcement.create(recorded("check-create", "ok-over"))
    assert world.left() == [1000]


def test_gpus_of_hosts_are_those_of_the_named_capability(world):
    question = create()
    question["lease"]["reservations"][0]["allocations"][0]["gpu_count"] = "4"
    counting = World(world.engine, gpu_property="gpu_count")
    counting.grant(100, {"PGPU": 2})
    counting.enforcement.create(question)
    assert counting.left() == [84]


def test_several_reservations_of_hosts_in_one_lease_are_not_taken_for_less_than_they_are(world):
    """Blazar gives both of them the hosts of the last."""
    world.grant(1000)
    question = create(hours=1)
    (one,) = question["lease"]["reservations"]
    question["lease"]["reservations"] = [{**one, "min": 1, "max": 3}, one]
    world.enforcement.create(question)
    assert world.left() == [1000 - 40]


# What is paid back


def test_an_early_end_pays_back_what_was_not_used(world):
    world.grant(40)
    question = create(hours=4)
    world.enforcement.create(question)
    assert world.left() == [0]
    world.until(START + HOUR)
    world.enforcement.end(end(question))
    assert (world.left(), world.states()) == ([30], ["ended"])
    world.until(START + 2 * HOUR)
    world.enforcement.end(end(question))
    assert world.left() == [30]


def test_a_lease_that_ends_before_it_starts_costs_nothing(world):
    world.grant(40)
    question = recorded("check-create", "ok1")
    world.enforcement.create(question)
    world.enforcement.end(end(question))
    assert world.left() == [40]


def test_the_whole_story_as_blazar_18_told_it(world):
    world.grant(100)
    world.enforcement.create(recorded("check-create", "ok1"))
    assert world.left() == [80]
    world.enforcement.update(recorded("check-update", "ok1"))
    assert (world.left(), world.states()) == ([40], ["confirmed"])
    world.until(START + 3 * HOUR)
    world.enforcement.end(recorded("on-end", "ok1"))
    assert (world.left(), world.states()) == ([70], ["ended"])


def test_an_extension_is_paid_and_a_denied_one_is_not(world):
    world.grant(40)
    question = create(hours=2)
    world.enforcement.create(question)
    with pytest.raises(
        DeniedError, match=r"would cost 30 core-hours more; 20 core-hours .*: 2 h more would fit"
    ):
        world.enforcement.update(update(question, end_date=naive(START + 5 * HOUR)))
    assert world.left() == [20]
    world.enforcement.update(update(question, end_date=naive(START + 4 * HOUR)))
    assert world.left() == [0]


def test_an_extension_that_blazar_refused_afterwards_is_not_paid_twice_and_comes_back(world):
    world.grant(60)
    question = create(hours=2)
    world.enforcement.create(question)
    for _ in range(2):
        world.enforcement.update(update(question, end_date=naive(START + 4 * HOUR)))
    assert world.left() == [20]
    world.until(START + 2 * HOUR)
    world.enforcement.end(end(question))
    assert world.left() == [40]


def test_a_shorter_lease_gets_its_credits_when_it_ends(world):
    world.grant(40)
    question = create(hours=4)
    world.enforcement.create(question)
    world.enforcement.update(update(question, end_date=naive(START + HOUR)))
    assert world.left() == [0]
    world.until(START + HOUR)
    world.enforcement.end(end(question, end_date=naive(START + HOUR)))
    assert world.left() == [30]


def test_an_extension_when_no_purse_is_valid_any_more_is_denied(world):
    world.grant(100, end=START)
    question = create(hours=2)
    world.enforcement.create(question)
    world.until(START + HOUR)
    with pytest.raises(DeniedError, match="can't be changed: no credits are valid now: 2026Q4 until"):
        world.enforcement.update(update(question, end_date=naive(START + 9 * HOUR)))


def test_a_lease_from_before_the_service_pays_for_what_it_takes_more(world):
    world.grant(40)
    question = create(hours=2)
    world.enforcement.update(update(question, end_date=naive(START + 3 * HOUR)))
    assert (world.left(), world.states()) == ([30], ["confirmed"])
    world.enforcement.end(end(create("other"), "unheard"))
    assert world.states() == ["confirmed"]


# Granting


def test_a_purse_is_granted_once_and_added_to(world):
    world.grant(40)
    with pytest.raises(InputError, match=r"has a purse '2026Q4' already: add to it"):
        world.grant(40)
    purses.add(world.engine, PROJECT, "2026Q4", 2.5)
    assert world.left() == [42.5]
    purses.add(world.engine, PROJECT, "2026Q4", -42.5)
    with pytest.raises(InputError, match="expected from 0 to"):
        purses.add(world.engine, PROJECT, "2026Q4", -1)
    with pytest.raises(InputError, match="has no purse 'gone'"):
        purses.add(world.engine, PROJECT, "gone", 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"units": -1}, "credits: expected from 0"),
        ({"per_hour": {"VCPU": -1}}, "prices: expected a price"),
        ({"project": ""}, "project: expected a text of 1 to 64"),
        ({"start": START, "end": START}, "expected an end after the start"),
    ],
)
def test_a_grant_that_makes_no_sense_is_told(world, values, expected):
    with pytest.raises(InputError, match=expected):
        world.grant(**values)


def test_recorded_questions_are_all_understood(world):
    world.grant(10_000)
    purses.set_flavour(world.engine, "m1-small", {"VCPU": 1})
    actions = {"check-create": "create", "check-update": "update", "on-end": "end"}
    for each in RECORDED:
        body = json.loads(json.dumps(each["body"]))
        try:
            getattr(world.enforcement, actions[each["path"].rpartition("/")[2]])(body)
        except UnpriceableError:
            assert body["lease"]["reservations"][0]["allocations"] == []
