"""Jobs that Slurm's accounting remembers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from federation.errors import OutsideError
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Amounts
from reservations.history.past import End, Use
from reservations.sources import slurm_json
from reservations.sources.slurm_json import number, of
from reservations.sources.slurm_words import instant, node_names, time_limit, tres, value_of

_FIELDS = (
    "JobIDRaw",
    "JobName",
    "User",
    "Partition",
    "State",
    "Start",
    "End",
    "Timelimit",
    "AllocTRES",
    "NodeList",
)
# a job that ends within this of its time limit used it up; schedulers look at it once a minute
_LIMIT = timedelta(minutes=1)
_FAILED = ("BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED")
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
# numbers of minutes from here on stand for no limit
_ENDLESS = 2**31
# what Slurm says where nothing keeps the accounts
OFF = "accounting storage is disabled"


@dataclass(frozen=True)
class _Job:
    """A job as the accounting has it, whichever way it was asked. `tres` are those that it was given, memory
    in MB."""

    number: str
    name: str
    user: str
    partition: str
    state: str
    start: datetime | None
    end: datetime | None
    limit: timedelta | None
    tres: Mapping[str, int]
    nodes: str | None


def command(start: datetime, end: datetime) -> tuple[str, ...]:
    """What to ask Slurm: all jobs, not their steps, that were there in [start, end)."""
    times = [f"--{name}={each:%Y-%m-%dT%H:%M:%S}" for name, each in (("starttime", start), ("endtime", end))]
    return (
        "sacct", "--allusers", "--allocations", "--duplicates", "--noheader", "--parsable2", *times,
        f"--format={','.join(_FIELDS)}",
    )  # fmt: skip


def jobs(text: str, now: datetime) -> Iterator[Use]:
    """The jobs of what `command` printed. Raises OutsideError for what is no such text."""
    for line in text.splitlines():
        if not line.strip():
            continue
        # a job's name may have the separator in it: the other fields are counted from both ends
        first, *rest = line.split("|")
        if len(rest) < len(_FIELDS) - 1:
            raise OutsideError(f"Slurm: expected {len(_FIELDS)} fields from sacct, got {line[:80]!r}")
        after = len(_FIELDS) - 2
        name, (user, partition, state, start, end, limit, allocated, nodes) = (
            "|".join(rest[:-after]),
            rest[-after:],
        )
        if state in _WAITING:
            continue
        times = instant(start), instant(end), time_limit(limit)
        where = value_of({"nodes": nodes}, "nodes")
        yield _use(_Job(first, name, user, partition, state, *times, tres(allocated), where), now)


def told(documents: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[Use]:
    """The jobs of what slurmrestd has of the accounting, of any version. Raises OutsideError."""
    for document in documents:
        states, times = slurm_json.words(of(document, "state", "current")), document.get("time")
        job_id = number(document.get("job_id"))
        if job_id is None or not states:
            raise OutsideError("Slurm: its accounting has a job without number or state")
        if states[0] in _WAITING:
            continue
        minutes = number(of(times, "limit")) or 0
        listed = of(document, "tres", "allocated")
        job = _Job(
            str(job_id),
            str(document.get("name") or ""),
            str(document.get("user") or ""),
            str(document.get("partition") or ""),
            states[0],
            slurm_json.instant(of(times, "start")),
            slurm_json.instant(of(times, "end")),
            timedelta(minutes=minutes) if 0 < minutes < _ENDLESS else None,
            {_kind(each): max(number(of(each, "count")) or 0, 0) for each in listed or ()},
            value_of({"nodes": str(document.get("nodes") or "")}, "nodes"),
        )
        yield _use(job, now)


def _kind(tres: Any) -> str:
    """ "gres/gpu" of {"type": "gres", "name": "gpu"}, as Slurm's commands have it."""
    return "/".join(str(each) for key in ("type", "name") if (each := of(tres, key)))


def _use(job: _Job, now: datetime) -> Use:
    start, end, limit = job.start, job.end, job.limit
    how = _how(job.state, start, end, limit)
    begun = start or end or now
    amounts = _amounts(job.tres)
    nodes = node_names(job.nodes) if how is not End.UNUSED else []
    share = {name: math.ceil(amount / len(nodes)) for name, amount in amounts.items()} if nodes else {}
    return Use(
        booking=f"job {job.number}",
        start=begun,
        end=None if how is End.RUNNING else end or now,
        amounts={} if how is End.UNUSED else amounts,
        how=how,
        kind=job.partition,
        name=job.name or None,
        holder=job.user or None,
        asked_end=None if limit is None or start is None else start + limit,
        # an even share of each node: accounting keeps the sum alone
        hosts=dict.fromkeys(nodes, share),
    )


def _how(state: str, start: datetime | None, end: datetime | None, limit: timedelta | None) -> End:
    words = state.split()
    word = words[0].rstrip("+") if words else ""
    if word in ("RUNNING", "SUSPENDED", "COMPLETING", "RESIZING", "STOPPED"):
        return End.RUNNING
    if start is None or (end is not None and end <= start):
        return End.UNUSED
    if word in _FAILED:
        return End.FAILED
    if limit is not None and end is not None and end - start < limit - _LIMIT:
        return End.EARLY
    return End.ENDED


def _amounts(found: Mapping[str, int]) -> Amounts:
    amounts = {
        VCPU: found.get("cpu", 0),
        MEMORY_MB: found.get("mem", 0),
        PGPU: found.get("gres/gpu", 0),
    }
    return {name: amount for name, amount in amounts.items() if amount}
