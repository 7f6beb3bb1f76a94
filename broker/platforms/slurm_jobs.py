"""What Slurm says of our jobs: one answer is for everybody who asks meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.platforms.one_answer import OneAnswer

PREFIX = "fairlead-"
# the job has ended, and why; every other state may still come to an end
ENDINGS: Mapping[str, str] = {
    "BOOT_FAIL": "its node {node} did not boot",
    "CANCELLED": "its Slurm job was cancelled by somebody else than this broker",
    "COMPLETED": "",
    "DEADLINE": "its Slurm job could not have ended before its deadline",
    "FAILED": "",
    "NODE_FAIL": "its node {node} failed",
    "OUT_OF_MEMORY": "it wanted more memory than the {memory} GiB that were offered",
    "PREEMPTED": "Slurm took its place for a job of higher priority (preempted)",
    "REVOKED": "Slurm moved its job to another cluster (revoked)",
    "TIMEOUT": "its Slurm job ran into its time limit",
}
# the last four are held in the queue: what reserved its place is gone, or somebody has put it back
WAITING = frozenset({"PENDING", "CONFIGURING", "RESV_DEL_HOLD", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})


@dataclass(frozen=True)
class SlurmJob:
    """A job as Slurm has it. `start`: when it began, or is planned to; None: not known. `exit_code` is that
    of its script, once it has ended."""

    number: int
    state: str
    exit_code: int | None
    start: datetime | None
    node: str | None
    reason: str | None

    @property
    def over(self) -> bool:
        return self.state in ENDINGS

    @property
    def waits(self) -> bool:
        return self.state in WAITING


class SlurmJobs:
    """`ask` says which jobs of ours there are, by name."""

    def __init__(self, ask: Callable[[], Awaitable[Mapping[str, SlurmJob]]], pause_seconds: float) -> None:
        self._answer = OneAnswer(ask, pause_seconds)

    async def find(self, name: str) -> SlurmJob | None:
        """The job called `name` as it is now; None: Slurm doesn't know it any more. Raises PlatformError."""
        return (await self._answer.get()).get(name)


def by_name(jobs: Iterable[tuple[str, SlurmJob]]) -> Mapping[str, SlurmJob]:
    """Of several with one name the first that isn't over, for a later one waits for it; else the last."""
    found: dict[str, SlurmJob] = {}
    for name, job in jobs:
        known = found.get(name)
        found[name] = job if known is None else min(known, job, key=_precedence)
    return found


def _precedence(job: SlurmJob) -> tuple[bool, int]:
    return job.over, -job.number if job.over else job.number


def exit_code(status: int) -> int:
    """A wait status as an exit code, as a shell has it: 128 and the signal's number where one ended it."""
    return status >> 8 if status >> 8 else 128 + (status & 127) if status & 127 else 0


def value(text: str) -> str | None:
    """A text of Slurm's, None where it stands for none."""
    return None if text in ("", "None", "(null)", "N/A") else text
