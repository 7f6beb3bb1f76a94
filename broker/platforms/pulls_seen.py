"""Pulls that a platform makes itself, timed for the forecasts of the next ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.images.pulls import Pulled, PullLog
from broker.model import Executable
from broker.platforms import PullsImages
from federation.clock import Clock


@asynccontextmanager
async def seen(
    pulls: PullLog, platform: PullsImages, executable: Executable, clock: Clock
) -> AsyncIterator[None]:
    """What is done within is a pull of `executable`'s image, if it isn't in place: `pulls` has it once it
    ended well."""
    question = await asyncio.to_thread(platform.wanted_image, executable)
    if question is None:
        yield
        return
    there = frozenset(await asyncio.to_thread(platform.image_layers))
    began = time.monotonic()
    yield
    pulls.add(Pulled(*question, clock.now(), time.monotonic() - began, there))
