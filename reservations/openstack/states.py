"""A lease as Blazar tells it, read into the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from federation.errors import InputError
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Amounts, Need, Spread
from reservations.leases import Lease, LeaseState
from reservations.openstack import kinds
from reservations.openstack.dates import told
from reservations.openstack.flavours import Flavour
from reservations.properties import ANYTHING, Expression, parse_expression

PREFIX = "fairlead:"
_STATES = {
    "CREATING": LeaseState.PENDING,
    "PENDING": LeaseState.PENDING,
    "STARTING": LeaseState.PENDING,
    "ACTIVE": LeaseState.ACTIVE,
    "TERMINATING": LeaseState.ENDED,
    "DELETING": LeaseState.ENDED,
    "TERMINATED": LeaseState.ENDED,
    "ERROR": LeaseState.FAILED,
}
# A lease in one of these will be something else soon.
CHANGING = ("CREATING", "STARTING", "UPDATING", "TERMINATING", "DELETING")


def lease_name(reference: str) -> str:
    """What we call the lease of our reference at Blazar, where names needn't be unique."""
    return PREFIX + reference


def reference_of(name: str) -> str | None:
    """Our reference, where the lease is one of ours."""
    return name[len(PREFIX) :] if name.startswith(PREFIX) else None


def read_lease(
    document: Mapping[str, Any], hosts: Sequence[str] | None = None, holder: str | None = None
) -> Lease:
    """The lease of one of Blazar's documents. `hosts`: the names of those that it holds, where known."""
    reservations: Sequence[Mapping[str, Any]] = document.get("reservations") or ()
    only = reservations[0] if len(reservations) == 1 else None
    state = _state(document, reservations)
    return Lease(
        id=document["id"],
        reference=reference_of(document["name"]),
        name=document["name"],
        kind="+".join(sorted({each["resource_type"] for each in reservations})),
        start=told(document["start_date"]),
        end=told(document["end_date"]),
        state=state,
        need=None if only is None else need_of(only),
        hosts=None if hosts is None else tuple(hosts),
        holder=holder or document.get("project_id"),
        flavour=None if only is None else only.get("flavor_id"),
        reservation=None if only is None else only.get("id"),
        doubts=tuple(_doubts(document, reservations)),
        said=document.get("status"),
    )


def need_of(reservation: Mapping[str, Any]) -> Need | None:
    """What a reservation asked for; None for a kind that isn't read here."""
    match reservation.get("resource_type"):
        case kinds.PHYSICAL:
            hypervisor = _expression(reservation.get("hypervisor_properties"))
            resource = _expression(reservation.get("resource_properties"))
            return Need(
                {},
                int(reservation["min"]),
                whole_hosts=True,
                properties=Expression(hypervisor.conditions + resource.conditions),
            )
        case kinds.VIRTUAL:
            affinity = reservation.get("affinity")
            return Need(
                unit_of(reservation),
                int(reservation["amount"]),
                spread=Spread.ANY if affinity is None else Spread.TOGETHER if affinity else Spread.APART,
                properties=_expression(reservation.get("resource_properties")),
            )
        case kinds.FLAVOUR:
            source = source_flavour(reservation)
            return Need(
                source.amounts if source else unit_of(reservation),
                int(reservation["amount"]),
                flavour=source.id if source else None,
            )
    return None


def unit_of(reservation: Mapping[str, Any]) -> Amounts:
    """What one instance of the reservation takes, as its own three figures say."""
    return {
        VCPU: int(reservation["vcpus"]),
        MEMORY_MB: int(reservation["memory_mb"]),
        DISK_GB: int(reservation["disk_gb"]),
    }


def source_flavour(reservation: Mapping[str, Any]) -> Flavour | None:
    """The flavour that was reserved, which Blazar keeps in the properties of the reservation."""
    text = reservation.get("resource_properties") or ""
    if "OS-FLV-EXT-DATA:ephemeral" not in text:
        return None
    try:
        return Flavour.read(json.loads(text))
    except (ValueError, KeyError):
        return None


def _state(document: Mapping[str, Any], reservations: Sequence[Mapping[str, Any]]) -> LeaseState:
    said = {each.get("status") for each in reservations}
    if "error" in said:
        return LeaseState.FAILED
    if document.get("status") == "UPDATING":
        return LeaseState.ACTIVE if "active" in said else LeaseState.PENDING
    return _STATES.get(str(document.get("status")), LeaseState.PENDING)


def _doubts(document: Mapping[str, Any], reservations: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    doubts = []
    if any(each.get("missing_resources") for each in reservations):
        doubts.append("a host of this lease failed, and Blazar found no other for it")
    elif any(each.get("resources_changed") for each in reservations):
        doubts.append("a host of this lease failed, and Blazar gave it another: what ran there is gone")
    elif document.get("degraded"):
        doubts.append("Blazar says that this lease is degraded")
    return doubts


def _expression(text: object) -> Expression:
    try:
        return parse_expression(text) if isinstance(text, str) else ANYTHING
    except InputError:
        return ANYTHING
