"""ISO 8601 durations and intervals, as the contract's own patterns have them."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract.times import (
    Reversed,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
    parse_interval,
)

# from utils.yaml of the contract
DURATION = (
    r"^(-?)P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?"
    r"(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$"
)
_DAY = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d(?:[:][0-5]\d(?:\.\d+)?)?(?:Z|[+\-](?:[01]\d|2[0-3]):[0-5]\d)?"
_POINT = f"(?:{_DAY}(?:T{_TIME})?)"
_LENGTH = r"(?:P\d+W|P(?=\d|T)(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?)"
INTERVAL = f"^(?:{_POINT}\\/(?:{_POINT}|{_LENGTH})|{_LENGTH}\\/{_POINT})$"
INSTANT = r"^(\d{4}(?:-\d{2}){2}T\d{2}(?::\d{2}){2}(?>[^\/]+))$"
JANUARY = datetime(2026, 1, 31, tzinfo=UTC)

lengths = st.timedeltas(timedelta(0), timedelta(days=3660))


@given(lengths)
def test_a_duration_comes_back_and_matches_the_contract(length):
    text = format_duration(length)
    assert re.search(DURATION, text)
    assert abs(parse_duration(text, JANUARY) - length) <= timedelta(microseconds=1)


@given(st.from_regex(re.compile(DURATION, re.ASCII), fullmatch=True))
def test_every_duration_of_the_contract_is_a_length_or_too_long(text):
    try:
        length = parse_duration(text, JANUARY)
    except ValueError:
        # only what reaches beyond the calendar is refused
        assert max(map(int, re.findall(r"\d+", text))) > 1000
    else:
        assert length <= timedelta(0) if text.startswith("-") else length >= timedelta(0)


@given(st.from_regex(re.compile(INTERVAL, re.ASCII), fullmatch=True))
def test_every_interval_of_the_contract_is_one_or_says_what_is_wrong(text):
    try:
        first, last = parse_interval(text)
    except Reversed as error:
        first, last = parse_interval(error.turned)
    except ValueError as error:
        # a day or a length that the calendar doesn't have; "PT" has no length, whatever the pattern says
        missing = re.search("exists|calendar|counts", str(error))
        first = last = None if missing or re.search("T(/|$)", text) else text
    if first is not None:
        assert first <= last
        assert first.utcoffset() == last.utcoffset() == timedelta(0)


zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    JANUARY.replace(year=1900, tzinfo=None), JANUARY.replace(year=2200, tzinfo=None), timezones=zones
)
short = st.timedeltas(timedelta(0), timedelta(days=400))


@given(moments, short)
def test_the_forms_of_an_interval_mean_the_same(moment, length):
    """START/END, START/DURATION and DURATION/END, in any zone, with weeks or fractions of a second."""
    start, end = moment.isoformat(), (moment + length).isoformat()
    expected = moment.astimezone(UTC), (moment + length).astimezone(UTC)
    for text in (f"{start}/{end}", f"{start}/{format_duration(length)}", f"{format_duration(length)}/{end}"):
        found = parse_interval(text)
        assert all(abs(a - b) <= timedelta(microseconds=1) for a, b in zip(found, expected, strict=True))
        if moment.utcoffset().seconds % 60 == 0:
            assert re.search(INTERVAL, text)


@given(st.dates(), st.integers(0, 60))
def test_dates_alone_are_their_midnights(day, weeks):
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        end = midnight + timedelta(weeks=weeks)
    except OverflowError:
        return
    assert parse_interval(f"{day}/P{weeks}W") == (midnight, end)
    assert parse_interval(f"P{weeks}W/{end.date()}") == (midnight, end)
    assert parse_interval(f"{day}/{end.date()}") == (midnight, end)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_comes_back_and_matches_the_contract(instant):
    text = format_instant(instant)
    assert re.search(INSTANT, text)
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT3H", timedelta(hours=3)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("P1M", timedelta(days=28)),  # 31 January and a month: 28 February
        ("P1Y", timedelta(days=365)),
        ("P2Y2M", datetime(2028, 3, 31, tzinfo=UTC) - JANUARY),
        ("-PT5S", timedelta(seconds=-5)),
    ],
)
def test_durations(text, length):
    assert parse_duration(text, JANUARY) == length


@pytest.mark.parametrize("text", ["", "P", "PT", "3h", "PT3", "P1H", "PT1,5S", "P1.5D", "PT3H ", "P٣D"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        parse_duration(text, JANUARY)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2023-08-09T12:00:00Z/2023-08-09T13:00:00Z", "2023-08-09T12:00:00", "2023-08-09T13:00:00"),
        ("2023-08-09/PT2H", "2023-08-09T00:00:00", "2023-08-09T02:00:00"),
        ("PT2H/2023-08-09", "2023-08-08T22:00:00", "2023-08-09T00:00:00"),
        ("2023-08-09/2023-08-10", "2023-08-09T00:00:00", "2023-08-10T00:00:00"),
        ("2023-08-09T12:00+02:00/P1M", "2023-08-09T10:00:00", "2023-09-09T10:00:00"),
        ("2023-08-09T12:00:00.25/PT0S", "2023-08-09T12:00:00.25", "2023-08-09T12:00:00.25"),
        ("P1M/2023-03-31", "2023-02-28T00:00:00", "2023-03-31T00:00:00"),
    ],
)
def test_intervals(text, first, last):
    expected = tuple(datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (first, last))
    assert parse_interval(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2023-08-09", "no '/'"),
        ("2023-02-30/P1D", "exists"),
        ("2023-08-09T25:00/P1D", "exists"),
        ("2023-08-09/-P1D", "no ISO 8601 instant"),
        ("2023-08-10/2023-08-09", "ends before"),
        ("P1D/P1D", "no ISO 8601 instant"),
        ("9999-12-31/P2D", "calendar"),
        ("P1D/0001-01-01", "calendar"),
        ("0001-01-01T00:00+23:59/P1D", "exists"),
        ("tomorrow/P1D", "no ISO 8601 instant"),
        ("/", "no ISO 8601 instant"),
    ],
)
def test_what_is_no_interval(text, said):
    with pytest.raises(ValueError, match=said):
        parse_interval(text)
