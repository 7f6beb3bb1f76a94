"""How the report's figures are said."""

from __future__ import annotations

from datetime import datetime

from federation.units import format_age, format_seconds
from reservations.calendar import Sight
from reservations.words import binary_words


def wait_words(seconds: float) -> str:
    """Clouds book in whole minutes: the next one is now."""
    return "now" if seconds <= 60 else f"in {format_seconds(seconds - seconds % 60)}"


def short(text: str) -> str:
    return text if len(text) <= 110 else f"{text[:109]}…"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def percent(share: float | None) -> str:
    if share is None:
        return "unknown"
    found = share * 100
    return f"{found:.1f} %" if 0 < found < 10 else f"{found:.0f} %"


def count(value: float) -> str:
    return f"{value:,.0f}"


def number(value: float) -> str:
    # what rounds to a thousand would have an exponent
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def times(value: float) -> str:
    return f"{value:,.0f} times"


def memory(gib: float) -> str:
    return binary_words(round(gib * 1024), "MiB")


def minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def hour(instant: datetime) -> str:
    return f"{instant:%a %Y-%m-%d %H:%M}"


def day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d}"


def age(seconds: float) -> str:
    return "just now" if seconds < 5 else f"{format_age(seconds)} ago"


def yes_no(value: bool) -> str:
    return "yes" if value else "no"


def sight(value: str) -> str:
    return {
        Sight.ALL: "all bookings", Sight.OWN: "our own bookings", Sight.NONE: "no bookings"
    }[Sight(value)]  # fmt: skip
