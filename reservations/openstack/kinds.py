"""The ways in which Blazar books: what each can express, and how its requests are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU, Need, Spread
from reservations.leases import RefusedError

PHYSICAL = "physical:host"
VIRTUAL = "virtual:instance"
FLAVOUR = "flavor:instance"
KINDS = (PHYSICAL, VIRTUAL, FLAVOUR)

# A class of resources, and the property of a hypervisor that says how much of it there is.
_HYPERVISOR = {VCPU: "vcpus", MEMORY_MB: "memory_mb", DISK_GB: "local_gb"}
_AFFINITY = {Spread.ANY: None, Spread.TOGETHER: True, Spread.APART: False}


def reservation(
    need: Need, kind: str, gpu_property: str | None = None, gpu_values: Iterable[str] = ()
) -> dict[str, Any]:
    """The reservation of a lease's request. Raises RefusedError for what that kind can't express.

    `gpu_property` is the property of hosts that says how many GPUs they have, and `gpu_values` are its values
    that are known. Blazar compares properties as text ("10" < "9"), so what is too few is excluded by name.
    """
    if kind == PHYSICAL:
        return _physical(need, gpu_property, gpu_values)
    if need.whole_hosts:
        raise RefusedError(f"{kind} books parts of hosts, not whole ones: {PHYSICAL} does", "kind", "")
    if kind == VIRTUAL:
        return _virtual(need)
    if kind == FLAVOUR:
        return _flavour(need)
    raise RefusedError(f"Blazar books by {', '.join(KINDS)}, not by {kind!r}", "kind", "")


def _physical(need: Need, gpu_property: str | None, gpu_values: Iterable[str]) -> dict[str, Any]:
    asked: list[list[str]] = []
    for name, amount in need.amounts.items():
        if amount <= 0:
            continue
        if name in _HYPERVISOR:
            asked.append([">=", f"${_HYPERVISOR[name]}", str(amount)])
        elif name == PGPU and gpu_property:
            asked += _gpus(gpu_property, amount, gpu_values)
        else:
            hint = (
                ": expected the option `gpus`, the property of hosts that counts them" if name == PGPU else ""
            )
            raise RefusedError(f"{PHYSICAL} can't be asked for {name}{hint}", "kind", "")
    return {
        "resource_type": PHYSICAL,
        "min": need.units,
        "max": need.units,
        "hypervisor_properties": _text(asked),
        "resource_properties": need.properties.text(),
    }


def _virtual(need: Need) -> dict[str, Any]:
    unknown = sorted(name for name, amount in need.amounts.items() if amount and name not in _HYPERVISOR)
    if unknown:
        raise RefusedError(
            f"{VIRTUAL} books cores, memory and disk only, not {', '.join(unknown)}: {FLAVOUR} does, with a "
            "flavour that has them",
            "kind",
            "",
        )
    return {
        "resource_type": VIRTUAL,
        "amount": need.units,
        # Nova has no flavour without a core or without memory
        "vcpus": max(1, need.amounts.get(VCPU, 0)),
        "memory_mb": max(1, need.amounts.get(MEMORY_MB, 0)),
        "disk_gb": need.amounts.get(DISK_GB, 0),
        "affinity": _AFFINITY[need.spread],
        "resource_properties": need.properties.text(),
    }


def _flavour(need: Need) -> dict[str, Any]:
    if need.flavour is None:
        raise RefusedError(f"{FLAVOUR} books by flavours: expected one", "flavour", "")
    if need.spread is not Spread.ANY:
        raise RefusedError(
            f"{FLAVOUR} can't say whether instances share hosts: {VIRTUAL} can", "affinity", ""
        )
    if need.properties.conditions:
        raise RefusedError(
            f"{FLAVOUR} asks for no properties of hosts: expected a flavour whose traits say it",
            "properties",
            "",
        )
    return {"resource_type": FLAVOUR, "amount": need.units, "flavor_id": need.flavour, "affinity": None}


def gpus(value: object) -> int:
    """How many GPUs a property's value says; 0 where it is no number."""
    text = str(value).strip()
    return int(text) if text.isdecimal() else 0


def _gpus(name: str, amount: int, values: Iterable[str]) -> list[list[str]]:
    known = sorted(set(values))
    if not known:
        return [[">=", f"${name}", str(amount)]]
    too_few = [value for value in known if gpus(value) < amount]
    # One condition at least, so that hosts without the property are excluded, too.
    return [["!=", f"${name}", value] for value in too_few] or [["!=", f"${name}", "0"]]


def _text(conditions: Sequence[Sequence[str]]) -> str:
    if not conditions:
        return ""
    return json.dumps(conditions[0] if len(conditions) == 1 else ["and", *conditions])
