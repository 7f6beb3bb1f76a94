"""A site may limit how many offers one user has open there; and offers of a broker end when it says."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from broker.model import Level, Phase
from broker.platforms import ReadyOffer
from broker.records import Owner
from broker.service import Broker
from broker.tables import holds
from federation.sites import Policy
from tests.broker.conftest import NOW, make_document, make_federation, make_site
from tests.broker.offering import load_platforms
from tests.broker.test_offers_ready import Brokered

ANN = Owner("ann-uuid", "ann")
BOB = Owner("bob-uuid", "bob")
LIMIT = 2


@pytest.fixture
def federation():
    perth = make_site("perth", -31.95, 115.86, cores=64)
    return make_federation(
        replace(perth, policy=Policy(max_open_offers=LIMIT)), make_site("lausanne", 46.52, 6.63, cores=64)
    )


@pytest.fixture
def broker(settings, federation, engine, clock):
    return Broker(settings, federation, engine, clock, online=False)


def at(answer, site):
    return [session for session in answer.sessions if session.placement.site_id == site]


def test_at_the_limit_the_site_makes_no_more_offers_and_says_why(broker):
    for _ in range(LIMIT):
        assert at(broker.request(make_document(), ANN), "perth")
    answer = broker.request(make_document(), ANN)
    assert at(answer, "lausanne")
    assert not at(answer, "perth")
    (note,) = [note for note in answer.notes if note.kind == "open-offers"]
    assert "perth lets one user have 2 offers open at a time" in note.text
    assert note.level is Level.INFO
    # one user's offers are no other's
    assert at(broker.request(make_document(), BOB), "perth")


@pytest.mark.parametrize("phase", [Phase.ACCEPTED, Phase.REJECTED])
def test_an_offer_that_was_answered_is_open_no_more(broker, phase):
    answers = [broker.request(make_document(), ANN) for _ in range(LIMIT)]
    broker.update_phase(at(answers[0], "perth")[0].uuid, phase, ANN)
    assert at(broker.request(make_document(), ANN), "perth")


def test_an_offer_that_expired_is_open_no_more(broker, clock, settings):
    for _ in range(LIMIT):
        broker.request(make_document(), ANN)
    clock.advance(settings.offer_lifetime_seconds)
    assert at(broker.request(make_document(), ANN), "perth")


def test_a_direct_execution_opens_no_offer(broker):
    for _ in range(LIMIT):
        broker.request(make_document(), ANN)
    for _ in range(4):
        assert broker.direct(make_document(), ANN).phase is Phase.ACCEPTED


def test_requests_at_the_same_time_never_exceed_the_limit(broker):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: broker.request(make_document(), ANN), range(8)))
    assert sum(len(at(answer, "perth")) for answer in answers) == LIMIT


def test_where_only_one_more_may_be_open_only_one_is_made(broker, federation):
    """A site that would offer two starts, the earliest and a larger one, offers the earliest."""
    busy = broker.direct(make_document(cores=(60, 60), duration="PT2H"), BOB)
    other = broker.direct(make_document(cores=(60, 60), duration="PT2H"), BOB)
    assert {busy.placement.site_id, other.placement.site_id} == {"perth", "lausanne"}
    first = broker.request(make_document(cores=(1, 1)), ANN)
    assert len(at(first, "perth")) == 1
    second = broker.request(make_document(cores=(1, 64)), ANN)
    assert [session.placement.cores for session in at(second, "lausanne")] == [3, 64]
    assert [session.placement.cores for session in at(second, "perth")] == [3]


def test_an_offer_of_a_sites_own_broker_ends_when_that_broker_says(settings, federation, engine, clock):
    platforms = load_platforms(federation)
    offer = ReadyOffer(
        "there/1",
        NOW + timedelta(hours=1),
        timedelta(0),
        timedelta(hours=1),
        1,
        1,
        NOW + timedelta(minutes=1),
    )
    platforms["perth"] = Brokered(platforms["perth"], [offer])
    broker = Broker(settings, federation, engine, clock, online=False, platforms=platforms)
    answer = broker.request(make_document(), ANN)
    (session,) = at(answer, "perth")
    assert session.placement.reference == "there/1"
    assert session.expires == NOW + timedelta(minutes=1)
    with engine.connect() as connection:
        query = select(holds.c.expires).where(holds.c.session == session.uuid)
        assert connection.execute(query).scalar_one() == session.expires
    clock.advance(60)
    phases = {each.placement.site_id: each.phase for each in broker.offerset(answer.uuid).sessions}
    assert phases == {"perth": Phase.EXPIRED, "lausanne": Phase.OFFERED}
    direct = broker.direct(make_document(), ANN)
    assert direct.expires is None
