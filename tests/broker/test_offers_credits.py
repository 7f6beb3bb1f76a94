"""A site's credits: what an offer takes of them, and that nothing is offered that they don't pay for."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from broker.contract import kinds
from broker.offers.calendars import GRACE
from broker.offers.changes import applied
from broker.offers.credit import CREDITS
from broker.offers.engine import find_candidates, make_offers
from broker.offers.refusal import explain
from broker.service import Broker
from federation.errors import OutsideError
from federation.sites import Credits
from reservations.calendar import VCPU
from reservations.credits import Account
from tests.broker.clouds import TinyCloud, host, placed
from tests.broker.conftest import NOW, make_document, make_federation, make_request, make_site
from tests.broker.driving import ANN
from tests.broker.offering import LIFETIME, figure, forecast, load_platforms

HOUR = timedelta(hours=1)


@pytest.fixture
def federation():
    return make_federation(make_site("perth", -31.95, 115.86, cores=64))


class Source:
    """Credits that a test sets."""

    def __init__(self, left=100.0):
        self.left, self.asked, self.down = left, 0, False

    def accounts(self, project=None):
        self.asked += 1
        if self.down:
            raise OutsideError("the service of credits doesn't answer")
        return (purse(self.left),)


def purse(left, price=1.0):
    return Account("2026Q4", "core-hours", left, 1000.0, {VCPU: price}, NOW)


def ask(broker, cores=4, hours=1):
    return broker.request(make_document((cores, None), f"PT{hours}H"), ANN)


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def broker(settings, federation, engine, clock, source):
    return Broker(settings, federation, engine, clock, online=False, credits={"perth": source})


def test_the_cost_is_shown_beside_the_others(broker):
    (session,) = ask(broker).sessions
    cost = figure(session.placement.costs, CREDITS)
    assert (cost.minimum, cost.maximum) == (4.0, 4.0)
    assert cost.description == "Credits that are booked at once: 4 core-hours of 2026Q4"
    assert cost in session.placement.component_costs["compute"]


def test_what_they_do_not_pay_for_is_dropped_with_the_reason_and_what_would_fit(broker, source):
    source.left = 6.0
    answer = ask(broker, hours=2)
    assert not answer.yes
    (note,) = [note for note in answer.notes if note.kind == "credits"]
    assert note.text.startswith("perth: this would cost 8 core-hours; 6 core-hours are left in 2026Q4")
    assert "if you ask for a duration of at most PT1H30M" in answer.notes[0].text


def test_a_maximum_gets_as_many_cores_as_they_pay_for(broker, source):
    source.left = 6.0
    answer = broker.request(make_document((1, 32), "PT1H"), ANN)
    assert [session.placement.cores for session in answer.sessions] == [6]


def test_a_limit_on_credits_is_kept(broker):
    costs = [{"kind": kinds.MINMAX_COST, "type": CREDITS, "max": 3.0}]
    answer = broker.request(make_document((4, None), "PT1H", costs=costs), ANN)
    assert not answer.yes
    assert any("urn:fairlead:cost:credits is up to 4, more than the limit 3" in n.text for n in answer.notes)


def test_a_source_is_asked_now_and_then_and_may_be_down(broker, source, clock):
    ask(broker)
    ask(broker)
    assert source.asked == 1
    source.down, source.left = True, 0.0
    clock.advance(60)
    (session,) = ask(broker).sessions
    (note,) = [note for note in session.placement.notes if note.kind == "credits"]
    assert note.text.endswith("this is what was left 1 min ago")
    assert figure(session.placement.costs, CREDITS).maximum == 4.0


def test_one_that_never_answered_leaves_it_to_the_cloud(broker, source):
    source.down = True
    (session,) = ask(broker).sessions
    assert any("the cloud decides" in note.text for note in session.placement.notes)
    assert all(cost.type != CREDITS for cost in session.placement.costs)


def test_what_is_reserved_is_paid_for_and_not_just_the_sessions_time(
    settings, federation, engine, clock, source
):
    cloud = TinyCloud(clock, "perth", hosts=(host(cores=64),))
    broker = Broker(
        settings,
        federation,
        engine,
        clock,
        online=False,
        sources=[placed(cloud)],
        credits={"perth": source},
    )
    placement = ask(broker).sessions[0].placement
    cost = figure(placement.costs, CREDITS).maximum
    least = (HOUR + placement.start_within + GRACE) / HOUR * 4
    assert least <= cost <= least + 4 * 2 / 60


def test_the_catalogues_credits_are_read(settings, federation, engine, clock):
    purses = [{"name": "2026Q4", "unit": "core-hours", "granted": 10, "per_hour": {"VCPU": 1.0}}]
    perth = replace(federation["perth"], credits=Credits("static", {"purses": purses}))
    broker = Broker(settings, make_federation(perth), engine, clock, online=True)
    assert figure(ask(broker).sessions[0].placement.costs, CREDITS).maximum == 4.0
    assert not ask(broker, cores=11).yes


# money of less than a thousandth is nobody's
amounts = st.integers(0, 200_000).map(lambda number: number / 1000)


@given(st.integers(1, 40), st.integers(5, 600), amounts, amounts.map(lambda number: number / 40))
def test_every_change_that_is_told_is_paid_for(cores, minutes, left, price):
    federation = make_federation(make_site("perth", -31.95, 115.86, cores=64))
    platforms = load_platforms(federation)

    def answer(request):
        candidates, reasons = find_candidates(federation, platforms, request, forecast, NOW, {})
        candidates = [replace(each, accounts=(purse(left, price),)) for each in candidates]
        offers = make_offers(candidates, {}, NOW, LIFETIME, refused=reasons)
        ways = () if offers.placements else explain(offers.notes, candidates, {}, NOW, LIFETIME).ways
        return offers, ways

    request = make_request(cores=(cores, None), duration=timedelta(minutes=minutes))
    offers, ways = answer(request)
    event(f"yes: {bool(offers.placements)}, ways: {len(ways)}")
    assert bool(offers.placements) == (cores * price * minutes / 60 <= left + 1e-9) or (
        cores * price * minutes / 60 == pytest.approx(left)
    )
    for way in ways:
        assert answer(applied(request, way.changes))[0].placements
