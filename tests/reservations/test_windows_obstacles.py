"""Why something never fits, told against what a brute force finds."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar, Host, Need, Rules, Spread, Taken
from reservations.properties import parse_expression
from reservations.windows import Limit, Question, largest_ever, most_units, obstacles, openings
from tests.reservations.spaces import MINUTE, ZERO, at, calendars, questions, right_starts

HOSTS = (
    Host("a", "a", {VCPU: 16, MEMORY_MB: 65536}, {"zone": "north"}),
    Host("b", "b", {VCPU: 32, MEMORY_MB: 32768}, {"zone": "south"}, most={VCPU: 24}),
    Host("c", "c", {VCPU: 64, MEMORY_MB: 65536}, {"zone": "north"}, bookable=False),
)
CLOUD = Calendar("perth", "test", "test", HOSTS, (), Rules(), ZERO, at(100_000))

EAST = parse_expression('["==", "$zone", "east"]')
NORTH_AND_SOUTH = parse_expression('["and", ["==", "$zone", "north"], ["==", "$zone", "south"]]')


def why(need, calendar=CLOUD, duration=timedelta(hours=1)):
    return obstacles(calendar, Question(need, duration, at(0), at(1000)))


@pytest.mark.parametrize(
    ("need", "limit", "name", "asked", "possible"),
    [
        (Need({VCPU: 48}), Limit.CLASS, VCPU, 48, 24),
        (Need({VCPU: 48}, whole_hosts=True), Limit.CLASS, VCPU, 48, 32),
        (Need({VCPU: 1, PGPU: 1}), Limit.CLASS, PGPU, 1, 0),
        (Need({VCPU: 24, MEMORY_MB: 65536}), Limit.HOST, None, None, None),
        (Need({VCPU: 8}, units=7), Limit.UNITS, None, 7, 6),
        (Need({VCPU: 8}, units=5, spread=Spread.TOGETHER), Limit.UNITS, None, 5, 4),
        (Need({VCPU: 8}, units=3, spread=Spread.APART), Limit.UNITS, None, 3, 2),
        (Need({}, units=3, whole_hosts=True), Limit.UNITS, None, 3, 2),
        (Need({VCPU: 1}, properties=EAST), Limit.PROPERTIES, "zone", None, None),
        (Need({VCPU: 1}, properties=NORTH_AND_SOUTH), Limit.PROPERTIES, None, None, None),
    ],
)
def test_the_limit_is_named_with_its_figures(need, limit, name, asked, possible):
    (found,) = why(need)
    assert (found.limit, found.name, found.asked, found.possible) == (limit, name, asked, possible)


def test_sentences():
    calendar = replace(
        CLOUD,
        rules=Rules(longest=timedelta(days=2), furthest=timedelta(days=3)),
        caps={VCPU: 40},
        used={VCPU: 30},
    )
    found = why(Need({VCPU: 12, PGPU: 1}, 2), calendar, timedelta(days=4))
    assert [each.text for each in found] == [
        "4 d is longer than this cloud allows: 2 d at most",
        "it would end after 2026-01-04 00:00 UTC, and this cloud books no further ahead",
        "the quota allows 40 cores at a time and leaves 10 cores: this asks for 24 cores",
        "no host gives 1 GPU to one unit: no GPU is the most",
    ]
    (found,) = why(Need({VCPU: 1}, properties=EAST))
    assert found.text == "no host has zone == east: there is north, south"
    (found,) = why(Need({VCPU: 1}), replace(CLOUD, hosts=HOSTS[2:]))
    assert found.text == "the only host can't be booked now"
    (found,) = why(Need({VCPU: 8}, 3, spread=Spread.APART))
    assert found.text == (
        "even if nothing were booked, 2 of 3 on hosts of their own is the most that fits "
        "(2 of 3 hosts are right)"
    )
    taken = tuple(Taken(host, at(0), None, {VCPU: 16}, "x") for host in "ab")
    (found,) = why(Need({VCPU: 8}, 3), replace(CLOUD, taken=taken))
    assert (found.limit, found.asked, found.possible) == (Limit.BOOKED, 3, 2)
    assert found.text == (
        "too much is booked: 3 × 8 cores would fit if nothing were, "
        "and 2 of 3 fit at a time in the asked range"
    )


@given(calendars(), questions())
def test_there_is_an_obstacle_just_where_there_is_no_opening(calendar, question):
    found = obstacles(calendar, question)
    assert bool(found) == (not right_starts(calendar, question))
    if any(each.limit is not Limit.BOOKED for each in found):
        assert openings(replace(calendar, taken=()), question) == []


@given(calendars(), questions())
def test_the_most_units_are_one_less_than_what_doesnt_fit(calendar, question):
    units = most_units(calendar, question)
    for n in range(1, question.need.units + 1):
        more = replace(question, need=question.need.of(n))
        assert bool(right_starts(calendar, more)) == (n <= units)


@given(calendars(), questions())
def test_the_largest_ever_fits_into_the_empty_cloud(calendar, question):
    empty = replace(calendar, taken=(), rules=Rules())
    largest = largest_ever(calendar, question.need)

    def fits(need):
        return bool(openings(empty, Question(need, MINUTE, at(0), at(0)), 1))

    if largest is None:
        assert not fits(question.need.of(1))
        return
    assert fits(largest)
    if largest.units < question.need.units and largest.amounts == question.need.amounts:
        assert not fits(largest.of(largest.units + 1))
