"""A platform whose containers are files, so that they outlive the broker as those of a container engine do.

`runs/<job>.run` is a running or ended container; released, it becomes `gone/<job>.<n>`, and so every start
there ever was can be counted. Each change is one atomic step of the file system.
"""

import contextlib
import os
import time
from datetime import UTC, datetime

from broker.platforms import State, Status
from broker.platforms.simulated import STOPPED_EXIT_CODE, SimulatedPlatform


class JournalPlatform(SimulatedPlatform):
    """Options: those of the simulated platform. `work_directory` is the machine."""

    def __init__(self, site, federation, clock, work_directory):
        super().__init__(site, federation, clock, work_directory)
        self._live, self._gone = work_directory / "runs", work_directory / "gone"
        self._live.mkdir(parents=True, exist_ok=True)
        self._gone.mkdir(parents=True, exist_ok=True)

    def _path(self, job_id):
        return self._live / f"{job_id}.run"

    async def start(self, job):
        whole = self._live / f"{job.id}.{os.getpid()}.{time.monotonic_ns()}.tmp"
        whole.write_text(self._clock.now().isoformat())
        with contextlib.suppress(FileExistsError):
            os.link(whole, self._path(job.id))
        whole.unlink()
        return ()

    async def poll(self, job):
        try:
            text = self._path(job.id).read_text()
        except FileNotFoundError:
            return Status(State.ABSENT)
        if text == "stopped":
            return Status(State.EXITED, STOPPED_EXIT_CODE, "stopped\n")
        passed = (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
        if passed < self._run_seconds:
            return Status(State.RUNNING, None, "running\n")
        return Status(State.EXITED, self._exit_code, "done\n")

    async def stop(self, job):
        if (await self.poll(job)).state is State.RUNNING:
            whole = self._live / f"{job.id}.{time.monotonic_ns()}.tmp"
            whole.write_text("stopped")
            whole.replace(self._path(job.id))

    async def release(self, job_id, keep=()):
        with contextlib.suppress(FileNotFoundError):
            self._path(job_id).rename(self._gone / f"{job_id}.{time.monotonic_ns()}")
        await super().release(job_id, keep)
