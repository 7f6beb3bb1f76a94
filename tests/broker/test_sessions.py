"""What clients may do with offers, and what time does to them."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from broker.model import Level, Phase
from broker.phases import TRANSITIONS, Actor, allowed, check
from broker.records import NotAllowed, Owner, Role
from broker.service import Broker
from broker.tables import holds
from tests.broker.conftest import make_document

ANN = Owner("ann-uuid", "ann")
BOB = Owner("bob-uuid", "bob")
ADMIN = Owner("admin", "admin", role=Role.ADMIN)

# a session in one of these was accepted before
GONE_ON = (
    Phase.WAITING,
    Phase.PREPARING,
    Phase.AVAILABLE,
    Phase.RUNNING,
    Phase.RELEASING,
    Phase.COMPLETED,
)


@pytest.fixture
def broker(settings, federation, engine, clock):
    return Broker(settings, federation, engine, clock, online=False)


def held(engine):
    with engine.connect() as connection:
        return set(connection.execute(select(holds.c.session)).scalars())


def phases(broker, offers):
    return [session.phase for session in broker.offerset(offers.uuid).sessions]


def test_an_answer_is_kept_as_it_was_given(broker):
    offers = broker.request(make_document(meta={"name": "my request"}), ANN)
    assert offers.yes
    assert offers.name == "my request"
    assert offers.owner == ANN.id
    assert broker.offerset(offers.uuid) == offers
    for session in offers.sessions:
        assert broker.session(session.uuid) == session
        assert session.offerset_uuid == offers.uuid
        assert session.phase is Phase.OFFERED


def test_a_no_is_kept_with_the_reasons_of_every_site(broker, federation, engine):
    answer = broker.request(make_document(cores=(1000, None)), ANN)
    assert not answer.yes
    assert not answer.sessions
    errors = [note.text for note in answer.notes if note.level is Level.ERROR]
    assert all(any(site.id in text for text in errors) for site in federation)
    assert broker.offerset(answer.uuid) == answer
    assert held(engine) == set()


def test_nothing_is_known_of_what_never_was(broker):
    assert broker.offerset("no-such") is None
    assert broker.session("no-such") is None
    with pytest.raises(KeyError):
        broker.update_phase("no-such", Phase.ACCEPTED, ANN)


def test_accepting_rejects_the_siblings_and_frees_what_they_held(broker, engine):
    offers = broker.request(make_document(), ANN)
    chosen, *siblings = [session.uuid for session in offers.sessions]
    assert held(engine) == {chosen, *siblings}
    assert broker.update_phase(chosen, Phase.ACCEPTED, ANN).phase is Phase.ACCEPTED
    assert phases(broker, offers) == [Phase.ACCEPTED, Phase.REJECTED, Phase.REJECTED]
    assert held(engine) == {chosen}


def test_repeating_an_update_is_harmless(broker, engine):
    first, second, _ = [session.uuid for session in broker.request(make_document(), ANN).sessions]
    rejected = broker.update_phase(second, Phase.REJECTED, ANN)
    assert broker.update_phase(second, Phase.REJECTED, ANN) == rejected
    accepted = broker.update_phase(first, Phase.ACCEPTED, ANN)
    assert broker.update_phase(first, Phase.ACCEPTED, ANN) == accepted
    cancelled = broker.update_phase(first, Phase.CANCELLED, ANN)
    assert broker.update_phase(first, Phase.CANCELLED, ANN) == cancelled


def test_what_is_not_allowed_is_refused_with_what_is(broker):
    first, second, _ = [session.uuid for session in broker.request(make_document(), ANN).sessions]
    with pytest.raises(NotAllowed) as refusal:
        broker.update_phase(first, Phase.RUNNING, ANN)
    assert refusal.value.allowed == [Phase.ACCEPTED, Phase.REJECTED]
    broker.update_phase(first, Phase.ACCEPTED, ANN)
    with pytest.raises(NotAllowed) as refusal:
        broker.update_phase(second, Phase.ACCEPTED, ANN)
    assert refusal.value.allowed == []
    broker.update_phase(first, Phase.CANCELLED, ANN)
    with pytest.raises(NotAllowed):
        broker.update_phase(first, Phase.ACCEPTED, ANN)
    assert broker.session(first).phase is Phase.CANCELLED


def test_only_the_owner_and_the_administrator_change_a_session(broker):
    session = broker.request(make_document(), ANN).sessions[0]
    with pytest.raises(PermissionError):
        broker.update_phase(session.uuid, Phase.REJECTED, BOB)
    assert broker.session(session.uuid).phase is Phase.OFFERED
    assert broker.update_phase(session.uuid, Phase.REJECTED, ADMIN).phase is Phase.REJECTED


@pytest.mark.parametrize("look", ["session", "offerset", "accept"])
def test_an_offer_ends_to_the_second(broker, clock, engine, look):
    offers = broker.request(make_document(), ANN)
    uuid = offers.sessions[0].uuid
    clock.advance(299.999)
    assert broker.session(uuid).phase is Phase.OFFERED
    clock.advance(0.001)
    if look == "offerset":
        assert phases(broker, offers) == [Phase.EXPIRED] * 3
        assert held(engine) == set()
    elif look == "accept":
        with pytest.raises(NotAllowed) as refusal:
            broker.update_phase(uuid, Phase.ACCEPTED, ANN)
        assert refusal.value.phase is Phase.EXPIRED
    assert broker.session(uuid).phase is Phase.EXPIRED
    assert uuid not in held(engine)


def test_an_expired_offer_takes_no_room_even_if_nobody_looks(broker, clock):
    document = make_document(cores=(8, None), start="2026-11-25T13:00:00Z/PT30M")
    assert len(broker.request(document, ANN).sessions) == 3
    assert not broker.request(document, BOB).yes
    clock.advance(300)
    assert len(broker.request(document, BOB).sessions) == 3


def test_direct_execution_books_the_best_site_at_once(broker, engine):
    session = broker.direct(make_document(), ANN)
    assert session.phase is Phase.ACCEPTED
    assert session.placement.site_id == "penticton"
    assert session.offerset_uuid is None
    assert session.placement.start_within == timedelta(0)
    assert held(engine) == {session.uuid}
    assert broker.session(session.uuid) == session


def test_a_refused_direct_execution_has_failed_and_says_why(broker, engine):
    session = broker.direct(make_document(cores=(1000, None)), ANN)
    assert session.phase is Phase.FAILED
    assert any("ask for at most 8" in timed.note.text for timed in session.notes)
    assert broker.session(session.uuid) == session
    assert held(engine) == set()


def test_every_pair_of_phases_is_either_allowed_or_refused_with_what_is_allowed():
    for phase in Phase:
        for wanted in Phase:
            for actor in Actor:
                if TRANSITIONS[phase].get(wanted) is actor:
                    assert check(phase, wanted, actor)
                    continue
                harmless = wanted is phase or (wanted is Phase.ACCEPTED and phase in GONE_ON)
                if harmless:
                    assert not check(phase, wanted, actor)
                else:
                    with pytest.raises(NotAllowed) as refusal:
                        check(phase, wanted, actor)
                    assert refusal.value.allowed == allowed(phase, actor)


def test_every_session_can_end_and_what_has_ended_stays():
    ends = {Phase.REJECTED, Phase.EXPIRED, Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED}
    for phase in Phase:
        reached, new = {phase}, {phase}
        while new:
            new = {after for known in new for after in TRANSITIONS[known]} - reached
            reached |= new
        assert reached & ends
        assert phase not in ends or reached == {phase}
