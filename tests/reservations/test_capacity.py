"""Windows against a brute-force oracle that tries every minute."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.capacity import (
    Booking,
    Capacity,
    Timeline,
    Window,
    both,
    first_windows,
    free_throughout,
    least_free,
)

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HORIZON = 40


def at(minute: int) -> datetime:
    return ZERO + minute * MINUTE


bookings_strategy = st.lists(
    st.builds(
        lambda start, length, cores, memory, storage: Booking(
            at(start), at(start + length), cores, memory, storage
        ),
        st.integers(-5, HORIZON),
        st.integers(1, 15),
        st.integers(0, 5),
        st.integers(0, 9),
        st.integers(0, 3),
    ),
    max_size=10,
)
needs = st.builds(Capacity, st.integers(0, 5), st.integers(0, 9), st.integers(0, 3))
POOL = Capacity(4, 8, 2)


def load(bookings, minute):
    taken = [b for b in bookings if b.start <= at(minute) < b.end]
    return Capacity(
        sum(b.cores for b in taken), sum(b.memory_gib for b in taken), sum(b.storage_gib for b in taken)
    )


def free_at(bookings, minute):
    """Nothing is free where more is booked than there is."""
    taken = load(bookings, minute)
    return Capacity(
        max(POOL.cores - taken.cores, 0),
        max(POOL.memory_gib - taken.memory_gib, 0),
        max(POOL.storage_gib - taken.storage_gib, 0),
    )


def fits_at(bookings, need, start, length):
    return all(free_at(bookings, m).fits(need) for m in range(start, start + length))


@given(bookings_strategy, needs, st.integers(1, 12), st.integers(0, 10), st.integers(0, 30))
def test_the_windows_are_exactly_the_starts_at_which_it_fits(bookings, need, length, earliest, span):
    latest = earliest + span
    windows = first_windows(POOL, bookings, need, length * MINUTE, at(earliest), at(latest), count=1000)
    found = {
        m for m in range(earliest, latest + 1) if any(w.start <= at(m) <= w.latest_start for w in windows)
    }
    assert found == {m for m in range(earliest, latest + 1) if fits_at(bookings, need, m, length)}
    assert all(w.start <= w.latest_start for w in windows)
    assert all(a.latest_start < b.start for a, b in pairwise(windows))


@given(bookings_strategy, needs, st.integers(1, 12), st.integers(1, 3))
def test_fewer_windows_are_the_first_ones(bookings, need, length, count):
    everything = first_windows(POOL, bookings, need, length * MINUTE, at(0), at(30), count=1000)
    assert first_windows(POOL, bookings, need, length * MINUTE, at(0), at(30), count) == everything[:count]


@given(bookings_strategy, st.integers(0, 20), st.integers(1, 20))
def test_what_is_free_throughout_is_the_least_of_every_minute(bookings, start, length):
    free = [free_at(bookings, m) for m in range(start, start + length)]
    assert free_throughout(POOL, bookings, at(start), at(start + length)) == Capacity(
        min(f.cores for f in free),
        min(f.memory_gib for f in free),
        min(f.storage_gib for f in free),
    )


def test_a_start_at_the_very_end_of_a_booking_fits():
    bookings = [Booking(at(0), at(10), 4, 1)]
    assert first_windows(POOL, bookings, Capacity(1, 1), 5 * MINUTE, at(0), at(20)) == [
        Window(at(10), at(20))
    ]


def test_nothing_larger_than_the_pool_ever_fits():
    assert first_windows(POOL, [], Capacity(5, 1), MINUTE, at(0), at(20)) == []


def test_a_duration_of_zero_is_a_mistake():
    with pytest.raises(ValueError, match="more than zero"):
        first_windows(POOL, [], Capacity(1, 1), timedelta(0), at(0), at(20))


@given(bookings_strategy, st.integers(-10, 50), st.integers(1, 40))
def test_a_timeline_says_the_same_as_all_its_bookings(bookings, start, length):
    """Made of some bookings, and beside them of others; its steps cover what was asked, without gaps."""
    whole = Timeline.of(POOL, bookings)
    apart = Timeline.of(POOL, bookings[::2]).beside(bookings[1::2])
    since, until = at(start), at(start + length)
    assert list(whole.steps(since, until)) == list(apart.steps(since, until))
    assert least_free(whole, since, until) == free_throughout(POOL, bookings, since, until)
    steps = list(whole.steps(since, until))
    assert (steps[0][0], steps[-1][1]) == (since, until)
    assert all(a[1] == b[0] for a, b in pairwise(steps))
    for begins, ends, free in steps:
        for minute in range(start, start + length):
            if begins <= at(minute) < ends:
                assert free == free_at(bookings, minute)


windows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5).map(
    lambda pairs: [
        Window(at(20 * n + first), at(20 * n + first + length)) for n, (first, length) in enumerate(pairs)
    ]
)


@given(windows, windows)
def test_a_start_in_both_lies_in_a_window_of_each(first, second):
    def starts(found):
        return {m for w in found for m in range(120) if w.start <= at(m) <= w.latest_start}

    found = both(first, second)
    assert starts(found) == starts(first) & starts(second)
    assert all(a.latest_start < b.start for a, b in pairwise(found))
