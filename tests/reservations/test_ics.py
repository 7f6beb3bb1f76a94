"""Windows and bookings for people's own calendars, read back by another implementation's rules."""

from datetime import UTC, datetime, timedelta

from icalendar import Calendar as Document

from reservations.asking import Answer
from reservations.calendar import Calendar, Host, Need, Rules, Taken
from reservations.ics import bookings_document, openings_document
from reservations.windows import Opening, Question

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def calendar(*taken):
    hosts = (Host("1", "node-1", {"VCPU": 8}), Host("2", "node-2", {"VCPU": 8}))
    return Calendar("perth", "blazar", "physical:host", hosts, taken, Rules(), NOW, NOW + 90 * DAY)


def events(data):
    return [part for part in Document.from_ical(data).walk() if part.name == "VEVENT"]


def test_an_opening_is_an_event_that_lasts_as_the_need_would_and_does_not_block():
    question = Question(Need({"VCPU": 4}), 2 * DAY, NOW, NOW + 30 * DAY)
    opening = Opening(NOW + DAY, NOW + 3 * DAY, ("1",))
    answer = Answer(calendar(), question, (opening,), ())
    (event,) = events(openings_document([answer], "4 cores, umlauts äöü; commas, too", NOW))
    assert event["dtstart"].dt == NOW + DAY
    assert event["dtend"].dt == NOW + 3 * DAY
    assert str(event["summary"]) == "perth has room for 4 cores, umlauts äöü; commas, too"
    assert str(event["transp"]) == "TRANSPARENT"
    assert "2026-12-04 12:00 UTC" in str(event["description"])


def test_the_same_window_is_the_same_event_tomorrow():
    question = Question(Need({"VCPU": 4}), DAY, NOW, NOW + 30 * DAY)
    answer = Answer(calendar(), question, (Opening(NOW + DAY, NOW + DAY, ("1",)),), ())
    uids = {
        str(events(openings_document([answer], "4 cores", now))[0]["uid"])
        for now in (NOW, NOW + timedelta(hours=1))
    }
    assert len(uids) == 1


def test_a_booking_of_many_hosts_is_one_event():
    taken = [Taken(host, NOW, NOW + DAY, None, "lease-1", "imaging", "ska-low") for host in ("1", "2")]
    open_end = Taken("1", NOW + 2 * DAY, None, None, "lease-2")
    first, second = events(bookings_document([calendar(*taken, open_end)], NOW + 30 * DAY, NOW))
    assert str(first["summary"]) == "perth: imaging"
    assert "node-1, node-2" in str(first["description"])
    assert "ska-low" in str(first["description"])
    assert second["dtend"].dt == NOW + 30 * DAY
