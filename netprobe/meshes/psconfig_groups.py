"""Who is measured with whom: the combinations of addresses that a group of a pSConfig template makes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from netprobe.meshes.psconfig_addresses import Address, Selected, pointer_to, resolve, select
from netprobe.meshes.psconfig_document import Template, pointer
from netprobe.meshes.values import items, mapping, text


def combinations(template: Template, name: str) -> Iterator[tuple[Address, ...]]:
    """The pairs of a mesh or a disjoint group, the single addresses of a list, disabled ones too.

    Mesh: all ordered pairs. Disjoint: from the one side to the other, and back unless it is unidirectional.
    Without those that the group excludes (from local to target, not back), and, as `excludes-self` says,
    those on one host or with one address. The same combination may come more than once.
    """
    group = mapping(template.sections["groups"], name)
    at, label = pointer("groups", name), text(group.get("default-address-label"))
    kind = group.get("type")
    if kind == "list":
        for number, selector in enumerate(_selectors(template, group, at, "addresses")):
            for one in select(template, selector, pointer_to(at, "addresses", number)):
                alone = resolve(template, one, None, label)
                if alone is not None:
                    yield (alone,)
        return
    if kind not in ("mesh", "disjoint"):
        template.problem(pointer_to(at, "type"), f"expected mesh, disjoint or list, got {kind!r}")
        return
    sides = [("addresses", "addresses")]
    if kind == "disjoint":
        sides = [("a-addresses", "b-addresses")]
        if group.get("unidirectional") is not True:
            sides.append(("b-addresses", "a-addresses"))
    excluded = _excluded(template, group, at)
    chosen = {
        side: [
            (selector, list(select(template, selector, pointer_to(at, side, number))))
            for number, selector in enumerate(_selectors(template, group, at, side))
        ]
        for side in dict.fromkeys(side for pair in sides for side in pair)
    }
    for left, right in sides:
        for one, sources in chosen[left]:
            for other, destinations in chosen[right]:
                if (_canonical(one), _canonical(other)) not in excluded:
                    yield from _pairs(template, group, sources, destinations, label)


def _pairs(
    template: Template,
    group: Mapping[str, Any],
    sources: list[Selected],
    destinations: list[Selected],
    label: str | None,
) -> Iterator[tuple[Address, Address]]:
    scope = group.get("excludes-self", "host")
    for one in sources:
        for other in destinations:
            source = resolve(template, one, other.name, label)
            destination = resolve(template, other, one.name, label)
            if source is None or destination is None:
                continue
            same_host = (one.host or "").lower() == (other.host or "").lower() and one.host is not None
            if scope == "host" and same_host:
                continue
            if scope != "disabled" and source.own_address == destination.own_address:
                continue
            yield source, destination


def _selectors(template: Template, group: Mapping[str, Any], at: str, side: str) -> list[Any]:
    found = group.get(side)
    if not isinstance(found, list):
        template.problem(pointer_to(at, side), f"expected a list of addresses, got {found!r}"[:200])
        return []
    return found


def _excluded(template: Template, group: Mapping[str, Any], at: str) -> set[tuple[str, str]]:
    """Pairs of selectors, from the local to the target one: not the other way round."""
    found = set()
    for number, pair in enumerate(items(group.get("excludes"))):
        local, targets = mapping(pair).get("local-address"), mapping(pair).get("target-addresses")
        if not isinstance(local, Mapping) or not isinstance(targets, list):
            where = pointer_to(at, "excludes", number)
            template.problem(where, "expected local-address and target-addresses")
            continue
        found |= {(_canonical(local), _canonical(target)) for target in targets}
    return found


def _canonical(selector: Any) -> str:
    return json.dumps(selector, sort_keys=True)
