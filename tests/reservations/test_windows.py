"""Openings against a brute force that tries every start, every host and every set of bookings."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from reservations.calendar import Spread
from reservations.windows import openings
from tests.reservations.spaces import calendars, minute_of, questions, right_starts, units_on


def starts_of(calendar, found):
    step = calendar.rules.step
    return [
        minute_of(opening.start + n * step)
        for opening in found
        for n in range((opening.latest_start - opening.start) // step + 1)
    ]


@settings(max_examples=300)
@given(calendars(), questions())
def test_the_openings_are_exactly_the_starts_at_which_it_fits(calendar, question):
    found = openings(calendar, question, 1000)
    assert starts_of(calendar, found) == right_starts(calendar, question)
    assert all(a.latest_start + calendar.rules.step < b.start for a, b in pairwise(found))


@given(calendars(), questions())
def test_the_hosts_of_an_opening_have_room_for_its_units(calendar, question):
    need, step = question.need, calendar.rules.step
    end = -(-question.duration // step) * step
    for opening in openings(calendar, question, 3):
        places = Counter(opening.hosts)
        assert places.total() == need.units
        for host in calendar.hosts:
            most = units_on(calendar, host, need, opening.start, opening.start + end)
            assert places[host.id] <= most
        if need.spread is Spread.TOGETHER:
            assert len(places) == 1
        if need.spread is Spread.APART:
            assert set(places.values()) == {1}


@given(calendars(), questions(), st.integers(1, 3))
def test_only_the_first_are_given_when_fewer_are_asked_for(calendar, question, count):
    assert openings(calendar, question, count) == openings(calendar, question, 1000)[:count]
