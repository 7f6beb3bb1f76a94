"""What Blazar's leases say of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from reservations.calendar import MEMORY_MB, PGPU, VCPU, Amounts
from reservations.history.past import End, Past, Use
from reservations.leases import LeaseState
from reservations.openstack.calendars import Known, Ways
from reservations.openstack.flavours import PEACE
from reservations.openstack.kinds import FLAVOUR, PHYSICAL, VIRTUAL, gpus
from reservations.openstack.states import read_lease, reference_of, source_flavour, unit_of

_FORGETS = (
    "Blazar forgets leases that are deleted, and that a lease was shortened: of the past it tells what the "
    "leases say that are still there"
)


def past(known: Known, ways: Ways, hidden: Sequence[str], since: datetime, now: datetime) -> Past:
    """The leases that had begun, or should have, in [since, now). `hidden`: the lines of policy that hide
    others' leases; none where all are shown."""
    mean = _mean_host(known, ways)
    remarks = [_FORGETS]
    uses = [use for lease in known.leases for use in _uses(lease, known, mean, now)]
    uses = [use for use in uses if use.start < now and (use.end is None or use.end > since)]
    if hidden:
        remarks.append("leases of other projects are hidden: the past is that of your own project alone")
    sizes = {tuple(sorted(_host(each, ways).items())) for each in known.hosts}
    if len(sizes) > 1 and any(use.kind == PHYSICAL for use in uses):
        remarks.append(
            "which hosts a past lease had isn't told: each of its whole hosts counts as the mean of all"
        )
    return Past(tuple(uses), since, now, whole=False, remarks=tuple(remarks))


def _uses(lease: Mapping[str, Any], known: Known, mean: Amounts, now: datetime) -> Iterator[Use]:
    """One for each of its reservations: a lease may have several."""
    found = read_lease(lease)
    project = lease.get("project_id")
    events = {each["event_type"]: each["status"] for each in lease.get("events") or ()}
    for number, reservation in enumerate(lease.get("reservations") or ()):
        how = _how(found.state, found.start, found.end, events.get("start_lease"), now)
        yield Use(
            booking=f"{found.id}/{number}" if number else found.id,
            start=found.start,
            end=found.end,
            amounts={} if how in (End.UNUSED, End.FAILED) else _amounts(reservation, mean),
            how=how,
            kind=reservation["resource_type"],
            name=found.name,
            holder=None if project is None else known.projects.get(project, project),
            ours=reference_of(found.name),
            asked_end=found.end,
        )


def _how(state: LeaseState, start: datetime, end: datetime, begun: str | None, now: datetime) -> End:
    if state is LeaseState.FAILED:
        # one that failed after it had begun was there for a time that nothing tells
        return End.FAILED
    if state is LeaseState.ENDED:
        return End.ENDED if begun in ("DONE", None) else End.UNUSED
    if state is LeaseState.PENDING and end <= now:
        return End.UNUSED
    return End.RUNNING


def _amounts(reservation: Mapping[str, Any], mean: Amounts) -> Amounts:
    """All that a reservation took: of whole hosts at least as many as were asked for."""
    kind = reservation["resource_type"]
    if kind == PHYSICAL:
        count = int(reservation["min"])
        return {name: amount * count for name, amount in mean.items()}
    if kind not in (VIRTUAL, FLAVOUR):
        return {}
    flavour = source_flavour(reservation)
    unit = unit_of(reservation) if flavour is None else flavour.amounts
    count = int(reservation["amount"])
    return {name: taken * count for name, taken in unit.items() if not name.startswith(PEACE)}


def _mean_host(known: Known, ways: Ways) -> Amounts:
    hosts = [_host(each, ways) for each in known.hosts]
    names = {name for host in hosts for name in host}
    return {name: round(sum(host.get(name, 0) for host in hosts) / len(hosts)) for name in sorted(names)}


def _host(document: Mapping[str, Any], ways: Ways) -> Amounts:

    found = {VCPU: int(document["vcpus"]), MEMORY_MB: int(document["memory_mb"])}
    if ways.gpu_property:
        found[PGPU] = gpus(document.get(ways.gpu_property))
    return found
