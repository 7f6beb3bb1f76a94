"""A second Ctrl-C: the server leaves its loop without a word to the application, whose task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def cut_short(app: Any, when_up: Callable[[], object] = lambda: None) -> list[str]:
    """What an application says of its beginning and of such an end (kinds of messages); `when_up` is called
    between the two."""
    said: list[str] = []

    async def run() -> None:
        began = asyncio.Event()
        heard = iter([{"type": "lifespan.startup"}])

        async def receive() -> Any:
            return next(heard, None) or await asyncio.Future()

        async def send(message: dict[str, Any]) -> None:
            said.append(message["type"])
            began.set()

        task = asyncio.create_task(app({"type": "lifespan", "state": {}}, receive, send))
        await began.wait()
        when_up()
        task.cancel()
        await task

    asyncio.run(run())
    return said
