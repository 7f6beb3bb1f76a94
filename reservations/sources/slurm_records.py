"""slurmrestd's nodes, partitions and reservations as the records that `scontrol --oneliner show` prints.

What counts of them is said once, for both ways to ask: documents of all versions become those fields here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from reservations.sources.slurm_jobs import Plan
from reservations.sources.slurm_json import instant, number, of, text, words
from reservations.sources.slurm_words import node_names

Record = Mapping[str, str]


def node(document: Mapping[str, Any]) -> Record:
    return _record(
        NodeName=text(document.get("name")),
        State="+".join(words(document.get("state"), document.get("state_flags"))),
        CPUTot=number(document.get("cpus")),
        CPUEfctv=number(document.get("effective_cpus")),
        CPUAlloc=number(document.get("alloc_cpus")),
        ThreadsPerCore=number(document.get("threads")),
        RealMemory=number(document.get("real_memory")),
        MemSpecLimit=number(document.get("specialized_memory")),
        AllocMem=number(document.get("alloc_memory")),
        TmpDisk=number(document.get("temporary_disk")),
        Gres=text(document.get("gres")),
        ActiveFeatures=text(document.get("active_features")),
        Arch=text(document.get("architecture")),
        Reason=text(document.get("reason")),
    )


def partition(document: Mapping[str, Any]) -> Record:
    nodes = document.get("nodes")
    most = document.get("maximums")
    minutes = number(document.get("max_time_limit")) or number(of(most, "time"))
    state = words(document.get("state"), of(document, "partition", "state"))
    return _record(
        PartitionName=text(document.get("name")),
        Nodes=text(of(nodes, "configured") if isinstance(nodes, Mapping) else nodes),
        # v0.0.39 has no word of it
        State="+".join(state) or "UP",
        # plain minutes are one of its notations
        MaxTime=minutes,
        MaxCPUsPerNode=_limit(document.get("maximum_cpus_per_node"), of(most, "cpus_per_node")),
        MaxMemPerNode=_limit(document.get("maximum_memory_per_node"), of(most, "partition_memory_per_node")),
    )


def reservation(document: Mapping[str, Any]) -> Record:
    return _record(
        ReservationName=text(document.get("name")),
        StartTime=_time(document.get("start_time")),
        EndTime=_time(document.get("end_time")),
        Nodes=text(document.get("node_list")),
        CoreCnt=number(document.get("core_count")),
        Flags=text(document.get("flags")),
        Users=text(document.get("users")),
        Accounts=text(document.get("accounts")),
    )


def plans(jobs: Sequence[Mapping[str, Any]]) -> Mapping[int, Plan]:
    """Where and when jobs are planned; of those alone whose place is told, which it isn't before v0.0.40."""
    found: dict[int, Plan] = {}
    for job in jobs:
        identity, start, where = (
            number(job.get("job_id")),
            instant(job.get("start_time")),
            job.get("scheduled_nodes"),
        )
        if identity is not None and start is not None and isinstance(where, str) and where:
            found[identity] = Plan(start, node_names(where))
    return found


def _record(**fields: Any) -> Record:
    return {name: str(value) for name, value in fields.items() if value not in (None, "")}


def _limit(*values: Any) -> int | None:
    """The first that limits anything: -1 and the largest numbers stand for none."""
    return next(
        (found for value in values if (found := number(value)) is not None and 0 < found < 2**31), None
    )


def _time(value: Any) -> str | None:
    found = instant(value)
    return None if found is None else f"{found.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
