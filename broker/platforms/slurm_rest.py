"""A Slurm by slurmrestd. It tells of everybody's jobs: its interface takes no filter (up to v0.0.44)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from broker.platforms import PlatformError, Unreachable
from broker.platforms.slurm_commands import NOT_RESPONDING, out_of_use
from broker.platforms.slurm_jobs import ENDINGS, PREFIX, SlurmJob, by_name, exit_code, value
from broker.platforms.slurm_scheduler import Batch
from federation.errors import OutsideError
from reservations.sources.slurm_json import instant, number, of, text, words
from reservations.sources.slurm_rest import LISTS_SINCE, SlurmRefusedError, SlurmRest
from reservations.sources.slurm_words import node_names

T = TypeVar("T")
# what sinfo calls otherwise
AS_SINFO = {"MAINTENANCE": "maint", "NOT_RESPONDING": NOT_RESPONDING, "NO_RESPOND": NOT_RESPONDING}
# the script sets what else it needs
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# "Invalid job id", "already completing or completed": it has ended meanwhile
GONE = ("invalid job id", "already complet")
OUT = frozenset({"DOWN", "FAIL", "FAILING", "NOT_RESPONDING", "NO_RESPOND", "UNKNOWN"})
OUT |= {"DRAIN", "DRAINED", "DRAINING", "MAINT", "MAINTENANCE", "POWER_DOWN", "POWERED_DOWN", "POWERING_DOWN"}


class Rest:
    """Implements `slurm_scheduler.Scheduler`. `more`: further fields of a job, by slurmrestd's names."""

    def __init__(self, rest: SlurmRest, more: Mapping[str, Any]) -> None:
        self._rest, self._more = rest, more

    async def jobs(self) -> Mapping[str, SlurmJob]:
        return by_name(self._ours(await _ask(self._rest.list, "jobs")))

    async def submit(self, batch: Batch) -> None:
        def submit() -> int:
            document = job_document(batch, self._rest.version()) | dict(self._more)
            return self._rest.submit(batch.script.read_text(encoding="utf-8"), document)

        await _ask(submit)

    async def cancel(self, name: str) -> None:
        for found, job in self._ours(await _ask(self._rest.list, "jobs")):
            if found != name or job.over:
                continue
            try:
                await _ask(self._rest.cancel, job.number)
            except PlatformError as problem:
                if isinstance(problem, Unreachable) or not any(word in str(problem).lower() for word in GONE):
                    raise

    async def out_of_use(self, *, nodes: str | None = None, partition: str | None = None) -> Sequence[str]:
        wanted = None if nodes is None else set(node_names(nodes))
        found = []
        for node in await _ask(self._rest.list, "nodes"):
            name, state = str(node.get("name")), words(node.get("state"), node.get("state_flags"))
            elsewhere = partition is not None and partition not in (node.get("partitions") or ())
            if elsewhere or (wanted is not None and name not in wanted) or not OUT & set(state):
                continue
            found.append(out_of_use(name, text(node.get("reason")) or "", _shown(state)))
        return found

    async def kill_wait_seconds(self) -> float | None:
        return None

    def _ours(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, SlurmJob]]:
        for each in jobs:
            name = each.get("name")
            # somebody else may call a job so
            ours = each.get("user_name") in (self._rest.user, "", None)
            if ours and isinstance(name, str) and name.startswith(PREFIX):
                yield name, read_job(each)


async def _ask(call: Callable[..., T], *arguments: Any) -> T:
    try:
        return await asyncio.to_thread(call, *arguments)
    except SlurmRefusedError as problem:
        raise PlatformError(str(problem)) from problem
    except OutsideError as problem:
        raise Unreachable(str(problem)) from problem


def job_document(batch: Batch, version: int) -> dict[str, Any]:
    """The job as that version of the interface wants it (38 for v0.0.38)."""
    since = version >= LISTS_SINCE
    document: dict[str, Any] = {
        "name": batch.name,
        "comment": batch.comment,
        "current_working_directory": str(batch.script.parent),
        "standard_output": str(batch.output),
        "tasks": 1,
        "cpus_per_task": batch.cores,
        "dependency": "singleton",
        "environment": [f"PATH={PATH}"] if since else {"PATH": PATH},
        "memory_per_node": _numeral(batch.memory_mib) if since else batch.memory_mib,
        "time_limit": _numeral(batch.minutes) if since else batch.minutes,
        "nodes": "1" if since else [1, 1],
        # those before take "requeue": false, and requeue nevertheless (22.05)
        **({"requeue": False} if since else {"no_requeue": True}),
    }
    named = {
        "partition": batch.partition,
        "account": batch.account,
        "qos": batch.qos,
        "constraints": batch.constraint,
        "reservation": batch.reservation,
    }
    return document | {key: value for key, value in named.items() if value is not None}


def _numeral(number: int) -> Mapping[str, Any]:
    return {"set": True, "infinite": False, "number": number}


def read_job(document: Mapping[str, Any]) -> SlurmJob:
    """A job of any version. Raises Unreachable for one without a number or a state."""
    identity, states = number(document.get("job_id")), words(document.get("job_state"))
    if identity is None or not states:
        raise Unreachable("slurmrestd answers with what can't be read: a job without number or state")
    # as squeue has it: what is being cleaned up isn't over
    state = "COMPLETING" if "COMPLETING" in states else states[0]
    return SlurmJob(
        number=identity,
        state=state,
        exit_code=_exit_code(document.get("exit_code")) if state in ENDINGS else None,
        start=instant(document.get("start_time")),
        node=value(text(document.get("nodes")) or ""),
        reason=value(text(document.get("state_reason")) or ""),
    )


def _exit_code(found: Any) -> int | None:
    if not isinstance(found, Mapping):
        status = number(found)
        return None if status is None else exit_code(status)
    signal = number(of(found, "signal", "id")) or number(of(found, "signal", "signal_id"))
    return 128 + signal if signal else number(found.get("return_code"))


def _shown(state: Sequence[str]) -> str:
    """As sinfo has it: of a node that is drained the base state says whether something runs there yet."""
    if "DRAIN" in state:
        busy = {"ALLOCATED", "MIXED", "COMPLETING"} & set(state)
        return "draining" if busy else "drained"
    word = next((each for each in state if each in OUT), state[0])
    return AS_SINFO.get(word, word.lower())
