"""The contract of capacity sources as one function, for sources that are recorded and those that are real."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from federation.clock import Clock
from federation.sites import Site
from reservations.calendar import Calendar, Sight
from reservations.sources import CapacitySource

SPAN = timedelta(days=14)


def check(source: CapacitySource, site: Site, clock: Clock) -> list[Calendar]:
    """Hold a source to what it owes for the two weeks from now on; its calendars."""
    start, end = clock.now(), clock.now() + SPAN
    found = list(source.calendars(start, end))
    assert found
    assert len({(each.source, each.kind) for each in found}) == len(found)
    for calendar in found:
        _check(calendar, site, start, end)
    # asked again nothing changed, but that it is known later
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: list(source.calendars(start, end)), range(4)))
    for other in again:
        assert [_timeless(each, start) for each in other] == [_timeless(each, start) for each in found]
    _check_nothing_appears(source, found, start, end)
    return found


def _timeless(calendar: Calendar, start: datetime) -> Calendar:
    return replace(calendar, known_at=start)


def _check(calendar: Calendar, site: Site, start: datetime, end: datetime) -> None:
    assert calendar.site == site.id
    assert calendar.kind
    for instant in (calendar.known_at, calendar.until):
        assert instant.utcoffset() == timedelta(0)
    assert calendar.known_at >= start
    # nothing is promised for a time that was not looked at
    assert calendar.until <= end
    hosts = {host.id for host in calendar.hosts}
    assert len(hosts) == len(calendar.hosts)
    for host in calendar.hosts:
        assert host.name
        assert all(amount >= 0 for amount in host.amounts.values())
        assert all(most >= 0 for most in host.most.values())
    for taken in calendar.taken:
        assert taken.host in hosts
        assert taken.booking
        assert taken.start.utcoffset() == timedelta(0)
        assert taken.start < end
        if taken.end is not None:
            assert taken.end.utcoffset() == timedelta(0)
            assert taken.end > taken.start
            assert taken.end > start
        assert taken.amounts is None or all(amount >= 0 for amount in taken.amounts.values())
    # what can't be seen is told
    assert calendar.sight is Sight.ALL or calendar.remarks
    assert all(remark and "\n" not in remark for remark in calendar.remarks)


def _check_nothing_appears(
    source: CapacitySource, found: list[Calendar], start: datetime, end: datetime
) -> None:
    """A shorter question is answered with a part of the longer one's answer."""
    middle = start + (end - start) / 2
    known = {(each.source, each.kind): set(map(repr, each.taken)) for each in found}
    for calendar in source.calendars(start, middle):
        assert set(map(repr, calendar.taken)) <= known[calendar.source, calendar.kind]
