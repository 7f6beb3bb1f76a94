"""Nova's flavours, as Blazar and Placement count them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Amounts

PCPU = "PCPU"
# A trait is a class of resources of which a host has more than can be asked for, or none. So is the peace of
# the flavours that want the same traits from reservations that Blazar makes none of theirs beside.
TRAIT = "trait:"
NO_TRAIT = "trait:!"
PEACE = "peace:"
PLENTY = 2**31 - 1
# Flavours that Blazar makes for its own reservations.
RESERVED = "reservation:"


@dataclass(frozen=True)
class Flavour:
    """A flavour: what one instance takes, and the traits that its host must have or must not."""

    id: str
    name: str
    amounts: Amounts
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Flavour:
        """From Nova's document with its extra specs. Raises KeyError and ValueError for one that isn't."""
        specs: Mapping[str, str] = document.get("extra_specs") or {}
        amounts = {
            VCPU: int(document["vcpus"]),
            MEMORY_MB: int(document["ram"]),
            DISK_GB: int(document["disk"]) + int(document.get("OS-FLV-EXT-DATA:ephemeral") or 0),
        }
        if specs.get("hw:cpu_policy") == "dedicated":
            amounts[PCPU] = amounts.pop(VCPU)
        traits: dict[str, set[str]] = {"required": set(), "forbidden": set()}
        for key, value in specs.items():
            if key.startswith("resources:"):
                amounts[key.split(":")[1]] = int(value)
            elif key.startswith("trait:"):
                traits.setdefault(value, set()).add(key.split(":")[1])
        return cls(
            str(document["id"]),
            str(document.get("name") or document["id"]),
            {name: amount for name, amount in amounts.items() if amount},
            frozenset(traits["required"]),
            frozenset(traits["forbidden"]),
        )

    @property
    def asked(self) -> Amounts:
        """What one instance asks of a host: amounts, and traits as classes of their own."""
        return {
            **self.amounts,
            **{TRAIT + trait: 1 for trait in self.required},
            **{NO_TRAIT + trait: 1 for trait in self.forbidden},
        }

    @property
    def wants(self) -> str:
        """The traits that it wants and doesn't want, as one text."""
        return ",".join([*sorted(self.required), *(f"!{trait}" for trait in sorted(self.forbidden))])

    def suits(self, traits: frozenset[str]) -> bool:
        """Whether a host with these traits is right."""
        return self.required <= traits and not self.forbidden & traits


def traits_as_amounts(has: frozenset[str], flavours: Mapping[str, Flavour]) -> dict[str, int]:
    """What a host with the traits `has` offers of those that the flavours name."""
    offered = {}
    for flavour in flavours.values():
        offered.update({TRAIT + trait: PLENTY for trait in flavour.required if trait in has})
        offered.update({NO_TRAIT + trait: PLENTY for trait in flavour.forbidden if trait not in has})
    return offered
