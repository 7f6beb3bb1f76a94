"""What a cluster's nodes have, and what of them is taken by reservations, or by jobs that are hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Amounts, Host, Taken
from reservations.sources.slurm_words import PREFIX, gpus, instant, node_names, value_of, whole_number

_OUT = ("BLOCKED", "DOWN", "DRAIN", "DRAINED", "DRAINING", "ERROR", "FAIL", "FAILING", "FUTURE", "INVAL")
_UNUSABLE = frozenset({*_OUT, "INVALID_REG", "NOT_RESPONDING", "UNKNOWN"})
_REPEATS = {
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKDAY": timedelta(days=1),
    "WEEKEND": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}


def hidden_on(
    nodes: Mapping[str, Mapping[str, str]], busy: Sequence[Taken], now: datetime
) -> Iterator[Taken]:
    """What is allocated to nobody that we see: Slurm can hide the jobs of others (PrivateData)."""
    cpus, memory = Counter[str](), Counter[str]()
    for each in busy:
        cpus[each.host] += (each.amounts or {}).get(VCPU, 0)
        memory[each.host] += (each.amounts or {}).get(MEMORY_MB, 0)
    for name, node in nodes.items():
        more = {
            VCPU: max(whole_number(node, "CPUAlloc") - cpus[name], 0),
            MEMORY_MB: max(whole_number(node, "AllocMem") - memory[name], 0),
        }
        if more[VCPU]:
            yield Taken(name, now, None, more, f"hidden on {name}")


def host_of(name: str, node: Mapping[str, str], up: bool, most: Mapping[str, int]) -> Host:
    state = node.get("State", "UNKNOWN")
    words = {word.rstrip("*~#!%$@^-") for word in state.upper().split("+")}
    amounts = {
        VCPU: whole_number(node, "CPUEfctv") or whole_number(node, "CPUTot"),
        MEMORY_MB: max(whole_number(node, "RealMemory") - whole_number(node, "MemSpecLimit"), 0),
        DISK_GB: whole_number(node, "TmpDisk") // 1024,
        PGPU: gpus(value_of(node, "Gres")),
    }
    named = {"features": "ActiveFeatures", "gres": "Gres", "architecture": "Arch"}
    properties = {key: value for key, field in named.items() if (value := value_of(node, field))}
    for feature in properties.get("features", "").split(","):
        if feature:
            properties[feature] = "True"
    return Host(name, name, amounts, properties, most, up and not words & _UNUSABLE and "*" not in state)


def most_of(partition: Mapping[str, str]) -> Mapping[str, int]:
    limits = {VCPU: "MaxCPUsPerNode", MEMORY_MB: "MaxMemPerNode"}
    return {name: number for name, field in limits.items() if (number := whole_number(partition, field))}


def threads_of(node: Mapping[str, str]) -> int:
    return whole_number(node, "ThreadsPerCore") or 1


def jobs_inside(jobs: Sequence[Mapping[str, Any]], reservations: Sequence[Mapping[str, str]]) -> set[str]:
    """The jobs that have what these reservations hold: they take nothing besides."""
    names = {each.get("ReservationName") for each in reservations}
    return {f"job {job.get('job_id')}" for job in jobs if job.get("resv_name") in names}


def _held(record: Mapping[str, str], nodes: Mapping[str, Mapping[str, str]]) -> Amounts | None:
    """What a reservation holds of its node; None: its nodes, whole. Slurm reserves no memory with cores: who
    uses them is taken to need an even share of it."""
    names = node_names(value_of(record, "Nodes"))
    node = nodes.get(names[0], {}) if len(names) == 1 else {}
    cpus, whole = whole_number(record, "CoreCnt") * threads_of(node), whole_number(node, "CPUTot")
    if not 0 < cpus < whole:
        return None
    return {VCPU: cpus, MEMORY_MB: -(-whole_number(node, "RealMemory") * cpus // whole)}


def taken_by(
    record: Mapping[str, str], known: Mapping[str, Mapping[str, str]], start: datetime, end: datetime
) -> Iterator[Taken]:
    """What a reservation holds of its nodes; each time, where it repeats."""
    begins, ends = instant(record.get("StartTime")), instant(record.get("EndTime"))
    if begins is None or ends is None:
        return
    flags = (value_of(record, "Flags") or "").split(",")
    every = next((_REPEATS[flag] for flag in flags if flag in _REPEATS), None)
    name = record.get("ReservationName", "?")
    holder = value_of(record, "Users") or value_of(record, "Accounts")
    ours = name.removeprefix(PREFIX) if name.startswith(PREFIX) else None
    nodes, amounts = node_names(value_of(record, "Nodes")), _held(record, known)
    while begins < end:
        weekend = begins.weekday() >= 5
        skipped = ("WEEKDAY" in flags and weekend) or ("WEEKEND" in flags and not weekend)
        if ends > start and not skipped:
            for node in nodes:
                yield Taken(node, begins, ends, amounts, f"reservation {name}", name, holder, ours)
        if every is None:
            return
        begins, ends = begins + every, ends + every
