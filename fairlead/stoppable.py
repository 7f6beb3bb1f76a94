"""Asynchronous work inside a command, which SIGTERM ends as cleanly as Ctrl-C does.

The exit status says which it was, in every command: 130 for Ctrl-C, 143 for SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ended(Generic[T]):
    """What the work returned. `exit_status` is 0, or that of the signal which made it return early."""

    result: T
    exit_status: int


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. A signal cancels it; when it has ended, KeyboardInterrupt or SystemExit(143)."""
    ended = run_to_end(work)
    _leave(ended.exit_status)
    return ended.result


def run_to_end(work: Coroutine[Any, Any, T]) -> Ended[T]:
    """As `run`, for work that has something to say when it is cancelled, and returns that.

    The command line's own handlers raise wherever the process happens to be, and inside the event loop that
    would tear the loop down before the work had cleaned up.
    """
    stopped_by = 0

    async def cancellable() -> T:
        task = asyncio.current_task()

        def stop(number: int) -> None:
            nonlocal stopped_by
            stopped_by = stopped_by or number
            if task is not None:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        return await work

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        result = asyncio.run(cancellable())
    except asyncio.CancelledError:
        _leave(128 + stopped_by if stopped_by else 0)
        raise
    finally:
        # a loop that closes leaves the defaults behind
        for number, handler in before.items():
            signal.signal(number, handler)
    return Ended(result, 128 + stopped_by if stopped_by else 0)


def _leave(exit_status: int) -> None:
    if exit_status == 128 + signal.SIGINT:
        raise KeyboardInterrupt from None
    if exit_status:
        raise SystemExit(exit_status) from None
