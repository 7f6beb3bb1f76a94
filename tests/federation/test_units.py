"""Quantities as people write them: what is read and refused, and that what is written can be read again."""

from __future__ import annotations

import contextlib
import math
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from federation.errors import InputError
from federation.units import (
    format_age,
    format_apart,
    format_bits_per_second,
    format_count,
    format_price,
    format_seconds,
    format_share,
    format_size,
    parse_bits_per_second,
    parse_duration,
    parse_seconds,
    parse_size_bytes,
)

PARSERS = [parse_bits_per_second, parse_size_bytes, parse_duration, parse_seconds]


@pytest.mark.parametrize(
    ("text", "bits_per_second"),
    [
        ("10 Gbit/s", 1e10),
        ("250Mbps", 2.5e8),
        ("1.5 Gb/s", 1.5e9),
        ("9600 bit/s", 9600),
        ("64 kbit/s", 64_000),
        ("64 Kbit/s", 64_000),
        ("120 MB/s", 9.6e8),
        ("1 GiB/s", 8 * 2**30),
        ("0 bit/s", 0),
    ],
)
def test_rates_are_read(text, bits_per_second):
    assert parse_bits_per_second(text) == bits_per_second


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("256 GiB", 256 * 2**30),
        ("200 MB", 200_000_000),
        (" 512 B ", 512),
        ("1.5TiB", 3 * 2**39),
        ("1 kB", 1000),
        ("1 KiB", 1024),
        ("0.3 B", 0),
        ("16 EiB", 2**64),
    ],
)
def test_sizes_are_read(text, size_bytes):
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("PT3H", timedelta(hours=3)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("P2W", timedelta(weeks=2)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("3d", timedelta(days=3)),
        ("90 min", timedelta(minutes=90)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("2 h 5 min", timedelta(hours=2, minutes=5)),
        ("1 Week", timedelta(weeks=1)),
        ("0 s", timedelta(0)),
    ],
)
def test_durations_are_read(text, duration):
    assert parse_duration(text) == duration
    assert parse_seconds(text) == duration.total_seconds()


@pytest.mark.parametrize(
    ("text", "seconds"), [("150 ms", 0.15), ("40 µs", 4e-5), ("40us", 4e-5), ("2.5 s", 2.5)]
)
def test_short_times_are_read(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_size_bytes, "64 Gb"),  # bits are no size
        (parse_size_bytes, "64"),  # of what?
        (parse_size_bytes, "64 G"),
        (parse_size_bytes, "-1 GB"),
        (parse_size_bytes, "1e3 GB"),
        (parse_size_bytes, "1 GB 2"),
        (parse_bits_per_second, "10 Gbit"),
        (parse_bits_per_second, "10 GiB"),
        (parse_bits_per_second, "nan bit/s"),
        (parse_duration, "90"),
        (parse_duration, "P1Y"),
        (parse_duration, "P1M"),  # a month is no length
        (parse_duration, "P"),
        (parse_duration, "PT"),
        (parse_duration, "P1DT"),
        (parse_duration, "5 m 2 h"),
        (parse_duration, "1 h 1 h"),
        (parse_duration, "-3 h"),
        (parse_duration, "999999999999 d"),
        (parse_seconds, "١ s"),
    ],
)
def test_what_is_refused(parse, text):
    with pytest.raises(InputError, match=r"^expected a .* such as ") as caught:
        parse(text)
    assert str(caught.value).endswith(f'got "{text}"')


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("value", [7, None, True, ["1 s"], "", "\n", "x\ny", "9" * 10_000 + " s"])
def test_other_types_and_strange_texts_are_refused_in_one_short_line(parse, value):
    with pytest.raises(InputError) as caught:
        parse(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text())
