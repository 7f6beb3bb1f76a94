"""A Slurm by its own commands.

`squeue --json` would dump the jobs of everybody: it takes no filter (22.05). Asked for by columns, it tells
of our own alone, and all releases know these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from broker.platforms import PlatformError
from broker.platforms.slurm_cli import Slurm, submit_arguments
from broker.platforms.slurm_jobs import ENDINGS, PREFIX, SlurmJob, by_name, exit_code, value
from broker.platforms.slurm_scheduler import Batch

COLUMNS = ("JobID", "Name", "State", "exit_code", "StartTime", "NodeList", "Reason")
SEPARATOR = "|"
NOT_RESPONDING = "not responding"
OUT = "down,drain,fail,maint,no_respond,power_down,unk"


class Commands:
    """Implements `slurm_scheduler.Scheduler`. `more`: further options of sbatch."""

    def __init__(self, slurm: Slurm, more: Sequence[str] = ()) -> None:
        self._slurm, self._more = slurm, more

    async def jobs(self) -> Mapping[str, SlurmJob]:
        columns = ",".join(f"{column}:{SEPARATOR}" for column in COLUMNS)
        said = await self._slurm.ask("squeue", "--noheader", "--me", "--states=all", f"--Format={columns}")
        return read_lines(said)

    async def submit(self, batch: Batch) -> None:
        options = submit_arguments(
            batch.name,
            batch.comment,
            [
                ("chdir", str(batch.script.parent)),
                ("output", str(batch.output)),
                ("cpus-per-task", str(batch.cores)),
                ("mem", f"{batch.memory_mib}M"),
                ("time", str(batch.minutes)),
                ("partition", batch.partition),
                ("account", batch.account),
                ("qos", batch.qos),
                ("constraint", batch.constraint),
                ("reservation", batch.reservation),
            ],
        )
        await self._slurm.order("sbatch", *options, *self._more, str(batch.script))

    async def cancel(self, name: str) -> None:
        # an operator's account would end jobs of anybody who called one so, and any other be refused
        await self._slurm.order("scancel", "--me", f"--name={name}")

    async def out_of_use(self, *, nodes: str | None = None, partition: str | None = None) -> Sequence[str]:
        where = [] if nodes is None else [f"--nodes={nodes}"]
        where += [] if partition is None else [f"--partition={partition}"]
        asked = ("sinfo", "--noheader", "--Node", f"--states={OUT}", *where, "--format=%N|%T|%E")
        found = []
        for line in (await self._slurm.ask(*asked)).splitlines():
            node, state, reason = (*line.split("|", 2), "", "")[:3]
            found.append(out_of_use(node, reason, _shown(state)))
        return list(dict.fromkeys(found))

    async def kill_wait_seconds(self) -> float | None:
        said = await self._slurm.ask("scontrol", "show", "config")
        found = re.search(r"^KillWait\s*=\s*(\d+) sec", said, re.MULTILINE)
        return None if found is None else float(found[1])


def _shown(state: str) -> str:
    """A state without its marks; of one that is only not heard of (*) that."""
    word = state.rstrip("*~#!%$@^-")
    return NOT_RESPONDING if "*" in state and not word.startswith(("down", "drain", "fail")) else word


def out_of_use(node: str, reason: str, state: str) -> str:
    """What is said of a node that is out of use, with what the operators say about it."""
    text = "no reason is given" if reason.strip().lower() in ("", "none") else reason.strip()
    return f"{node}: {text} ({state})"


def read_lines(said: str) -> Mapping[str, SlurmJob]:
    """Our jobs by name. The account may have others, with names that break a line. Raises PlatformError."""
    if said.strip() and SEPARATOR not in said:
        # not a line of it is squeue's: that doesn't say that there are no jobs
        raise PlatformError(f"squeue said something unexpected: {said.strip().splitlines()[0][:200]!r}")

    def read() -> Iterator[tuple[str, SlurmJob]]:
        for line in said.splitlines():
            if f"{SEPARATOR}{PREFIX}" not in line:
                continue
            try:
                yield read_line(line)
            except ValueError as problem:
                raise PlatformError(f"squeue said something unexpected: {problem}") from problem

    return by_name(read())


def read_line(line: str) -> tuple[str, SlurmJob]:
    """The name of a job, and what a line of `squeue` with COLUMNS says of it. Times are UTC."""
    fields = [field.strip() for field in line.split(SEPARATOR)]
    if len(fields) <= len(COLUMNS) or not fields[0].isdecimal():
        raise ValueError(repr(line[:200]))
    number, name, state, status, start, node, reason = fields[: len(COLUMNS)]
    code = int(status) if status.isdecimal() else None
    return name, SlurmJob(
        number=int(number),
        state=state,
        exit_code=exit_code(code) if state in ENDINGS and code is not None else None,
        start=_instant(start),
        node=value(node),
        reason=value(reason),
    )


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
