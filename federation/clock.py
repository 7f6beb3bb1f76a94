"""Time, timezone-aware and in UTC, behind an interface that a test can turn."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where the code gets the time from. An implementation may be shared between threads and tasks."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock. Cancelling it is harmless."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when it is turned: for tests, and for replaying the past."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at a timezone-aware instant")
        self._now = start.astimezone(UTC)
        self._sleepers: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Turn the clock forward and wake whoever slept until then."""
        if seconds < 0:
            raise ValueError("a clock doesn't run backwards")
        self._now += timedelta(seconds=seconds)
        for due, event in self._sleepers:
            if due <= self._now:
                event.set()
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._now]

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        event = asyncio.Event()
        self._sleepers.append((self._now + timedelta(seconds=seconds), event))
        await event.wait()