def test_no_text_raises_anything_else(parse, text):
    with contextlib.suppress(InputError):
        parse(text)


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (format_bits_per_second, 94.9e6, "94.9 Mbit/s"),
        (format_bits_per_second, 1e10, "10 Gbit/s"),
        (format_bits_per_second, 999_950_000, "1 Gbit/s"),
        (format_bits_per_second, 1e-300, "0 bit/s"),
        (format_bits_per_second, 0, "0 bit/s"),
        (format_bits_per_second, 123_456_789, "123 Mbit/s"),
        (format_size, 200_000_000, "200 MB"),
        (format_size, 999, "999 B"),
        (format_size, 10**22, "10000 EB"),
        (format_seconds, 16.4, "16.4 s"),
        (format_seconds, 0.15, "150 ms"),
        (format_seconds, 0.00034, "340 µs"),
        (format_seconds, 0, "0 s"),
        (format_seconds, 59.97, "1 min"),
        (format_seconds, 200, "3 min 20 s"),
        (format_seconds, 3599.7, "1 h"),
        (format_seconds, 7500, "2 h 5 min"),
        (format_seconds, 86_399, "1 d"),
        (format_seconds, 273_600, "3 d 4 h"),
        (format_seconds, -7500, "-2 h 5 min"),
        (format_age, 240, "4 min"),
        (format_age, 299, "4 min"),
        (format_age, 59.9, "59 s"),
        (format_age, -3, "0 s"),
        (format_age, 7_300, "2 h"),
        (format_age, 200_000, "2 d"),
        (format_price, 0, "0.00"),
        (format_price, 1234.5, "1234.50"),
        (format_price, 0.031_4, "0.031"),
        (format_price, 0.000_012_3, "0.000012"),
        (format_share, 0.0125, "1.25 %"),
        (format_share, 1, "100 %"),
        (format_share, 4.2e-8, "0.0000042 %"),
        (format_share, 0, "0 %"),
    ],
)
def test_what_is_written(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize("write", [format_bits_per_second, format_size, format_seconds, format_age])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_unknown(write, value):
    assert write(value) == "unknown"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (12_000, "12,000 files")]
)
def test_one_is_not_many(number, text):
    assert format_count(number, "file") == text


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e9))
@example(0.0301, 0.0302)
@example(12_345.001, 12_345.002)
def test_two_that_differ_are_never_said_to_be_the_same(a, b):
    one, other = format_apart(format_price, a, b)
    assert (one == other) == (a == b)
    assert "e" not in one + other


def test_sizes_that_are_told_apart_have_their_unit():
    assert format_apart(format_size, 40_000_001, 40_000_000, "B") == ("40000001 B", "40000000 B")
    assert format_apart(format_size, 40_000_000, 1_000_000, "B") == ("40 MB", "1 MB")


@given(st.floats(min_value=1e-2, max_value=1e20))
def test_a_rate_is_read_again_to_three_digits(value):
    assert parse_bits_per_second(format_bits_per_second(value)) == pytest.approx(value, rel=5.1e-3)


@given(st.integers(min_value=0, max_value=10**20))
def test_a_size_is_read_again_to_three_digits(value):
    assert parse_size_bytes(format_size(value)) == pytest.approx(value, rel=5.1e-3)


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_time_is_read_again_to_its_second_unit(value):
    # "1 d 1 h" is the coarsest: half an hour in a day
    assert parse_seconds(format_seconds(value)) == pytest.approx(value, rel=2.2e-2)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30_000)))
def test_iso_durations_are_exact(duration):
    seconds, microseconds = duration.seconds, duration.microseconds
    text = f"P{duration.days}DT{seconds // 3600}H{seconds % 3600 // 60}M{seconds % 60}.{microseconds:06d}S"
    assert parse_duration(text) == duration


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e9))
def test_more_is_never_written_as_less(a, b):
    low, high = sorted((a, b))
    assert parse_seconds(format_seconds(low)) <= parse_seconds(format_seconds(high))
    assert parse_bits_per_second(format_bits_per_second(low)) <= parse_bits_per_second(
        format_bits_per_second(high)
    )
    assert parse_size_bytes(format_size(low)) <= parse_size_bytes(format_size(high))
    assert parse_seconds(format_age(low)) <= parse_seconds(format_age(high))


@given(
    st.integers(min_value=0, max_value=10**6),
    st.sampled_from(["B", "kB", "KiB", "MB", "MiB", "GB", "GiB", "TiB"]),
)
def test_whole_sizes_are_exact(number, unit):
    factor = (1024 if "i" in unit else 1000) ** "BKMGT".index(unit[0].upper())
    assert parse_size_bytes(f"{number} {unit}") == number * factor
