"""Blazar's dates: UTC without saying so, in whole minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
_ASKED = "%Y-%m-%d %H:%M"


def minute_up(instant: datetime) -> datetime:
    """The instant, or the next whole minute after it."""
    floor = instant.astimezone(UTC).replace(second=0, microsecond=0)
    return floor if floor == instant else floor + MINUTE


def minute_down(instant: datetime) -> datetime:
    """The whole minute that the instant is in."""
    return instant.astimezone(UTC).replace(second=0, microsecond=0)


def asked(instant: datetime) -> str:
    """As Blazar reads a date; part of a minute counts as a whole one."""
    return minute_up(instant).strftime(_ASKED)


def told(text: str) -> datetime:
    """A date as Blazar writes it: `2026-11-23T17:25:00.000000`, or with a space and no fraction."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
