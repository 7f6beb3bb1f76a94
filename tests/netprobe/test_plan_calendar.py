"""Calendars: local hours and weekdays, across midnight and the change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprobe.calendar import Calendar, read_calendar

NIGHTS = read_calendar({"zone": "Europe/Zurich", "hours": ["22:00-06:00"]}, "plan")
WORKDAYS = read_calendar({"weekdays": ["mon", "tue", "wed", "thu", "fri"]}, "plan")
FRIDAY_NIGHT = read_calendar({"weekdays": ["fri"], "hours": ["22:00-06:00"]}, "plan")
NOT_AT_CHRISTMAS = read_calendar({"not_during": ["2026-12-24T18:00/2026-12-27T06:00"]}, "plan")


@pytest.mark.parametrize(
    ("calendar", "instant", "is_open"),
    [
        # in winter Zurich is an hour ahead of UTC, in summer two
        (NIGHTS, "2026-01-10T20:59", False),
        (NIGHTS, "2026-01-10T21:00", True),
        (NIGHTS, "2026-01-11T04:59", True),
        (NIGHTS, "2026-01-11T05:00", False),
        (NIGHTS, "2026-07-10T20:00", True),
        (NIGHTS, "2026-07-11T04:00", False),
        (WORKDAYS, "2026-11-27T23:59", True),
        (WORKDAYS, "2026-11-28T00:00", False),
        # the night belongs to the day on which it begins
        (FRIDAY_NIGHT, "2026-11-28T05:00", True),
        (FRIDAY_NIGHT, "2026-11-27T05:00", False),
        (FRIDAY_NIGHT, "2026-11-28T22:00", False),
        (NOT_AT_CHRISTMAS, "2026-12-24T17:59", True),
        (NOT_AT_CHRISTMAS, "2026-12-25T12:00", False),
        (NOT_AT_CHRISTMAS, "2026-12-27T06:00", True),
    ],
)
def test_open_and_closed(calendar: Calendar, instant: str, is_open: bool) -> None:
    assert calendar.is_open(datetime.fromisoformat(instant).replace(tzinfo=UTC)) is is_open


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([NIGHTS, WORKDAYS, FRIDAY_NIGHT, NOT_AT_CHRISTMAS]),
)
def test_it_opens_at_the_first_open_minute(after: datetime, calendar: Calendar) -> None:
    opens = calendar.opens(after)
    assert opens is not None
    assert opens >= after
    assert calendar.is_open(opens)
    if opens > after:
        assert not calendar.is_open(opens - timedelta(seconds=1))
        steps = int((opens - after) / timedelta(minutes=15))
        assert not any(
            calendar.is_open(after + timedelta(minutes=15 * step)) for step in range(min(steps, 300))
        )


def test_one_that_never_opens() -> None:
    closed = read_calendar({"not_during": ["2020-01-01/2090-01-01"]}, "plan")
    assert closed.opens(datetime(2026, 1, 1, tzinfo=UTC)) is None
