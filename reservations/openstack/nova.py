"""Nova: flavours, quota, hypervisors and aggregates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from reservations.calendar import MEMORY_MB, VCPU, Amounts
from reservations.openstack.connection import Cloud
from reservations.openstack.flavours import RESERVED, Flavour

# extra specs of flavours are listed with them since this microversion
_FLAVOURS = "2.61"
# hypervisors with their services; later ones (2.88) leave the figures out, which are not read here
_HYPERVISORS = "2.53"
INSTANCES = "INSTANCES"
_LIMITS = {
    VCPU: ("maxTotalCores", "totalCoresUsed"),
    MEMORY_MB: ("maxTotalRAMSize", "totalRAMUsed"),
    INSTANCES: ("maxTotalInstances", "totalInstancesUsed"),
}


@dataclass(frozen=True)
class Hypervisor:
    """A host that servers run on. `aggregates` are the names of those that it is in."""

    name: str
    service: str
    enabled: bool
    up: bool


@dataclass(frozen=True)
class Aggregate:
    """A group of hosts, by the names of their services."""

    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str]

    def is_blazars(self, freepool: str) -> bool:
        """Whether its hosts belong to Blazar, so that no server starts there without a reservation."""
        return self.name == freepool or "blazar:owner" in self.metadata


def flavours(cloud: Cloud, *, reserved: bool = False) -> Mapping[str, Flavour]:
    """The flavours that the caller may use, by id; those of reservations only where they are asked for."""
    if not cloud.offers("compute"):
        return {}
    answer = cloud.ask("compute", "GET", "/flavors/detail", version=_FLAVOURS)
    if not answer.ok:
        return {}
    found: dict[str, Flavour] = {}
    for document in answer.body["flavors"]:
        try:
            flavour = Flavour.read({"name": document.get("original_name"), **document})
        except (KeyError, ValueError):
            continue
        if reserved or not flavour.name.startswith(RESERVED):
            found[flavour.id] = flavour
    return found


def quota(cloud: Cloud) -> tuple[Amounts, Amounts]:
    """What the project may use at most and what it uses, by class, with INSTANCES. No limit: not named."""
    answer = cloud.ask("compute", "GET", "/limits")
    if not answer.ok:
        return {}, {}
    absolute: Mapping[str, Any] = answer.body["limits"]["absolute"]
    caps = {name: absolute[most] for name, (most, _) in _LIMITS.items() if absolute.get(most, -1) >= 0}
    used = {name: absolute.get(now, 0) for name, (_, now) in _LIMITS.items() if name in caps}
    return caps, used


def server(cloud: Cloud, name: str) -> Mapping[str, Any] | None:
    """Nova's document of the caller's server with this id or name; of several with the name the newest.
    None where there is none."""
    answer = cloud.ask("compute", "GET", f"/servers/{quote(name, safe='')}", version=_FLAVOURS)
    if answer.ok:
        found: Mapping[str, Any] = answer.body["server"]
        return found
    answer = cloud.ask(
        "compute", "GET", f"/servers/detail?{urlencode({'name': f'^{re.escape(name)}$'})}", version=_FLAVOURS
    )
    servers: Sequence[Mapping[str, Any]] = answer.body["servers"] if answer.ok else ()
    return max(servers, key=lambda each: str(each.get("created", "")), default=None)


def hypervisors(cloud: Cloud) -> Sequence[Hypervisor] | None:
    """All hypervisors; None where the caller may not see them."""
    answer = cloud.ask("compute", "GET", "/os-hypervisors/detail", version=_HYPERVISORS)
    if not answer.ok:
        return None
    return [
        Hypervisor(
            each["hypervisor_hostname"],
            each.get("service", {}).get("host", each["hypervisor_hostname"]),
            each.get("status") != "disabled",
            each.get("state") != "down",
        )
        for each in answer.body["hypervisors"]
    ]


def aggregates(cloud: Cloud) -> Sequence[Aggregate] | None:
    """All aggregates; None where the caller may not see them."""
    answer = cloud.ask("compute", "GET", "/os-aggregates")
    if not answer.ok:
        return None
    return [
        Aggregate(each["name"], frozenset(each["hosts"]), dict(each.get("metadata") or {}))
        for each in answer.body["aggregates"]
    ]
