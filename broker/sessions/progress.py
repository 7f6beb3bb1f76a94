"""How far the preparation of a session is, in steps, bytes and seconds, for whoever waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from broker.model import Level, Note
from federation.clock import Clock
from federation.units import format_count, format_seconds, format_size
from netprobe.cost import Staging

# between two looks at how far it is: what takes less is never told
SHOW_SECONDS = 5.0
# of a transfer that has run for less, the forecast knows more than its own rate does
RATE_SECONDS = 2.0


@dataclass(frozen=True)
class Bringing:
    """How far the data's own system is: `files` of `of` are at `storages` of `site`, of together
    `size_bytes`, of `wanted_bytes`."""

    storages: str
    site: str
    files: int
    of: int
    size_bytes: int
    wanted_bytes: int


@dataclass
class Progress:
    """Written by the steps as they go; `note` is how it reads.

    Bytes count as moved for a file that was there already, too. Seconds left: the data at the rate that they
    have had so far, then what the image was forecast to take.
    """

    staging: Staging
    image_seconds: float
    step: str = "storage"
    data_began: datetime | None = None
    # of what is moved now
    data_bytes: int = 0
    data_done: bool = False
    # while the data's own system brings it, before it is moved
    bringing: Bringing | None = None

    def begin_bringing(self, now: datetime) -> None:
        self.step, self.data_began = "rule", now

    def end_bringing(self) -> None:
        self.bringing = None

    def begin_data(self, now: datetime) -> None:
        self.step, self.data_began = "data", now

    def moved(self, so_far: int) -> None:
        """So many bytes, of all files together."""
        self.data_bytes = so_far

    def end_data(self) -> None:
        self.data_done = True

    def begin_image(self) -> None:
        self.step = "image"

    @property
    def moved_bytes(self) -> int:
        total = self.staging.size_bytes
        return total if self.data_done else min(self.data_bytes, total)

    def seconds_left(self, now: datetime) -> float:
        return self.image_seconds + (0.0 if self.data_done else self._data_seconds_left(now))

    def _data_seconds_left(self, now: datetime) -> float:
        forecast = self.staging.seconds.p50
        if self.data_began is None:
            return forecast
        passed = (now - self.data_began).total_seconds()
        if passed >= RATE_SECONDS and self.moved_bytes > 0:
            return passed * (self.staging.size_bytes - self.moved_bytes) / self.moved_bytes
        return max(forecast - passed, 0.0)

    def percent(self, now: datetime) -> int:
        """Of the bytes, where there are any, else of the steps; 100 only when all is done."""
        if self.bringing is not None:
            return min(100 * self.bringing.size_bytes // max(self.bringing.wanted_bytes, 1), 99)
        total = self.staging.size_bytes
        if total == 0:
            return {"storage": 0, "data": 25, "image": 50}.get(self.step, 99)
        return min(int(100 * self.moved_bytes / total), 99)

    def note(self, now: datetime) -> Note:
        left = self.seconds_left(now)
        values = {
            "step": self.step,
            "percent": str(self.percent(now)),
            "moved_bytes": str(self.moved_bytes),
            "total_bytes": str(self.staging.size_bytes),
            "seconds_left": f"{left:.0f}",
            "left": format_seconds(left),
        }
        if self.bringing is not None:
            here = self.bringing
            values |= {
                "files": f"{here.files} of {here.of} files",
                "moved": format_size(here.size_bytes),
                "moved_bytes": str(here.size_bytes),
                "size": format_size(here.wanted_bytes),
                "total_bytes": str(here.wanted_bytes),
                "source": here.storages,
                "destination": here.site,
            }
            text = "{files}, {moved} of {size}, are at {source} of {destination}, brought by a rule; "
            text += "about {left} left"
        elif self.step == "data" and self.staging.moves:
            sources = dict.fromkeys(move.source or "outside the federation" for move in self.staging.moves)
            files = sum(move.files for move in self.staging.moves)
            values |= {
                "files": format_count(files, "file"),
                "moved": format_size(self.moved_bytes),
                "size": format_size(self.staging.size_bytes),
                "source": ", ".join(sources),
                "destination": self.staging.destination,
            }
            text = (
                "{moved} of {size} in {files} moved from {source} to {destination}; "
                "{percent} % of all data, about {left} left"
            )
        else:
            text = "Preparing: {step}; {percent} % done, about {left} left"
        return Note("progress", text, values, Level.INFO)


@contextlib.asynccontextmanager
async def shown(
    clock: Clock, progress: Progress, show: Callable[[Note], Awaitable[None]]
) -> AsyncIterator[None]:
    """While the block runs, `show` is called now and then with how far it is."""

    async def watch() -> None:
        last: tuple[object, ...] | None = None
        while True:
            await clock.sleep(SHOW_SECONDS)
            state = (progress.step, progress.moved_bytes, progress.bringing)
            if state != last:
                last = state
                await show(progress.note(clock.now()))

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
