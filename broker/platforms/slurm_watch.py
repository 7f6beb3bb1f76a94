"""How a session's Slurm job stands: by what its script wrote down, and by what Slurm says beside it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

from broker.model import Job
from broker.platforms import PlatformError, State, Status, slurm_files
from broker.platforms.places import job_directory
from broker.platforms.podman_run import container_name
from broker.platforms.slurm_jobs import SlurmJob, SlurmJobs
from broker.platforms.slurm_output import read_output
from broker.platforms.slurm_scheduler import Scheduler
from broker.platforms.slurm_script import (
    BATCH_NAME,
    BEGUN_NAME,
    MOST_BYTES,
    SCRIPT_NAME,
    SLURM_OUTPUT_NAME,
    Ended,
    read_ended,
)
from broker.platforms.slurm_status import ABOUT_NODES, NODE_FAILURES, ended_status, needs_verdict, waiting
from broker.platforms.usage import Overuse
from federation.errors import one_line

# a file that a node has written is seen here after so long at the latest (NFS keeps attributes for a while)
SETTLE_SECONDS = 10.0
# what is known of nodes that are out of use counts for so long
NODES_SECONDS = 30.0


def batch_directory(root: Path, job_id: str) -> Path:
    """Where a job's script is, and all that it needs and leaves."""
    return job_directory(root, job_id) / BATCH_NAME


class SlurmWatch:
    """`overuse` knows which jobs this broker has stopped."""

    def __init__(
        self, scheduler: Scheduler, jobs: SlurmJobs, root: Path, overuse: Overuse, partition: str | None
    ) -> None:
        self._scheduler, self._jobs, self._root, self._overuse = scheduler, jobs, root, overuse
        self._partition = partition
        self._nodes: tuple[float, Sequence[str]] = (-math.inf, ())
        # when a job was first seen to be over, though it isn't known how
        self._over_since: dict[str, float] = {}

    async def status(self, job: Job) -> Status:
        """Raises PlatformError. Slurm isn't asked where the script knows all."""
        batch, name = batch_directory(self._root, job.id), container_name(job.id)
        if not (batch / SCRIPT_NAME).exists():
            # never submitted, or released since
            return Status(State.ABSENT)
        ended, found = await asyncio.to_thread(read_ended, batch), None
        if ended is None:
            found = await self._jobs.find(name)
            if found is None or found.over:
                ended = await asyncio.to_thread(read_ended, batch)
        if ended is None and found is None:
            return Status(State.ABSENT)
        stopped = await asyncio.to_thread(self._overuse.reason, job.id)
        if ended is not None and stopped is None and needs_verdict(ended):
            # where Slurm can't be asked, or has forgotten, the script's word is all there is
            with contextlib.suppress(PlatformError):
                found = await self._jobs.find(name)
        output = await asyncio.to_thread(read_output, batch)
        if not self._settled(job, batch, ended, found, stopped):
            waits = None
            if found is not None and found.waits:
                waits = waiting(found, await self._out_of_use(found))
            return Status(State.RUNNING, None, *output, waiting=waits)
        nodes, said = await self._of_node(found), await asyncio.to_thread(_slurm_output, batch)
        return ended_status(job, ended, found, stopped, output, nodes, said)

    def forget(self, job_id: str) -> None:
        self._over_since.pop(job_id, None)

    def _settled(
        self, job: Job, batch: Path, ended: Ended | None, found: SlurmJob | None, stopped: str | None
    ) -> bool:
        """Whether it is over, and all that can be known of it is: after SETTLE_SECONDS nothing more comes."""
        if ended is None:
            if found is not None and not found.over:
                self.forget(job.id)
                return False
            # Slurm says that it is over: its script's last word may be on its way, if it ever began
            known = stopped is not None or not (batch / BEGUN_NAME).exists()
        else:
            known = stopped is not None or found is None or found.over or not needs_verdict(ended)
        since = self._over_since.setdefault(job.id, time.monotonic())
        return known or time.monotonic() - since >= SETTLE_SECONDS

    async def _out_of_use(self, found: SlurmJob) -> Sequence[str]:
        """Nodes that are out of use, where that may be why a job waits."""
        if found.reason is None or not found.reason.startswith(ABOUT_NODES):
            return ()
        if time.monotonic() - self._nodes[0] > NODES_SECONDS:
            with contextlib.suppress(PlatformError):
                seen = await self._scheduler.out_of_use(partition=self._partition)
                self._nodes = (time.monotonic(), seen)
        return self._nodes[1]

    async def _of_node(self, found: SlurmJob | None) -> Sequence[str]:
        """What is wrong with the node, where that is why a job has ended."""
        if found is None or found.state not in NODE_FAILURES or found.node is None:
            return ()
        with contextlib.suppress(PlatformError):
            return await self._scheduler.out_of_use(nodes=found.node)
        return ()


def _slurm_output(batch: Path) -> str:
    """What the script itself complained of, in one line."""
    try:
        text, _ = slurm_files.tail(batch / SLURM_OUTPUT_NAME, MOST_BYTES)
    except OSError:
        return ""
    return one_line(text)[-200:]
