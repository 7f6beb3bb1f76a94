"""How much a job's storages hold. Directories have no limit of their own, so they are watched.

Watching can't stop a job from writing too much for some seconds: that needs a file system with quotas. It
does stop one that goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from pathlib import Path

from broker.model import Job
from broker.platforms.places import job_directory
from netprobe.tools import _process

# between two looks: at least this long, and ten times as long as a look takes
PAUSE_SECONDS = 5.0
SHARE = 10.0
LOOK_SECONDS = 600.0
# why a job was stopped, in a file of its directory: it must outlive us
STOPPED_NAME = "stopped"
GIB = 2**30


class Usage:
    """Looks at a directory now and then, while somebody asks. Never blocks: it answers what it saw last."""

    def __init__(self, directory: Path, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._directory, self._pause = directory, pause_seconds
        self._looking: asyncio.Task[None] | None = None
        self._due = 0.0
        self._size_bytes: int | None = None

    def size_bytes(self) -> int | None:
        """What was found last, in bytes on the disk; None before the first look has ended."""
        looking = self._looking is not None and not self._looking.done()
        if not looking and time.monotonic() >= self._due:
            self._looking = asyncio.ensure_future(self._look())
        return self._size_bytes

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            # --one-file-system: what is mounted below isn't the job's
            du = ("nice", "du", "--summarize", "--one-file-system", "--block-size=1", str(self._directory))
            end = await _process.run(du, LOOK_SECONDS)
            # it complains of what goes away under its eyes, and still has the sum
            self._size_bytes = int(end.stdout.split()[0])
        except (OSError, IndexError, ValueError):
            pass
        now = time.monotonic()
        self._due = now + max(self._pause, SHARE * (now - began))


class Overuse:
    """Jobs that wrote more into their storages than was offered; why each was stopped is kept until `forget`,
    and in a file through a restart."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._usage: dict[str, Usage] = {}
        self._stopped: dict[str, str] = {}

    async def seen(self, job: Job) -> bool:
        """Whether it has: it is to be stopped then."""
        if job.storage_gib is None:
            return False
        directory = job_directory(self._root, job.id)
        size = self._usage.setdefault(job.id, Usage(directory / "storage")).size_bytes()
        if size is None or size <= job.storage_gib * GIB:
            return False
        # rounded up: what is more than was offered is said to be more
        gib = math.ceil(100 * size / GIB) / 100
        text = f"{gib:.2f} GiB written into storage, where {job.storage_gib} GiB were offered"
        self._stopped[job.id] = text
        # where the job has filled the disk, this can't be kept through a restart of the broker
        with contextlib.suppress(OSError):
            await asyncio.to_thread((directory / STOPPED_NAME).write_text, text, "utf-8")
        return True

    def reason(self, job_id: str) -> str | None:
        """Why it was stopped; None: it wasn't. Reads a file."""
        if job_id in self._stopped:
            return self._stopped[job_id]
        try:
            return (job_directory(self._root, job_id) / STOPPED_NAME).read_text(encoding="utf-8")
        except OSError:
            return None

    def forget(self, job_id: str) -> None:
        self._usage.pop(job_id, None)
        self._stopped.pop(job_id, None)
