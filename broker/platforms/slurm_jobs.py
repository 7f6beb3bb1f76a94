"""What Slurm says of our jobs: one `squeue` answers everybody who asks meanwhile.

`squeue --json` would dump the jobs of everybody: it takes no filter (22.05). Asked for by columns, it tells
of our own alone, and all releases know these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.platforms import PlatformError
from broker.platforms.one_answer import OneAnswer
from broker.platforms.slurm_cli import Slurm

PREFIX = "fairlead-"
COLUMNS = ("JobID", "Name", "State", "exit_code", "StartTime", "NodeList", "Reason")
SEPARATOR = "|"
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
WAITING = frozenset({"PENDING", "CONFIGURING"})


@dataclass(frozen=True)
class SlurmJob:
    """A job as squeue has it. `start`: when it began, or is planned to; None: not known. `exit_code` is that
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
    def __init__(self, slurm: Slurm, pause_seconds: float) -> None:
        self._slurm = slurm
        self._answer = OneAnswer(self._list, pause_seconds)

    async def find(self, name: str) -> SlurmJob | None:
        """The job called `name` as it is now; None: Slurm doesn't know it (any more). Raises PlatformError.

        Of several the first that isn't over, for a later one waits for it; else the last.
        """
        return (await self._answer.get()).get(name)

    async def _list(self) -> Mapping[str, SlurmJob]:
        columns = ",".join(f"{column}:{SEPARATOR}" for column in COLUMNS)
        said = await self._slurm.ask("squeue", "--noheader", "--me", "--states=all", f"--Format={columns}")
        return read_lines(said)


def read_lines(said: str) -> Mapping[str, SlurmJob]:
    """Our jobs by name. The account may have others, with names that break a line. Raises PlatformError."""
    found: dict[str, SlurmJob] = {}
    for line in said.splitlines():
        if f"{SEPARATOR}{PREFIX}" not in line:
            continue
        try:
            name, job = read_line(line)
        except ValueError as problem:
            raise PlatformError(f"squeue said something unexpected: {problem}") from problem
        known = found.get(name)
        found[name] = job if known is None else min(known, job, key=_precedence)
    return found


def _precedence(job: SlurmJob) -> tuple[bool, int]:
    return job.over, -job.number if job.over else job.number


def read_line(line: str) -> tuple[str, SlurmJob]:
    """The name of a job, and what a line of `squeue` with COLUMNS says of it. Times are UTC."""
    fields = [field.strip() for field in line.split(SEPARATOR)]
    if len(fields) <= len(COLUMNS) or not fields[0].isdecimal():
        raise ValueError(repr(line[:200]))
    number, name, state, status, start, node, reason = fields[: len(COLUMNS)]
    code = int(status) if status.isdecimal() else None
    over = state in ENDINGS
    return name, SlurmJob(
        number=int(number),
        state=state,
        exit_code=_exit_code(code) if over and code is not None else None,
        start=_instant(start),
        node=_value(node),
        reason=_value(reason),
    )


def _exit_code(status: int) -> int:
    """A wait status as an exit code, as a shell has it: 128 and the signal's number where one ended it."""
    return status >> 8 if status >> 8 else 128 + (status & 127) if status & 127 else 0


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _value(text: str) -> str | None:
    return None if text in ("", "None", "(null)", "N/A") else text
