"""Jobs that Slurm's accounting remembers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from federation.errors import OutsideError
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Amounts
from reservations.history.past import End, Use
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
# what Slurm says where nothing keeps the accounts
OFF = "accounting storage is disabled"


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
        job = dict(zip(_FIELDS, (first, "|".join(rest[:-after]), *rest[-after:]), strict=True))
        if job["State"] not in _WAITING:
            yield _use(job, now)


def _use(job: dict[str, str], now: datetime) -> Use:
    start, end = instant(job["Start"]), instant(job["End"])
    limit = time_limit(job["Timelimit"])
    how = _how(job["State"], start, end, limit)
    begun = start or end or now
    amounts = _amounts(job["AllocTRES"])
    nodes = node_names(value_of(job, "NodeList")) if how is not End.UNUSED else []
    share = {name: math.ceil(amount / len(nodes)) for name, amount in amounts.items()} if nodes else {}
    return Use(
        booking=f"job {job['JobIDRaw']}",
        start=begun,
        end=None if how is End.RUNNING else end or now,
        amounts={} if how is End.UNUSED else amounts,
        how=how,
        kind=job["Partition"],
        name=job["JobName"] or None,
        holder=job["User"] or None,
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


def _amounts(text: str) -> Amounts:
    found = tres(text)
    amounts = {
        VCPU: found.get("cpu", 0),
        MEMORY_MB: found.get("mem", 0),
        PGPU: found.get("gres/gpu", 0),
    }
    return {name: amount for name, amount in amounts.items() if amount}
