"""What another broker says, be it wrong or ill meant: it is read, or a line says why not; and stays small."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.model import Level, Note
from broker.platforms import ReadyOffer, Unreachable
from broker.platforms.broker_answers import (
    LONGEST_NOTE,
    MOST_NOTES,
    MOST_OFFERS,
    notes_of,
    read_offers,
    read_session,
)
from broker.platforms.broker_client import RemoteBroker
from broker.platforms.container_log import TAIL_BYTES
from tests.federation.raw_server import answer, dripping, raw_server

NOW = datetime(2026, 1, 12, 12, tzinfo=UTC)
OFFER = {
    "meta": {"uuid": "a-1"},
    "schedule": {"available": {"start": "2026-01-12T12:00:00Z/PT1H", "duration": "PT1H"}},
    "compute": {"cores": {"min": 1}, "memory": {"min": 1}},
}
NAMES = (
    "meta uuid schedule available start duration compute cores memory min max costs type messages message "
    "template values path level phase connectors location kind protocol started ended exit_code stdout"
)
KEYS = st.sampled_from(NAMES.split())
TEXTS = st.text(max_size=6) | st.sampled_from(
    ["YES", "RUNNING", "PT1H", "-PT1H", "2026-01-12/P9999Y", "http://h:0/"]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400)])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
MEMBERS = st.dictionaries(KEYS, JSON, max_size=6)


@settings(max_examples=200)
@given(st.lists(MEMBERS.map(lambda some: OFFER | some) | JSON, max_size=3))
def test_whatever_it_offers_is_read_or_named(offers):
    for found in read_offers({"result": "YES", "offers": offers}, NOW):
        if isinstance(found, Note):
            assert len(found.text) < 300
            continue
        assert 0 <= found.cores <= 10**9
        assert found.duration.total_seconds() > 0
        assert all(
            abs(each.minimum) < float("inf") > abs(each.maximum) for each in found.costs + found.metrics
        )


@settings(max_examples=200)
@given(MEMBERS, st.none() | MEMBERS.map(lambda some: {"started": "2026-01-12T12:00:00Z"} | some))
def test_whatever_it_says_of_a_session_is_read_or_named(session, logs):
    try:
        seen = read_session({"phase": "RUNNING"} | session, logs)
    except Unreachable:
        return
    json.dumps([each.location for each in seen.connectors])
    code = None if seen.outcome is None else seen.outcome.exit_code
    assert code is None or abs(code) < 2**31


def test_a_template_is_no_bomb():
    """A few MB of places and of what goes there would be terabytes."""
    message = {"template": "{a}" * 10**6, "values": {"a": "{a}" * 10**6}, "level": "INFO"}
    many = {"template": "{a}{b}", "values": {str(number): "x" for number in range(10**5)}, "level": "INFO"}
    found = list(notes_of({"meta": {"messages": [message, many] * 50}}, set(Level)))
    assert len(found) == MOST_NOTES
    assert max(len(note.text) for note in found) < LONGEST_NOTE + 100


def test_words_are_what_a_terminal_and_a_database_take():
    message = {"message": "a\x1b[2J\x00\ud800\u202eb\nc", "level": "ERROR"}
    [found] = notes_of({"meta": {"messages": [message]}}, set(Level))
    assert found.text == "its broker says: a [2J b c"


def test_offers_and_outputs_are_as_many_as_one_can_use():
    assert len(read_offers({"result": "YES", "offers": [OFFER] * 1000}, NOW)) == MOST_OFFERS
    logs = {"started": "2026-01-12T12:00:00Z", "stdout": "a" * 10**6, "exit_code": 10**30}
    outcome = read_session({"phase": "COMPLETED"}, logs).outcome
    assert outcome.stdout == "a" * TAIL_BYTES
    assert outcome.exit_code is None


@pytest.mark.parametrize(
    "location",
    ["javascript:alert(1)", "http://h/\x1b[2J", "http:///x", "http://h/" + "x" * 5000, "http://[::1"],
)
def test_what_nobody_should_click_on_is_no_connector(location):
    assert read_session({"phase": "RUNNING", "connectors": [{"location": location}]}, None).connectors == ()


def test_an_offer_is_an_offer():
    [found] = read_offers({"result": "YES", "offers": [OFFER]}, NOW)
    assert isinstance(found, ReadyOffer)


@pytest.mark.parametrize(
    "body", [b"[" * 10**6, b"\xff", b"9" * 10**5, b"[]"], ids=["deep", "bytes", "digits", "list"]
)
def test_a_body_that_is_no_document_is_named(body):
    with raw_server(answer(body)) as host:
        remote = RemoteBroker(f"http://{host}", lambda: None, 20)
        with pytest.raises(Unreachable, match="something else than a JSON object"):
            remote.session("a-1")
        remote.close()


def test_an_answer_that_drips_is_waited_for_as_long_as_was_said():
    with raw_server(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"X: y\r\n", b"\r\n{}")) as host:
        remote = RemoteBroker(f"http://{host}", lambda: None, 0.5)
        with pytest.raises(Unreachable, match="no broker answers at"):
            remote.session("a-1")
        remote.close()
