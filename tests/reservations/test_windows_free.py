"""What is free over time, minute by minute; and what must stay true when a question changes."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InputError
from reservations.calendar import VCPU, Need
from reservations.windows import Question, free_steps, full_until, openings, total_free_steps
from tests.reservations.spaces import HORIZON, MINUTE, at, calendars, minute_of, questions, right_starts


def free_at(calendar, host, minute):
    """(amounts, whole hosts) that are free on a host in a minute."""
    now = [
        taken
        for taken in calendar.taken
        if taken.host == host.id and taken.start <= at(minute) and (not taken.end or at(minute) < taken.end)
    ]
    names = {name for each in calendar.hosts for name in each.amounts}
    if not host.bookable or any(taken.amounts is None for taken in now):
        return dict.fromkeys(names, 0), 0
    used = {name: sum(taken.amounts.get(name, 0) for taken in now) for name in names}
    return {name: max(host.amounts.get(name, 0) - used[name], 0) for name in names}, int(not now)


@given(calendars(), st.integers(-5, HORIZON), st.integers(0, 20))
def test_the_steps_of_a_host_and_of_all_are_what_is_free_each_minute(calendar, start, length):
    end = start + length
    singles = [free_steps(calendar, host.id, at(start), at(end)) for host in calendar.hosts]
    total = total_free_steps(calendar, at(start), at(end))
    for steps in [*singles, total]:
        assert [each.start for each in steps] == [at(start), *(each.end for each in steps)][: len(steps)]
        assert not length or steps[-1].end == at(end)
        assert all((a.amounts, a.hosts) != (b.amounts, b.hosts) for a, b in pairwise(steps))
    for minute in range(start, end):
        parts = [free_at(calendar, host, minute) for host in calendar.hosts]
        for steps, part in zip(singles, parts, strict=True):
            assert [(s.amounts, s.hosts) for s in steps if s.start <= at(minute) < s.end] == [part]
        ((amounts, hosts),) = [(s.amounts, s.hosts) for s in total if s.start <= at(minute) < s.end]
        assert hosts == sum(n for _, n in parts)
        assert amounts == {name: sum(part[name] for part, _ in parts) for name in amounts}


@given(calendars())
def test_a_host_that_is_not_there_is_named(calendar):
    with pytest.raises(InputError, match="no host 'x9' in the calendar test of perth"):
        free_steps(calendar, "x9", at(0), at(1))


@given(calendars(), st.integers(0, HORIZON))
def test_it_is_full_until_a_core_is_free(calendar, after):
    question = Question(Need({VCPU: 1}), calendar.rules.step, at(after), at(HORIZON + 10))
    right = right_starts(calendar, question)
    until = full_until(calendar, at(after))
    assert until == (at(right[0]) if right else None)


@given(calendars(), questions(), st.data())
def test_removing_a_booking_never_loses_a_start(calendar, question, data):
    kept = data.draw(st.lists(st.sampled_from(calendar.taken), unique_by=id)) if calendar.taken else []
    fewer = replace(calendar, taken=tuple(kept))
    assert starts(calendar, question) <= starts(fewer, question)


@given(calendars(), questions(), st.data())
def test_a_smaller_need_never_loses_a_start(calendar, question, data):
    need = question.need
    less = replace(
        need,
        units=data.draw(st.integers(1, need.units)),
        amounts={name: data.draw(st.integers(0, amount)) for name, amount in need.amounts.items()},
    )
    shorter = data.draw(st.integers(1, question.duration // MINUTE)) * MINUTE
    smaller = replace(question, need=less, duration=shorter)
    assert starts(calendar, question) <= starts(calendar, smaller)


@given(calendars(), questions(), st.randoms())
def test_the_order_of_hosts_and_bookings_changes_nothing_but_the_hosts(calendar, question, random):
    hosts, taken = list(calendar.hosts), list(calendar.taken)
    random.shuffle(hosts)
    random.shuffle(taken)
    other = replace(calendar, hosts=tuple(hosts), taken=tuple(taken))
    assert spans(calendar, question) == spans(other, question)


def spans(calendar, question):
    return [(each.start, each.latest_start) for each in openings(calendar, question, 1000)]


def starts(calendar, question):
    step = calendar.rules.step
    return {
        minute_of(start + n * step)
        for start, latest in spans(calendar, question)
        for n in range((latest - start) // step + 1)
    }
