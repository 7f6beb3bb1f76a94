"""The requested schedule: what counts of it, and for what can't be, what would work."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.contract.times import format_duration, format_instant
from broker.model import Level
from tests.broker.conftest import NOW, make_document
from tests.broker.reading import parse

HOUR = timedelta(hours=1)
START, DURATION = "/schedule/requested/start", "/schedule/requested/duration"


def said(document, path=START):
    return [note for note in parse(document)[1] if note.path == path]


def test_what_is_ahead_of_a_range_that_has_begun_counts():
    request, notes = parse(make_document(start="2026-11-25T00:00:00Z/PT18H"))
    assert (request.earliest_start, request.latest_start) == (NOW, NOW + 6 * HOUR)
    (note,) = [note for note in notes if note.path == START]
    assert note.level is Level.INFO
    assert "began at 2026-11-25T00:00:00Z" in note.text
    assert "from 2026-11-25T12:00:00Z on" in note.text


def test_a_range_that_lies_ahead_is_left_alone_and_needs_no_words():
    request, notes = parse(make_document(start="2026-11-25T14:00:00+01:00/2026-11-25T18:00:00.5Z"))
    assert request.earliest_start == NOW + HOUR
    assert request.latest_start == NOW + timedelta(hours=6, seconds=0.5)
    assert not notes


def test_no_schedule_is_an_hour_within_a_day():
    document = make_document()
    del document["schedule"]
    request, _ = parse(document)
    assert request.duration == HOUR
    assert (request.earliest_start, request.latest_start) == (NOW, NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "start",
    [
        "2026-11-24/2026-11-25",  # over
        "2026-11-30/2026-11-28",  # the wrong way round, and ahead
        "2025-11-30/2025-11-28",  # the wrong way round, and past
        "2099-01-01/P1D",  # too far ahead
        "2026-11-30T12:00:00Z",  # no interval
        "P1D/P1D",
        "2026-02-30/P1D",
        "9999-12-31/P1Y",
        "soon",
    ],
)
def test_what_would_work_works(start):
    request, _ = parse(make_document(start=start))
    assert request is None
    (note,) = said(make_document(start=start))
    assert note.level is Level.ERROR
    assert f"{note.values['example']} would work" in note.text or note.text.endswith(note.values["example"])
    request, _ = parse(make_document(start=note.values["example"]))
    assert request is not None


def test_a_range_the_wrong_way_round_is_told_the_right_way_round():
    (note,) = said(make_document(start="2026-11-30/2026-11-28"))
    assert note.text == "'2026-11-30/2026-11-28' ends before it starts; 2026-11-28/2026-11-30 would work"


@pytest.mark.parametrize("duration", ["PT0S", "P0D", "-PT1H", "P20Y"])
def test_a_duration_that_cannot_be_had_says_which_could(duration):
    request, _ = parse(make_document(duration=duration))
    assert request is None
    (note,) = said(make_document(duration=duration), DURATION)
    assert "PT1H would work" in note.text


@settings(deadline=None)
@given(st.timedeltas(timedelta(days=-3), timedelta(days=3)), st.timedeltas(timedelta(0), timedelta(days=3)))
def test_the_range_is_what_was_asked_as_far_as_it_is_ahead(since, length):
    first, last = NOW + since, NOW + since + length
    request, _ = parse(make_document(start=f"{format_instant(first)}/{format_duration(length)}"))
    if last < NOW:
        assert request is None
    else:
        assert request.earliest_start == max(first, NOW)
        assert request.latest_start == last


def test_a_limit_knows_its_place_in_the_request():
    metric = {
        "kind": "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/metrics/"
        "simple-minmax-float-metric.yaml",
        "type": "urn:ivoa:calycopis:metric:compute-performance",
        "min": 1,
    }
    request, _ = parse(make_document(metrics=[metric, metric | {"min": 2}]))
    assert [limit.path for limit in request.metric_limits] == ["/metrics/0", "/metrics/1"]
