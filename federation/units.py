"""Quantities as people write them: parsed once at the edge into SI units and bytes, and written back.

What `format_*` writes, `parse_*` reads. Bits and bytes differ by the case of one letter, so that letter's
case counts ("Gb" is no size); the case of a prefix does not. Text that isn't understood raises InputError
with what was expected; so do negative quantities, because nothing here can be less than nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from federation.errors import InputError, one_line

A_RATE: Final = 'a rate such as "10 Gbit/s" or "250 Mbit/s"'
A_SIZE: Final = 'a size such as "256 GiB" or "200 MB"'
A_DURATION: Final = 'a duration such as "3d", "1h30m", "90 min" or "PT3H"'
AN_INSTANT: Final = 'an instant such as "2026-12-01T14:00Z", or how long from now ("3d")'
A_PAST_INSTANT: Final = 'an instant such as "2026-11-25T12:00Z", or how long ago ("2 h")'
A_TIME: Final = 'a time such as "150 ms", "10 s" or "5 min"'

# No exponent and no more digits than any quantity needs, so that hostile text stays cheap.
_NUMBER = r"\d{1,18}(?:\.\d{1,18})?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([a-zA-Zµμ/]*)", re.ASCII)
_PARTS = re.compile(rf"(?:{_NUMBER}\s*[a-zA-Zµμ]+\s*)+", re.ASCII)
_PART = re.compile(rf"({_NUMBER})\s*([a-zA-Zµμ]+)", re.ASCII)
_ISO = re.compile(
    rf"P(?!$)(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?=\d)(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?",
    re.ASCII,
)

_DECIMAL_PREFIXES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_SIZE_UNITS: Mapping[str, Decimal] = {
    f"{prefix}{binary}B": Decimal(1024 if binary else 1000) ** power
    for prefix, power in _DECIMAL_PREFIXES.items()
    for binary in (("", "i") if prefix else ("",))
}
_RATE_UNITS: Mapping[str, Decimal] = {
    **{
        f"{prefix}{name}": Decimal(1000) ** power
        for prefix, power in _DECIMAL_PREFIXES.items()
        for name in ("bit/s", "bps", "b/s")
    },
    **{f"{unit}/s": 8 * factor for unit, factor in _SIZE_UNITS.items()},
}
_SECONDS = {
    Decimal("0.000001"): ("us", "µs", "μs"),
    Decimal("0.001"): ("ms",),
    Decimal(1): ("s", "sec", "secs", "second", "seconds"),
    Decimal(60): ("m", "min", "mins", "minute", "minutes"),
    Decimal(3600): ("h", "hour", "hours"),
    Decimal(86_400): ("d", "day", "days"),
    Decimal(604_800): ("w", "week", "weeks"),
}
_TIME_UNITS: Mapping[str, Decimal] = {name: factor for factor, names in _SECONDS.items() for name in names}


def _quantity(text: str, units: Mapping[str, Decimal], expected: str) -> Decimal:
    match = _QUANTITY.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise _unexpected(text, expected)
    number, unit = match.groups()
    factor = units.get(unit[:1].lower() + unit[1:] if len(unit) > 1 and unit[0] not in "bB" else unit)
    if factor is None:
        raise _unexpected(text, expected)
    return Decimal(number) * factor


def _unexpected(text: object, expected: str) -> InputError:
    shown = f'"{text}"' if isinstance(text, str) else repr(text)
    return InputError(f"expected {expected}, got {one_line(shown[:80])}")


def parse_bits_per_second(text: str) -> float:
    """Bits per second: "10 Gbit/s", "250Mbps", "1.5 Gb/s"; also from bytes per second, "120 MB/s"."""
    return float(_quantity(text, _RATE_UNITS, A_RATE))


def parse_size_bytes(text: str) -> int:
    """Bytes, rounded to whole ones: "256 GiB", "200 MB", "512 B"."""
    return int(_quantity(text, _SIZE_UNITS, A_SIZE).to_integral_value())


def _seconds(text: str, expected: str) -> Decimal:
    stripped = text.strip() if isinstance(text, str) else ""
    iso = _ISO.fullmatch(stripped)
    if iso is not None:
        factors = (604_800, 86_400, 3600, 60, 1)
        return sum((Decimal(n) * f for n, f in zip(iso.groups(), factors, strict=True) if n), Decimal(0))
    if _PARTS.fullmatch(stripped) is None:
        raise _unexpected(text, expected)
    total, smallest = Decimal(0), None
    for number, unit in _PART.findall(stripped):
        factor = _TIME_UNITS.get(unit) or _TIME_UNITS.get(unit.lower())
        # "1h30m" falls from large units to small ones; "5 m 2 h" is more likely a slip than a duration
        if factor is None or (smallest is not None and factor >= smallest):
            raise _unexpected(text, expected)
        total, smallest = total + Decimal(number) * factor, factor
    return total


def parse_duration(text: str) -> timedelta:
    """A duration, to the microsecond: "3d", "90 min", "1h30m", or ISO 8601 without years and months ("PT3H").

    The length of an ISO year or month depends on when it starts, so these are refused.
    """
    try:
        return timedelta(microseconds=int((_seconds(text, A_DURATION) * 1_000_000).to_integral_value()))
    except OverflowError:
        raise _unexpected(text, A_DURATION) from None


def parse_instant(text: str, now: datetime, ago: bool = False) -> datetime:
    """An instant, in UTC: "2026-12-01", "2026-12-01 14:00", ISO 8601 with an offset, or a time from `now` on
    ("3d"; with `ago` before it). One without an offset is in UTC."""
    stripped = text.strip()
    if stripped.lower() == "now":
        return now
    try:
        found = datetime.fromisoformat(stripped)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        length = parse_duration(stripped)
        return now - length if ago else now + length
    except (InputError, OverflowError):
        raise _unexpected(text, A_PAST_INSTANT if ago else AN_INSTANT) from None


def parse_seconds(text: str) -> float:
    """Seconds, with fractions: "150 ms", "40 µs", "2.5 s", and whatever `parse_duration` reads."""
    return float(_seconds(text, A_TIME))


def _three_digits(value: float) -> float:
    """`value` rounded to three significant digits, so that the unit is chosen after rounding."""
    return float(f"{value:.3g}")


def _scaled(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "unknown"
    rounded = _three_digits(value)
    if abs(rounded) < 0.001:
        return f"0 {unit}"
    prefixes = ("", "k", "M", "G", "T", "P", "E")
    power = 0
    while abs(rounded) >= 1000 and power < len(prefixes) - 1:
        power += 1
        rounded = _three_digits(value / 1000.0**power)
    return f"{format_plain(rounded)} {prefixes[power]}{unit}"


def format_plain(number: float) -> str:
    """The shortest decimal text without an exponent."""
    return format(Decimal(repr(number)).normalize(), "f")


def format_bits_per_second(bits_per_second: float) -> str:
    """Three significant digits: "94.9 Mbit/s"."""
    return _scaled(bits_per_second, "bit/s")


def format_size(size_bytes: float) -> str:
    """Three significant digits and decimal prefixes: "200 MB"."""
    return _scaled(size_bytes, "B")


def format_seconds(seconds: float) -> str:
    """Two units at most: "150 ms", "16.4 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 0:
        return f"-{format_seconds(-seconds)}"
    rounded = _three_digits(seconds)
    if rounded == 0:
        return "0 s"
    if rounded < 0.001:
        return f"{format_plain(_three_digits(round(seconds * 1e6, 3)))} µs"
    if rounded < 1:
        return f"{format_plain(_three_digits(seconds * 1e3))} ms"
    if rounded < 60:
        return f"{format_plain(rounded)} s"
    for unit, part, unit_name, part_name, limit in (
        (60, 1, "min", "s", 3600),
        (3600, 60, "h", "min", 86_400),
        (86_400, 3600, "d", "h", math.inf),
    ):
        whole = round(seconds / part) * part
        if whole < limit:
            units, rest = divmod(whole, unit)
            return f"{units} {unit_name}" + (f" {rest // part} {part_name}" if rest else "")
    raise AssertionError("unreachable: the last unit has no limit")


def format_age(seconds: float) -> str:
    """How long ago, in the one unit that matters, rounded down: "4 min". The future counts as just now."""
    if not math.isfinite(seconds):
        return "unknown"
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(max(seconds, 0))} s"


def format_price(price: float) -> str:
    """To the hundredth; to two digits where that is little, so that nothing that costs looks free."""
    return f"{price:.2f}" if price == 0 or price >= 0.1 else format_plain(float(f"{price:.2g}"))


def format_share(share: float) -> str:
    """Three significant digits of a percentage: "1.25 %"; what is little isn't nothing: "0.000004 %"."""
    return f"{format_plain(_three_digits(100 * share))} %"


def format_count(number: int, noun: str) -> str:
    """How many of what, by a noun whose plural ends in s: "1 file", "1,200 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_apart(write: Callable[[float], str], one: float, other: float, unit: str = "") -> tuple[str, str]:
    """Both as `write` has them; with all of their digits, in `unit`, where it would say of two that they are
    the same."""
    said = write(one), write(other)
    if said[0] != said[1] or one == other:
        return said
    return f"{format_plain(one)} {unit}".rstrip(), f"{format_plain(other)} {unit}".rstrip()
