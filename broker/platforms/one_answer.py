"""One answer for all who ask meanwhile: asking an engine for each of a hundred sessions is too much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OneAnswer(Generic[T]):
    """Shares what `ask` says. Every answer was asked for after whoever gets it had come.

    There is one question at a time, and `pause_seconds` at least between the beginnings of two.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], pause_seconds: float = 0.0) -> None:
        self._ask, self._pause = ask, pause_seconds
        # the answer that hasn't been asked for yet, and the one that is being asked for
        self._next: asyncio.Task[T] | None = None
        self._asked: asyncio.Task[T] | None = None
        self._asked_at = -float("inf")

    async def get(self) -> T:
        answer = self._next
        if answer is None or answer.get_loop() is not asyncio.get_running_loop():
            before = self._asked
            if before is not None and before.get_loop() is not asyncio.get_running_loop():
                before = None
            # whoever comes before it is really asked shares this answer
            answer = self._next = asyncio.create_task(self._after(before))
            answer.add_done_callback(_heard)
        # shield: one who gives up must not take the answer from the others
        return await asyncio.shield(answer)

    async def _after(self, before: asyncio.Task[Any] | None) -> T:
        if before is not None:
            await asyncio.wait({before})
        left = self._asked_at + self._pause - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        self._asked, self._asked_at = asyncio.current_task(), time.monotonic()
        self._next = None
        return await self._ask()


def _heard(answer: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not answer.cancelled():
        answer.exception()
