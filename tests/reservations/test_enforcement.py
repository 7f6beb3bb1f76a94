"""The service that Blazar asks: what it allows, what it pays back, and its words."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.clock import ManualClock
from federation.database import connect, upgrade
from federation.errors import InputError, OutsideError
from reservations.enforcement import purses
from reservations.enforcement.app import Enforcement, create_app
from reservations.enforcement.bodies import BodyError, UnpriceableError, read_lease
from reservations.enforcement.ledger import DeniedError
from tests.reservations.enforcement_support import (
    BEFORE,
    PROJECT,
    RECORDED,
    START,
    create,
    end,
    listed,
    naive,
    recorded,
    update,
)

HOUR = timedelta(hours=1)
TOKEN = {"X-Auth-Token": "a secret of Blazar's"}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A database with its tables, made once."""
    path = tmp_path_factory.mktemp("ledger") / "fairlead.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


class World:
    """A ledger, its clock, and a cloud whose leases a test writes down."""

    def __init__(self, engine, with_cloud=False, **options):
        self.engine, self.clock, self.leases = engine, ManualClock(BEFORE), []
        self.enforcement = Enforcement(
            engine, self.clock, (lambda: self.leases) if with_cloud else None, **options
        )
        self.ledger = self.enforcement.ledger

    def grant(self, units=40.0, per_hour=None, project=PROJECT, name="2026Q4", **more):
        purses.grant(
            self.engine, self.clock.now(), project, name, units, "core-hours", per_hour or {"VCPU": 1}, **more
        )

    def left(self, project=PROJECT):
        return [account.left for account in self.ledger.accounts(project)]

    def states(self):
        return [str(each.state) for each in self.ledger.bookings(over=True)]

    def until(self, instant):
        self.clock.advance((instant - self.clock.now()).total_seconds())


@pytest.fixture
def engine_here(template, tmp_path):
    path = tmp_path / "fairlead.db"
    path.write_bytes(template.read_bytes())
    engine = connect(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine_here):
    return World(engine_here)


@pytest.fixture
def seeing(engine_here):
    return World(engine_here, with_cloud=True)


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
    def gone():
        raise OutsideError("Blazar is not there")

    world = World(engine_here)
    enforcement = Enforcement(engine_here, world.clock, gone)
    world.grant(20)
    enforcement.create(create())
    with pytest.raises(DeniedError):
        enforcement.create(create())


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


# On the wire


@pytest.fixture
def client(world):
    world.grant(20)
    with TestClient(create_app(world.enforcement, TOKEN["X-Auth-Token"])) as client:
        yield client


@pytest.mark.parametrize("prefix", ["/", "/v1/"])
def test_the_wire_is_blazars(client, prefix):
    question = create("lease", hours=2)
    granted = client.post(f"{prefix}check-create", json=question, headers=TOKEN)
    assert (granted.status_code, granted.content) == (204, b"")
    denied = client.post(f"{prefix}check-create", json=question, headers=TOKEN)
    assert denied.status_code == 403
    assert denied.json()["message"].startswith(
        "lease 'lease' is refused: this would cost 20 core-hours; 0 core"
    )
    assert client.post(f"{prefix}on-end", json=end(question), headers=TOKEN).status_code == 204
    assert client.post(f"{prefix}check-update", json=update(question), headers=TOKEN).status_code == 204
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "another"}, {"X-Auth-Token": "é"}])
def test_another_token_is_not_let_in(client, world, headers):
    encoded = {name: value.encode() for name, value in headers.items()}
    assert client.post("/check-create", json=create(), headers=encoded).status_code == 401
    assert world.states() == []


KEYS = (
    "context",
    "lease",
    "reservations",
    "project_id",
    "start_date",
    "amount",
    "current_lease",
    "vcpus",
    "id",
)
BODIES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=8,
)


@given(BODIES)
def test_what_is_no_question_of_blazars_is_told(template, body):
    engine = connect(f"sqlite:///{template}")
    enforcement = Enforcement(engine, ManualClock(BEFORE))
    try:
        for action in (enforcement.create, enforcement.update, enforcement.end):
            with pytest.raises((BodyError, DeniedError, UnpriceableError)):
                action(body)
    finally:
        engine.dispose()


def test_a_question_that_is_broken_is_400_with_what_was_expected(client):
    answer = client.post("/check-create", json={"context": {"project_id": PROJECT}}, headers=TOKEN)
    assert (answer.status_code, answer.json()["message"]) == (
        400, "this is no question of Blazar's: lease: expected an object",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"start_date": "soon"}, "start_date: expected an instant"),
        ({"end_date": naive(START)}, "end_date: expected an instant after"),
        ({"reservations": {}}, "reservations: expected a list"),
        (
            {"reservations": [{"resource_type": "virtual:instance", "amount": "many"}]},
            "amount: expected a whole",
        ),
        (
            {"reservations": [{"resource_type": "virtual:instance", "amount": 10**12}]},
            "amount: expected a whole",
        ),
    ],
)
def test_a_lease_that_is_none_is_told(change, expected):
    with pytest.raises(BodyError, match=expected):
        read_lease({**create()["lease"], **change}, PROJECT, lambda flavour: None)


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
