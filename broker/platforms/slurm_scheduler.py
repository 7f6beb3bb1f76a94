"""What the platform slurm wants of a Slurm, whichever way it is asked: by its commands, or by slurmrestd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.platforms.slurm_jobs import SlurmJob


@dataclass(frozen=True)
class Batch:
    """A job to be submitted: one task on one node, that never runs beside another of its name, and is never
    requeued. It gets nothing of the environment of whoever submits it. `script` is a file here; `output` is
    where the script's own complaints go."""

    name: str
    comment: str
    script: Path
    output: Path
    cores: int
    memory_mib: int
    minutes: int
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None


class Scheduler(Protocol):
    """All calls raise Unreachable where nothing is known then, and PlatformError for what Slurm refuses."""

    async def jobs(self) -> Mapping[str, SlurmJob]:
        """Our jobs by name, those that ended a while ago among them; see `slurm_jobs.by_name`."""
        ...

    async def submit(self, batch: Batch) -> None:
        """Unreachable: it may have arrived all the same. Not to be cancelled on its way."""
        ...

    async def cancel(self, name: str) -> None:
        """Cancel every job of ours with that name; none: does nothing. They may go on for a moment."""
        ...

    async def out_of_use(self, *, nodes: str | None = None, partition: str | None = None) -> Sequence[str]:
        """ "n1: a disk (down)" of each node that is out of use, of this list of nodes or this partition."""
        ...

    async def kill_wait_seconds(self) -> float | None:
        """How long Slurm lets a job live that is to end (KillWait); None: it doesn't say."""
        ...
