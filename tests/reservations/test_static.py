"""The operator's own bookings."""

from datetime import UTC, datetime

import pytest

from federation.clock import ManualClock
from federation.errors import InputError
from federation.sites import Place, Platform, Site, Space
from reservations.capacity import Booking
from reservations.sources import load_source
from reservations.sources.static import operator_bookings

DAY = datetime(2026, 12, 1, tzinfo=UTC)


def site(bookings):
    platform = Platform("simulated", 8, 32, 100, options={"bookings": bookings})
    return Site("perth", "Perth", Place(-31.95, 115.86), platform=platform)


def test_a_booking_takes_the_whole_site_unless_it_says_otherwise():
    tables = [{"start": DAY.replace(hour=8), "end": DAY.replace(hour=9)}]
    assert operator_bookings(site(tables), DAY, DAY.replace(hour=12)) == [
        Booking(DAY.replace(hour=8), DAY.replace(hour=9), 8, 32, 0)
    ]
    assert operator_bookings(site(tables), DAY.replace(hour=9), DAY.replace(hour=12)) == []


def test_a_site_without_a_platform_has_none():
    assert operator_bookings(Site("x", "X", Place(0, 0)), DAY, DAY.replace(hour=1)) == ()


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ("none", "expected a list of tables"),
        ([7], r"bookings\[0\]: expected a table"),
        ([{"start": DAY}], r"bookings\[0\].end: expected an instant"),
        ([{"start": DAY, "end": DAY}], "expected an end after the start"),
        ([{"start": DAY, "end": DAY.replace(hour=1), "cores": -1}], "cores: expected a whole number"),
        ([{"start": DAY, "end": DAY.replace(hour=1), "corse": 1}], "unknown corse"),
    ],
)
def test_a_bad_table_is_named(tables, expected):
    with pytest.raises(InputError, match=expected):
        operator_bookings(site(tables), DAY, DAY.replace(hour=12))


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(InputError, match="static"):
        load_source(site([]), Space("blazzar"), ManualClock(DAY))


def test_the_platform_is_one_host_and_the_operators_bookings_take_parts_of_it():
    tables = [{"start": DAY.replace(hour=8), "end": DAY.replace(hour=9), "cores": 2, "memory_gib": 4}]
    source = load_source(site(tables), Space("static"), ManualClock(DAY))
    (calendar,) = source.calendars(DAY, DAY.replace(hour=12))
    (host,) = calendar.hosts
    assert host.amounts == {"VCPU": 8, "MEMORY_MB": 32 * 1024, "DISK_GB": 100}
    (taken,) = calendar.taken
    assert (taken.host, taken.start, taken.end) == (host.id, DAY.replace(hour=8), DAY.replace(hour=9))
    assert taken.amounts == {"VCPU": 2, "MEMORY_MB": 4 * 1024, "DISK_GB": 0}
    assert calendar.known_at == DAY
