"""How much a job's storages hold. Directories have no limit of their own, so they are watched.

Watching can't stop a job from writing too much for some seconds: that needs a file system with quotas. It
does stop one that goes on.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from netprobe.tools import _process

# between two looks: at least this long, and ten times as long as a look takes
PAUSE_SECONDS = 5.0
SHARE = 10.0
LOOK_SECONDS = 600.0


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
