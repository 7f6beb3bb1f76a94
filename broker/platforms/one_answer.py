"""One answer for all who ask meanwhile: asking an engine for each of a hundred sessions is too much."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Question(Generic[T]):
    answer: asyncio.Task[T]
    askers: int = 0


class OneAnswer(Generic[T]):
    """Shares what `ask` says. Every answer was asked for after whoever gets it had come.

    There is one question at a time, and `pause_seconds` at least between the beginnings of two.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], pause_seconds: float = 0.0) -> None:
        self._ask, self._pause = ask, pause_seconds
        # the answer that hasn't been asked for yet, and the one that is being asked for
        self._next: _Question[T] | None = None
        self._asked: asyncio.Task[Any] | None = None
        self._asked_at = -float("inf")

    async def get(self) -> T:
        question = self._next
        if question is None or question.answer.get_loop() is not asyncio.get_running_loop():
            before = self._asked
            if before is not None and before.get_loop() is not asyncio.get_running_loop():
                before = None
            # whoever comes before it is really asked shares this answer
            question = self._next = _Question(asyncio.create_task(self._after(before)))
            question.answer.add_done_callback(_heard)
        question.askers += 1
        try:
            # shield: one who gives up must not take the answer from the others
            return await asyncio.shield(question.answer)
        finally:
            question.askers -= 1
            if question.askers == 0 and not question.answer.done():
                await self._drop(question)

    async def _drop(self, question: _Question[T]) -> None:
        """End a question that nobody asks any more: nothing goes on behind the last asker."""
        if self._next is question:
            self._next = None
        question.answer.cancel()
        while not question.answer.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({question.answer})

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
