"""Waiting for what others do: until it is so, or until nobody acts any more. Never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

# how long what must merely happen may take: a machine that does much else, too, takes its time
SECONDS = 60.0


def until(
    so: Callable[[], T],
    wanted: str,
    seen: Callable[[], object] = lambda: "",
    seconds: float = SECONDS,
    pause: float = 0.01,
) -> T:
    """Return once it is `so`: what it is then. Fails with what was `wanted`, and with what is `seen` then.

    A longer `pause` is for what takes others work to say.
    """
    deadline = time.monotonic() + seconds
    while not (found := so()):
        assert time.monotonic() < deadline, f"{wanted}: not within {seconds:.0f} s; {seen()}"
        time.sleep(pause)
    return found


class ThreadsAtWork:
    """What an event loop has given to threads and waits for: while there is any, somebody still acts."""

    HANGS = 60.0  # seconds: what hangs is not waited for again; a database of a busy machine doesn't hang
    HOPS = 12  # turns of the loop without new work until nobody is taken to have any

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._work: set[asyncio.Future[Any]] = set()
        self._hanging: set[asyncio.Future[Any]] = set()
        self._run_in_executor = loop.run_in_executor
        loop.run_in_executor = self._watched  # type: ignore[method-assign, assignment]

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> ThreadsAtWork:
        watched = getattr(loop.run_in_executor, "__self__", None)
        return watched if isinstance(watched, cls) else cls(loop)

    def _watched(
        self, executor: Executor | None, work: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        future = self._run_in_executor(executor, work, *arguments)
        self._work.add(future)
        future.add_done_callback(self._work.discard)
        return future

    def leave(self, future: asyncio.Future[Any]) -> None:
        """Don't wait for it: it hangs on purpose."""
        self._hanging.add(future)

    async def all_done(self) -> None:
        """Return when whoever could act has acted, and sleeps until the clock is turned."""
        quiet = 0
        while quiet < self.HOPS:
            await asyncio.sleep(0)
            quiet += 1
            if waited := self._work - self._hanging:
                quiet = 0
                done, _ = await asyncio.wait(waited, timeout=self.HANGS, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    self._hanging |= waited
