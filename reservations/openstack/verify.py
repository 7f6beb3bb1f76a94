"""What a lease really holds: Blazar's answers are given without locks, and can promise one host twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from reservations.calendar import DISK_GB, MEMORY_MB, VCPU
from reservations.openstack.blazar import Document
from reservations.openstack.calendars import Held, Known, held, host_name
from reservations.openstack.kinds import PHYSICAL, VIRTUAL
from reservations.openstack.states import unit_of

_TOTALS = {VCPU: "vcpus", MEMORY_MB: "memory_mb", DISK_GB: "local_gb"}


def doubts_of(
    lease: Document, hosts: Sequence[Document], allocations: Sequence[Document], leases: Sequence[Document]
) -> tuple[tuple[str, ...], list[str]]:
    """(names of the hosts it holds, one a slot; what isn't as it was asked for)."""
    names = {str(each["id"]): host_name(each) for each in hosts}
    everything = held(Known(hosts, allocations, leases))
    ours = [each for each in everything if each.lease == lease["id"]]
    holds = tuple(names.get(each.host, each.host) for each in ours for _ in range(each.slots))
    doubts = list(_short(lease, ours))
    for host in sorted({each.host for each in ours}):
        here = [each for each in everything if each.host == host]
        doubts += _shared(names.get(host, host), here, lease["id"])
        doubts += _overfull(
            names.get(host, host), next(d for d in hosts if str(d["id"]) == host), here, lease["id"]
        )
    return holds, doubts


def _short(lease: Document, ours: Sequence[Held]) -> Iterator[str]:
    for reservation in lease.get("reservations") or ():
        kind = reservation["resource_type"]
        asked = reservation.get("min") if kind == PHYSICAL else reservation.get("amount")
        has = sum(each.slots for each in ours if each.reservation == reservation["id"])
        if asked is not None and has < int(asked):
            what = "hosts" if kind == PHYSICAL else "instances"
            yield f"{asked} {what} were asked for, and {has} are held"


def _shared(name: str, here: Sequence[Held], lease: str) -> Iterator[str]:
    """Whole hosts that someone else has at the same time."""
    for ours in here:
        for other in here:
            if ours.lease != lease or other.lease == lease or not _meet(ours, other):
                continue
            if PHYSICAL in (ours.kind, other.kind) or other.kind is None:
                whose = f"of project {other.project}" if other.project else "of another project"
                yield (
                    f"host {name} is held by another reservation {whose} at the same time, from "
                    f"{_text(max(ours.start, other.start))} to {_text(min(ours.end, other.end))}: only one "
                    "of them can start"
                )


def _overfull(name: str, host: Document, here: Sequence[Held], lease: str) -> Iterator[str]:
    """Virtual instances that add up to more than the host has, as Blazar counts a reservation's as one."""
    virtual = [each for each in here if each.kind == VIRTUAL and each.document is not None]
    for ours in virtual:
        if ours.lease != lease:
            continue
        meeting = [each for each in virtual if _meet(ours, each)]
        for resource, field in _TOTALS.items():
            peak = max(
                sum(
                    unit_of(each.document or {})[resource] * each.slots
                    for each in meeting
                    if each.start <= at < each.end
                )
                for at in {max(each.start, ours.start) for each in meeting}
            )
            if peak > int(host[field]):
                yield (
                    f"host {name} has {host[field]} {resource} and {peak} are promised at a time: Blazar "
                    "counts the instances that a reservation has on a host as one"
                )


def _meet(one: Held, other: Held) -> bool:
    return one.start < other.end and other.start < one.end


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M")
