"""Waiting on the injected clock: for an event, or for something that must not take for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from broker.platforms import PlatformError, Unreachable
from federation.clock import Clock
from federation.units import format_seconds

log = logging.getLogger(__name__)
T = TypeVar("T")

# a platform or broker that can't be asked for so long has lost the session; and between two questions
PATIENCE_SECONDS = 600.0
RETRY_SECONDS = 5.0


async def within(
    clock: Clock,
    seconds: float,
    what: str,
    work: Coroutine[Any, Any, T],
    error: type[PlatformError] = PlatformError,
) -> T:
    """The result of `work`, or `error` when it takes longer than `seconds` on the clock.

    In every case `work` has ended when this returns: also when it is cancelled.
    """
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return _result(task, what)
    finally:
        await _end(task, alarm)
    raise error(f"{what} took more than {format_seconds(seconds)}")


async def patiently(
    clock: Clock,
    seconds: float,
    what: str,
    ask: Callable[[], Coroutine[Any, Any, T]],
    error: type[PlatformError] = PlatformError,
) -> T:
    """What `within` returns for `ask()`, which is called again while it raises Unreachable: for
    PATIENCE_SECONDS. Its calls may be repeated."""
    asked_first = clock.now()
    while True:
        try:
            return await within(clock, seconds, what, ask(), error)
        except Unreachable as problem:
            if (clock.now() - asked_first).total_seconds() >= PATIENCE_SECONDS:
                raise
            log.warning("%s: %s; asking again", what, problem)
            await clock.sleep(RETRY_SECONDS)


async def in_thread(work: Callable[[], T]) -> T:
    """`work` in a thread. Cancelled, it waits for its end: what was asked outside can't be taken back."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                continue
        if not future.cancelled() and (error := future.exception()) is not None:
            log.warning("what was asked for a session that is given up failed: %s", error)
        raise


def _result(task: asyncio.Future[T], what: str) -> T:
    try:
        return task.result()
    except PlatformError:
        raise
    except Exception as error:
        log.exception("%s failed by a defect of the platform", what)
        raise PlatformError(
            f"{what} failed by a defect of the platform; the broker's log says more"
        ) from error


async def until_done(clock: Clock, seconds: float, work: asyncio.Future[Any]) -> bool:
    """Whether `work` has ended, looked at when it does or `seconds` have passed. It is never cancelled."""
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({work, alarm}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(alarm)
    return work.done()


async def until_set(clock: Clock, seconds: float, event: asyncio.Event) -> None:
    """Return when `event` is set or `seconds` have passed on the clock."""
    tasks = (asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(*tasks)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
