"""How much is taken hour by hour: exact, and the same as counting minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.calendar import MEMORY_MB, VCPU, Calendar, Host, Rules, Sight, Taken
from reservations.counted import counted
from reservations.occupancy import Grid, hour_of, size, taken_by_hour, taken_of_host
from tests.reservations.spaces import MINUTE, ZERO, at, calendars

HOUR = timedelta(hours=1)


def test_a_grid_has_every_hour_that_the_time_has_a_part_of() -> None:
    half_past = ZERO + timedelta(minutes=30)
    assert Grid.of(half_past, half_past + HOUR) == Grid(ZERO, 2)
    assert Grid.of(half_past, ZERO + HOUR) == Grid(ZERO, 1)
    assert Grid.of(half_past, half_past).count == 1
    assert Grid.of(ZERO, ZERO).count == 0
    assert hour_of(datetime(2026, 1, 1, 12, 59, 59, tzinfo=UTC)) == ZERO + 12 * HOUR


def test_a_span_counts_for_the_part_of_an_hour_that_it_covers() -> None:
    grid = Grid(ZERO, 4)
    spans = [
        (ZERO + HOUR / 2, ZERO + 2.25 * HOUR, 8.0),
        (ZERO - 5 * HOUR, ZERO + HOUR / 4, 4.0),
        (ZERO + 3.5 * HOUR, None, 2.0),
        (ZERO + 9 * HOUR, ZERO + 10 * HOUR, 100.0),
        (ZERO - 9 * HOUR, ZERO - 8 * HOUR, 100.0),
    ]
    assert grid.spread(spans).tolist() == pytest.approx([5.0, 8.0, 2.0, 1.0])


@given(
    st.lists(
        st.tuples(st.integers(-300, 600), st.none() | st.integers(0, 400), st.integers(0, 9)), max_size=8
    ),
    st.integers(0, 6),
)
def test_spans_sum_up_to_what_counting_minutes_gives(
    rows: list[tuple[int, int | None, int]], hours: int
) -> None:
    grid = Grid(ZERO, hours)
    spans = [
        (at(first), None if length is None else at(first + length), float(n)) for first, length, n in rows
    ]
    wanted = [
        sum(
            amount
            for start, end, amount in spans
            for minute in range(60 * hour, 60 * hour + 60)
            if start <= at(minute) and (end is None or at(minute) < end)
        )
        / 60
        for hour in range(hours)
    ]
    assert grid.spread(spans).tolist() == pytest.approx(wanted)


def taken_at(calendar: Calendar, host: Host, name: str, minute: int) -> int:
    """By the words: a host is never more than full, and what can't be booked isn't there."""
    now = at(minute)
    there = [
        each
        for each in calendar.taken
        if each.host == host.id and each.start <= now and (each.end is None or now < each.end)
    ]
    have = host.amounts.get(name, 0)
    if not host.bookable:
        return 0
    if any(each.amounts is None for each in there):
        return have
    return min(have, sum((each.amounts or {}).get(name, 0) for each in there))


@given(calendars())
def test_what_is_taken_of_a_calendar_is_what_counting_minutes_gives(calendar: Calendar) -> None:
    grid = Grid(ZERO - HOUR, 3)
    for name, found in taken_by_hour(calendar, grid, (VCPU, MEMORY_MB)).items():
        by_host = {
            host.id: [
                sum(taken_at(calendar, host, name, minute) for minute in range(first, first + 60)) / 60
                for first in (-60, 0, 60)
            ]
            for host in calendar.hosts
        }
        assert found.tolist() == pytest.approx(np.sum(list(by_host.values()), axis=0).tolist())
        if name == VCPU:
            for host, wanted in by_host.items():
                assert taken_of_host(calendar, host, grid, VCPU).tolist() == pytest.approx(wanted)


def of(kind: str, *names: str, sight: Sight = Sight.ALL) -> Calendar:
    hosts = tuple(Host(name, name, {VCPU: 4}, bookable=name != "c" or kind == "gpu") for name in names)
    taken = (Taken("b", ZERO, None, None, "job"),) if "b" in names else ()
    return Calendar("perth", "cloud", kind, hosts, taken, Rules(), ZERO, ZERO + MINUTE * len(kind), sight)


def test_of_several_ways_to_book_the_same_machines_the_one_that_shows_parts_counts() -> None:
    whole, parts = of("physical:host", "a", "b"), of("virtual:instance", "a", "b")
    assert counted([whole, parts]) is parts
    assert counted([whole, of("unreserved", "a", sight=Sight.NONE)]) is whole
    assert counted([of("virtual:instance")]) is None


def test_of_parts_with_machines_of_their_own_each_machine_counts_once() -> None:
    found = counted([of("batch", "a", "b", "c"), of("gpu", "b", "c")])
    assert found is not None
    assert [(host.id, host.bookable) for host in found.hosts] == [("a", True), ("b", True), ("c", True)]
    found = counted([of("gpu", "b", "c"), of("batch", "a", "b", "c")])
    assert found is not None
    assert [(host.id, host.bookable) for host in found.hosts] == [("b", True), ("c", True), ("a", True)]
    assert (size(found)[VCPU], len(found.taken), found.kind) == (12, 1, "cloud")
    # what only one of them knows is not known
    assert found.until == ZERO + 3 * MINUTE
    assert counted([of("batch", "a"), of("gpu")]) == of("batch", "a")
