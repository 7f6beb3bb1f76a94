"""From a session's job to a Slurm job: its script, what that needs beside it, and what is submitted."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from broker.model import Job
from broker.platforms import PlatformError, slurm_apptainer
from broker.platforms.places import write_private
from broker.platforms.podman_run import write_environment_files
from broker.platforms.slurm_apptainer import apptainer_body, bare_body
from broker.platforms.slurm_podman import podman_body
from broker.platforms.slurm_scheduler import Batch, Scheduler
from broker.platforms.slurm_script import (
    SCRIPT_NAME,
    SLURM_OUTPUT_NAME,
    Body,
    exports,
    job_script,
)
from federation.clock import Clock

T = TypeVar("T")

# the ID of the image that `prepare` found, for podman
IMAGE_ID_NAME = "image"
# Slurm's KillWait, where it doesn't say; and how much of it is left for what follows
KILL_WAIT_SECONDS = 30.0
SPARE_SECONDS = 3.0


class Submission:
    """`engine` is the container engine's command on the nodes, `options` the platform's."""

    def __init__(
        self, scheduler: Scheduler, engine: list[str], options: Mapping[str, Any], clock: Clock
    ) -> None:
        self._scheduler, self._engine, self._options, self._clock = scheduler, engine, options, clock
        self._kill_wait: float | None = None

    async def submit(self, job: Job, name: str, batch: Path) -> None:
        """Write the script and what it needs, and hand it to Slurm. Raises OSError and PlatformError."""
        self._write_environment(job, batch)
        minutes = self._minutes(job)
        body = self.body(job, batch, minutes * 60)
        script = job_script(job.id, batch, await self._grace_seconds(), body)
        write_private(batch / SCRIPT_NAME, script)
        named = {each: self._options[each] for each in ("partition", "account", "qos", "constraint")}
        wanted = Batch(
            name,
            f"fairlead:{job.id}",
            batch / SCRIPT_NAME,
            batch / SLURM_OUTPUT_NAME,
            job.cores,
            job.memory_gib * 1024,
            minutes,
            reservation=None if job.lease is None else job.lease.reservation or job.lease.name,
            **named,
        )
        # once it is on its way it can't be taken back: whoever gives up waits until it has arrived
        await _to_its_end(self._scheduler.submit(wanted))

    def _minutes(self, job: Job) -> int:
        """How long the Slurm job may last: as its session, and what starting the container takes; of what is
        reserved no more than is left, for Slurm wouldn't start it otherwise."""
        seconds = job.duration.total_seconds() + float(self._options["extra_seconds"])
        if job.lease is None:
            return max(math.ceil(seconds / 60), 1)
        left = (job.lease.end - self._clock.now()).total_seconds()
        return max(math.ceil(min(seconds, left - 60) / 60), 1)

    def _write_environment(self, job: Job, batch: Path) -> None:
        runtime = self._options["runtime"]
        if runtime == "podman":
            write_environment_files(job.id, job.executable, batch)
        else:
            variables = list(job.executable.environment.items())
            text = exports(slurm_apptainer.prefix(runtime), variables)
            write_private(batch / slurm_apptainer.EXPORTS_FILE, text)

    def body(self, job: Job, batch: Path, limit_seconds: int) -> Body:
        """What the script runs. Raises PlatformError for what can't be said on the engine's command line."""
        runtime = self._options["runtime"]
        if runtime == "podman":
            try:
                image = (batch / IMAGE_ID_NAME).read_text(encoding="utf-8")
            except OSError as problem:
                raise PlatformError(f"the image {job.executable.locations[0]} is not in place") from problem
            return podman_body(job, image, batch, self._options, self._engine, limit_seconds)
        if runtime == "none":
            return bare_body(job)
        return apptainer_body(job, batch, self._options, self._engine)

    async def _grace_seconds(self) -> float:
        """How long a container has from SIGTERM to SIGKILL: less than Slurm lets its script live."""
        if self._kill_wait is None:
            found = await self._scheduler.kill_wait_seconds()
            self._kill_wait = KILL_WAIT_SECONDS if found is None else found
        return max(min(float(self._options["stop_seconds"]), self._kill_wait - SPARE_SECONDS), 0.0)


async def _to_its_end(work: Coroutine[None, None, T]) -> T:
    """The result of `work`; cancelled, it waits for its end all the same."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
