"""Sees to it that every accepted session is driven, and that every offer ends in time.

All state is in the database: killing the process at any point loses nothing. One task drives one session, so
that a slow or failing one never delays another. One supervisor at a time works on a database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from broker.model import Phase
from broker.sessions import store
from broker.sessions.drive import Surroundings, clean, drive
from broker.sessions.limits import until_set
from broker.sessions.phases import DRIVEN
from federation.database import write

log = logging.getLogger(__name__)

# Accepted sessions wake the supervisor; this is for expiry, and for what other processes changed.
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class _Work:
    task: asyncio.Task[None]
    cleaning: bool


class Supervisor:
    """`run` drives; `wake` may be called from any thread, whether it runs or not."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._work: dict[str, _Work] = {}
        self._woken: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def wake(self) -> None:
        """Look at the database now, not at the next turn."""
        if self._woken is not None:
            loop, event = self._woken
            # The loop may have been closed since: then there is nobody to wake.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    async def run(self) -> None:
        """Until cancelled. Sessions that are being driven then stay as they are in the database."""
        event = asyncio.Event()
        self._woken = (asyncio.get_running_loop(), event)
        try:
            while True:
                event.clear()
                try:
                    await self._look()
                except Exception:
                    log.exception("the supervisor could not read what there is to do; it will try again")
                await until_set(self._around.clock, LOOK_SECONDS, event)
        finally:
            self._woken = None
            tasks = [work.task for work in self._work.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        await asyncio.to_thread(self._expire)
        for uuid, phase in await asyncio.to_thread(self._to_drive):
            work = self._work.get(uuid)
            if work is None:
                self._begin(uuid, cleaning=phase not in DRIVEN)
            elif phase is Phase.CANCELLED and not work.cleaning:
                # Its end wakes us, and the next look begins to clean up.
                work.task.cancel()

    def _begin(self, uuid: str, cleaning: bool) -> None:
        coroutine = clean(self._around, uuid) if cleaning else drive(self._around, uuid)
        task = asyncio.create_task(coroutine, name=f"session {uuid}")
        self._work[uuid] = _Work(task, cleaning)

        def ended(task: asyncio.Task[None]) -> None:
            del self._work[uuid]
            if task.cancelled():
                self.wake()
            elif error := task.exception():
                # The next turn tries again: not at once, so that a lasting trouble makes no busy loop.
                log.error("driving session %s failed", uuid, exc_info=error)

        task.add_done_callback(ended)

    def _expire(self) -> None:
        with self._around.engine.connect() as connection:
            due = store.overdue(connection, self._around.clock.now())
        if due:
            with write(self._around.engine) as connection:
                store.expire(connection, self._around.clock.now(), due)

    def _to_drive(self) -> list[tuple[str, Phase]]:
        with self._around.engine.connect() as connection:
            return store.to_drive(connection)
