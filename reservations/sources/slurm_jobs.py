"""Jobs as `squeue --json` tells them: which part of which node is taken until when.

The documents differ between releases (`slurm_json`), and what a job has on each node stands in one of three
places. All are read here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reservations.calendar import MEMORY_MB, PGPU, VCPU, Amounts, Taken
from reservations.sources import slurm_json
from reservations.sources.slurm_json import number, of
from reservations.sources.slurm_words import PREFIX, gpus, node_names, tres

_FAILED = ("BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT")
_OVER = frozenset({"CANCELLED", "COMPLETED", *_FAILED})
# a job that should be over but isn't: its node is cleaned, or the site lets jobs run over
_OVERTIME = timedelta(minutes=1)


@dataclass(frozen=True)
class Plan:
    """When and where Slurm's backfill means to start a waiting job."""

    start: datetime
    nodes: Sequence[str]


def running(jobs: Sequence[Mapping[str, Any]], threads: Mapping[str, int], now: datetime) -> Iterator[Taken]:
    """What running jobs have. `threads`: CPUs of one core, by node."""
    for job in jobs:
        states = _states(job)
        if "PENDING" in states or (states & _OVER and "COMPLETING" not in states):
            continue
        start, end = slurm_json.instant(job.get("start_time")) or now, _end(job, now)
        for node, amounts in _parts(job, threads):
            yield _taken(job, node, min(start, now), end, amounts)


def planned(jobs: Sequence[Mapping[str, Any]], plans: Mapping[int, Plan], now: datetime) -> Iterator[Taken]:
    """What waiting jobs will have, as far as it is planned where and when: of an array, one task."""
    for job in jobs:
        plan = plans.get(number(job.get("job_id")) or 0)
        if plan is None or "PENDING" not in _states(job) or not plan.nodes:
            continue
        start = max(plan.start, now)
        limit = number(job.get("time_limit"))
        amounts = _each(job, len(plan.nodes))
        for node in plan.nodes:
            end = None if limit is None else start + timedelta(minutes=limit)
            yield _taken(job, node, start, end, amounts)


def waiting(jobs: Sequence[Mapping[str, Any]], plans: Mapping[int, Plan], partition: str) -> int:
    """How many jobs of a partition wait without a plan, and are not held back by somebody."""
    return sum(
        "PENDING" in _states(job)
        and partition in str(job.get("partition", "")).split(",")
        and number(job.get("job_id")) not in plans
        and "held" not in str(job.get("state_reason", "")).lower()
        for job in jobs
    )


def _taken(
    job: Mapping[str, Any], node: str, start: datetime, end: datetime | None, amounts: Amounts
) -> Taken:
    job_id = number(job.get("job_id"))
    name, user = (str(job[key]) if job.get(key) else None for key in ("name", "user_name"))
    ours = name.removeprefix(PREFIX) if name is not None and name.startswith(PREFIX) else None
    return Taken(node, start, end, amounts, f"job {job_id}", name, user, ours)


def _end(job: Mapping[str, Any], now: datetime) -> datetime | None:
    """When a running job will be over at the latest, None where it has no limit."""
    end = slurm_json.instant(job.get("end_time"))
    if number(job.get("time_limit")) is None or end is None:
        return None
    return max(end, now + _OVERTIME)


def _parts(job: Mapping[str, Any], threads: Mapping[str, int]) -> Iterator[tuple[str, Amounts]]:
    """(node, what the job has there)."""
    resources = job.get("job_resources")
    nodes = node_names(str(job.get("nodes") or ""))
    details = job.get("gres_detail")
    detail = dict(zip(nodes, details, strict=False)) if isinstance(details, list) else {}
    even = _each(job, len(nodes) or 1)
    known = {str(each.get("nodename", each.get("name"))): each for each in _allocated(resources)}
    for node in nodes:
        found = known.get(node, {})
        cpus = _cpus(found, threads.get(node, 1))
        memory = found.get("memory_allocated", of(found.get("memory"), "allocated"))
        yield (
            node,
            {
                VCPU: even[VCPU] if cpus is None else cpus,
                MEMORY_MB: even[MEMORY_MB] if number(memory) is None else number(memory) or 0,
                PGPU: gpus(str(detail[node])) if node in detail else even[PGPU],
            },
        )


def _allocated(resources: Any) -> Sequence[Mapping[str, Any]]:
    found = of(resources, "allocated_nodes")
    if found is None:
        found = of(of(resources, "nodes"), "allocation")
    listed = list(found.values()) if isinstance(found, Mapping) else found
    return [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []


def _cpus(node: Mapping[str, Any], threads: int) -> int | None:
    count = number(of(node.get("cpus"), "count"))
    if count is not None:
        return count
    sockets = node.get("sockets")
    listed = (
        sockets.values() if isinstance(sockets, Mapping) else sockets if isinstance(sockets, list) else ()
    )
    cores = [core for socket in listed for core in _cores(socket)]
    return threads * len(cores) if cores else None


def _cores(socket: Any) -> list[Any]:
    cores = of(socket, "cores")
    if isinstance(cores, Mapping):
        return [state for state in cores.values() if state]
    if isinstance(cores, list):
        return [each for each in cores if of(each, "status") is None or of(each, "status")]
    return []


def _each(job: Mapping[str, Any], nodes: int) -> dict[str, int]:
    """What a job has on each of its nodes where nothing says more: an even share, rounded up."""
    total = tres(str(job.get("tres_alloc_str") or job.get("tres_req_str") or ""))
    cpus = total.get("cpu") or number(job.get("cpus")) or 0
    on_node = gpus(str(job.get("tres_per_node") or ""))
    devices = total.get("gres/gpu") or gpus(str(job.get("tres_per_job") or ""))
    return {
        VCPU: math.ceil(cpus / nodes),
        MEMORY_MB: math.ceil(total.get("mem", 0) / nodes),
        PGPU: on_node or math.ceil(devices / nodes),
    }


def _states(job: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(slurm_json.words(job.get("job_state")))
