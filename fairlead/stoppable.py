"""Asynchronous work inside a command, which SIGTERM ends as cleanly as Ctrl-C does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, in which SIGTERM cancels `work` and raises SystemExit(143) when it has ended.

    The command line's own handler raises wherever the process happens to be, and inside the event loop that
    would tear the loop down before the work had cleaned up.
    """
    terminated = False
    before = signal.getsignal(signal.SIGTERM)

    async def cancellable() -> T:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if terminated:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        # a loop that closes leaves the default behind
        signal.signal(signal.SIGTERM, before)
