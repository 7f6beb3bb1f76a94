"""How far the preparation of a session is, in steps, bytes and seconds, for whoever waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from broker.model import Level, Note
from federation.clock import Clock
from federation.units import format_seconds, format_size
from netprobe.cost import Move, Staging

# between two looks at how far it is: what takes less is never told
SHOW_SECONDS = 5.0
# of a transfer that has run for less, the forecast knows more than its own rate does
RATE_SECONDS = 2.0


@dataclass
class Progress:
    """Written by the steps as they go; `note` is how it reads.

    Bytes count as moved for a file that was there already, too. Seconds left: the present transfer at the
    rate that it has had so far, then what was forecast (median) for the others and for the image.
    """

    staging: Staging
    image_seconds: float
    step: str = "storage"
    move: Move | None = None
    name: str = ""
    move_began: datetime | None = None
    move_bytes: int = 0
    done_bytes: int = 0
    done_moves: int = 0

    def begin_move(self, name: str, move: Move, now: datetime) -> None:
        self.step, self.name, self.move, self.move_began, self.move_bytes = "data", name, move, now, 0

    def moved(self, so_far: int) -> None:
        """So many bytes of the present transfer."""
        self.move_bytes = so_far

    def end_move(self) -> None:
        if self.move is not None:
            self.done_bytes += self.move.size_bytes
            self.done_moves += 1
        self.move, self.move_bytes = None, 0

    def begin_image(self) -> None:
        self.step = "image"

    @property
    def moved_bytes(self) -> int:
        return min(self.done_bytes + self.move_bytes, self.staging.size_bytes)

    def seconds_left(self, now: datetime) -> float:
        if self.step == "image":
            return self.image_seconds
        later = self.staging.moves[self.done_moves + (self.move is not None) :]
        return self._move_seconds_left(now) + sum(each.seconds.p50 for each in later) + self.image_seconds

    def _move_seconds_left(self, now: datetime) -> float:
        if self.move is None or self.move_began is None:
            return 0.0
        passed = (now - self.move_began).total_seconds()
        if passed >= RATE_SECONDS and self.move_bytes > 0:
            return passed * max(self.move.size_bytes - self.move_bytes, 0) / self.move_bytes
        return max(self.move.seconds.p50 - passed, 0.0)

    def percent(self, now: datetime) -> int:
        """Of the bytes, where there are any, else of the steps; 100 only when all is done."""
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
        if self.move is not None:
            values |= {
                "name": self.name,
                "moved": format_size(self.move_bytes),
                "size": format_size(self.move.size_bytes),
                "source": self.move.source or "outside the federation",
                "destination": self.move.destination,
                "all_moved": format_size(self.moved_bytes),
                "all_size": format_size(self.staging.size_bytes),
            }
            text = (
                "{name}: {moved} of {size} moved from {source} to {destination}; "
                "{percent} % of all data ({all_moved} of {all_size}), about {left} left"
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
            state = (progress.step, progress.name, progress.moved_bytes)
            if state != last:
                last = state
                await show(progress.note(clock.now()))

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
