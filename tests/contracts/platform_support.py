"""What the tests of platforms need: a site, a job, a file to move and where from."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from broker.model import DataItem, Executable, Job, MountMode, Replica
from broker.platforms import Platform, Progress, State, Status, load_platform
from federation.clock import Clock, SystemClock
from federation.sites import Federation, Place, Site
from federation.sites import Platform as SitePlatform
from netprobe.cost import Move
from netprobe.forecast import from_outside
from netprobe.measurement import Measurement
from netprobe.quantiles import Quantiles

CONTENT = bytes(range(256)) * 4096


def make_platform(
    kind: str, root: Path, options: Mapping[str, Any] | None = None, clock: Clock | None = None
) -> Platform:
    """A platform of that kind at the site "here", on this machine."""
    description = SitePlatform(kind, cores=4, memory_gib=8, storage_gib=10, options=options or {})
    site = Site("here", "Here", Place(0, 0), data_hosts=("127.0.0.1:*",), platform=description)
    return load_platform(site, Federation("test", {"here": site}), clock or SystemClock(), root)


def make_job(
    image: str, *command: str, binds: tuple[tuple[str, str, MountMode], ...] = (), **more: Any
) -> Job:
    executable = replace(Executable("test", (image,), command=command), **more)
    return Job(str(uuid.uuid4()), "here", executable, 1, 1, duration=timedelta(hours=1), binds=binds)


def make_item(url: str, name: str = "cube.fits", content: bytes = CONTENT, **more: Any) -> DataItem:
    checksum = ("sha256", hashlib.sha256(content).hexdigest())
    item = DataItem(str(uuid.uuid4()), name, len(content), (Replica(url, "here"),), checksum)
    return replace(item, **more)


def make_move(item: DataItem, seconds: float = 0.05) -> Move:
    url, size = item.replicas[0].url, item.size_bytes or 0
    spread = Quantiles(seconds / 2, seconds, seconds * 2)
    return Move(item.uuid, url, "there", "here", size, spread, from_outside("here"))


async def stage_one(
    platform: Platform, job_id: str, item: DataItem, move: Move, progress: Progress = lambda size: None
) -> tuple[Path, Measurement | None]:
    """Stage a single item: where it lies, and the measurement of the transfer (None: nothing was moved)."""
    staged = await platform.stage(job_id, [(item, move)], progress)
    assert set(staged.paths) == {item.uuid}
    assert len(staged.measurements) <= 1
    return staged.paths[item.uuid], staged.measurements[0] if staged.measurements else None


async def until_exited(platform: Platform, job: Job, time_limit_seconds: float = 180.0) -> Status:
    """The status of `job` when it has ended. Fails where it doesn't."""
    deadline = time.monotonic() + time_limit_seconds
    while (status := await platform.poll(job)).state is not State.EXITED:
        assert time.monotonic() < deadline, f"still {status}"
        await asyncio.sleep(0.05)
    return status


async def until_begun(platform: Platform, job: Job, time_limit_seconds: float = 180.0) -> Status:
    """The status of `job` when its container runs, and waits for nothing any more. Fails where it doesn't."""
    deadline = time.monotonic() + time_limit_seconds
    while (status := await platform.poll(job)).waiting is not None:
        assert time.monotonic() < deadline, f"still {status}"
        await asyncio.sleep(0.05)
    assert status.state is State.RUNNING, status
    return status
