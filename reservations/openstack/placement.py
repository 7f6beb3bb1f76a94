"""Placement: what hosts have, what of it is used, and what they are like. For administrators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from reservations.calendar import Amounts
from reservations.openstack.connection import Cloud

# required= of several traits and member_of; every release since 2018 has it
_VERSION = "1.22"


@dataclass(frozen=True)
class Provider:
    """A resource provider with all its children: a host, with its GPUs and NUMA nodes.

    `amounts` is what may be taken in all, `most` what one consumer may take of a class where that is less,
    `used` what is taken now.
    """

    id: str
    name: str
    amounts: Amounts
    most: Amounts = field(default_factory=dict)
    used: Amounts = field(default_factory=dict)
    traits: frozenset[str] = frozenset()


def capacity(inventory: Mapping[str, Any]) -> int:
    """What may be allocated of a class: floor((total - reserved) * allocation_ratio), as Placement has it."""
    free = (inventory["total"] - inventory.get("reserved", 0)) * inventory.get("allocation_ratio", 1.0)
    return max(0, math.floor(float(free)))


def providers(cloud: Cloud, *, with_usages: bool = True) -> Sequence[Provider] | None:
    """All root providers but Blazar's own; None where the caller may not see them, or there is no Placement.

    Three requests a provider; raises as `Cloud.ask`.
    """
    if not cloud.offers("placement"):
        return None
    answer = cloud.ask("placement", "GET", "/resource_providers", version=_VERSION)
    if not answer.ok:
        return None
    listed: Sequence[Mapping[str, Any]] = answer.body["resource_providers"]
    roots = {each["uuid"]: each["name"] for each in listed if each["uuid"] == each["root_provider_uuid"]}
    found = []
    for root, name in roots.items():
        if _is_blazars(name, roots.values()):
            continue
        family = [each["uuid"] for each in listed if each["root_provider_uuid"] == root]
        amounts: dict[str, int] = {}
        most: dict[str, int] = {}
        used: dict[str, int] = {}
        traits: set[str] = set()
        for uuid in family:
            for name_of, inventory in _read(cloud, uuid, "inventories").items():
                if name_of.startswith("CUSTOM_RESERVATION_"):
                    continue
                amounts[name_of] = amounts.get(name_of, 0) + capacity(inventory)
                most[name_of] = max(most.get(name_of, 0), inventory.get("max_unit", 0))
            if with_usages:
                for name_of, amount in _read(cloud, uuid, "usages").items():
                    used[name_of] = used.get(name_of, 0) + amount
            traits.update(_read(cloud, uuid, "traits"))
        if amounts:
            limited = {key: limit for key, limit in most.items() if limit < amounts[key]}
            found.append(Provider(root, name, amounts, limited, used, frozenset(traits)))
    return found


def candidates(cloud: Cloud, amounts: Amounts, required: Sequence[str] = ()) -> int | None:
    """On how many hosts one unit of `amounts` would fit now, as Placement says; None where it's not told."""
    if not cloud.offers("placement"):
        return None
    query = {"resources": ",".join(f"{name}:{amount}" for name, amount in amounts.items() if amount)}
    if required:
        query["required"] = ",".join(required)
    answer = cloud.ask("placement", "GET", f"/allocation_candidates?{urlencode(query)}", version=_VERSION)
    return len(answer.body["allocation_requests"]) if answer.ok else None


def _is_blazars(name: str, names: Any) -> bool:
    """Blazar makes a provider `blazar_HOST` as a child or beside each host that it owns."""
    return name.startswith("blazar_") and name.removeprefix("blazar_") in set(names)


def _read(cloud: Cloud, uuid: str, what: str) -> Any:
    answer = cloud.ask("placement", "GET", f"/resource_providers/{uuid}/{what}", version=_VERSION)
    return answer.body[what] if answer.ok else ({} if what != "traits" else [])
