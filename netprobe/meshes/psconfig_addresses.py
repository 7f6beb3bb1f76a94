"""The addresses of a pSConfig template: selected by name or by class, with labels and remote addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netprobe.meshes.psconfig_document import Template, pointer
from netprobe.meshes.values import address as ip_address
from netprobe.meshes.values import items, mapping, text


@dataclass(frozen=True)
class Selected:
    """An entry of /addresses that a group names, with the label under which it is named there."""

    name: str
    label: str | None
    entry: Mapping[str, Any]

    @property
    def host(self) -> str | None:
        """The name of the host that has this address."""
        return text(self.entry.get("host"))


@dataclass(frozen=True)
class Address:
    """An end of a test: what is measured, and by what rules. `name` is that of the entry in /addresses."""

    name: str
    address: str
    # where its pScheduler answers, and what it binds to; the address itself where unset
    pscheduler_address: str
    lead_bind_address: str
    # the entry's own address, whatever the label or the far end made of it
    own_address: str
    host: str | None
    disabled: bool
    no_agent: bool
    contexts: tuple[str, ...]


def select(template: Template, selector: Any, where: str) -> Iterator[Selected]:
    """The addresses of a selector, {name, label} or {class}; one that can't be found is a problem."""
    selector = mapping(selector)
    if selector.get("disabled") is True:
        return
    if "class" in selector:
        yield from _of_class(template, selector["class"], pointer_to(where, "class"))
        return
    name = selector.get("name")
    entry = template.entry("addresses", name, pointer_to(where, "name"))
    if entry is not None:
        yield Selected(str(name), text(selector.get("label")), entry)


def resolve(
    template: Template, selected: Selected, far_name: str | None, default_label: str | None
) -> Address | None:
    """The address of `selected` in a test with the entry `far_name`, or None where it has none by that label.

    What it has for that far end comes first (`remote-addresses`: the label there, else its address), then its
    own label, then its own address. An address is disabled, or without an agent, if anything above it is.
    """
    label = selected.label or default_label
    remote = mapping(selected.entry, "remote-addresses", far_name) if far_name is not None else {}
    above = [selected.entry]
    chosen: Mapping[str, Any] = selected.entry
    if remote and label and mapping(remote, "labels", label):
        chosen, above = mapping(remote, "labels", label), [selected.entry, remote]
    elif remote and not label and text(remote.get("address")):
        chosen = remote
    elif remote and label and not text(remote.get("address")):
        return None
    elif label:
        chosen = mapping(selected.entry, "labels", label)
        if not chosen:
            return None
    address, own = text(chosen.get("address")), text(selected.entry.get("address"))
    if address is None or own is None:
        template.problem(pointer("addresses", selected.name, "address"), "expected a host name or an address")
        return None
    host: Mapping[str, Any] = mapping(template.sections["hosts"], selected.host) if selected.host else {}
    levels = [*above, chosen, host]
    return Address(
        name=selected.name,
        address=address,
        pscheduler_address=text(chosen.get("pscheduler-address")) or address,
        lead_bind_address=text(chosen.get("lead-bind-address")) or address,
        own_address=own,
        host=selected.host,
        disabled=any(level.get("disabled") is True for level in levels),
        no_agent=any(level.get("no-agent") is True for level in levels),
        contexts=tuple(name for one in items(chosen.get("contexts")) if (name := text(one))),
    )


def pointer_to(where: str, *parts: str | int) -> str:
    """The pointer to what is below `where`."""
    return where + pointer(*parts)


def _of_class(template: Template, name: Any, where: str) -> Iterator[Selected]:
    found = template.entry("address-classes", name, where)
    if found is not None:
        for key in _members(template, str(name), found, where):
            yield Selected(key, None, mapping(template.sections["addresses"][key]))


def _members(template: Template, name: str, found: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names of the addresses in a class: worked out once, since classes are made of classes."""
    if name not in template.classes:
        template.classes[name] = None
        template.classes[name] = tuple(_chosen(template, found, pointer("address-classes", name)))
    members = template.classes[name]
    if members is None:
        template.problem(where, f"class {name!r} is made of itself: expected classes that end")
    return members or ()


def _chosen(template: Template, found: Mapping[str, Any], at: str) -> Iterator[str]:
    source = mapping(found, "data-source").get("type")
    if source != "current-config":
        # "requesting-agent" are the addresses of whoever asks: here, nobody's
        template.problem(pointer_to(at, "data-source", "type"), f"expected 'current-config', got {source!r}")
        return
    wanted, unwanted = found.get("match-filter"), found.get("exclude-filter")
    for key, entry in template.sections["addresses"].items():
        one = Selected(key, None, mapping(entry))
        if wanted is not None and not _matches(template, one, wanted, pointer_to(at, "match-filter")):
            continue
        if unwanted is None or not _matches(template, one, unwanted, pointer_to(at, "exclude-filter")):
            yield key


def _matches(template: Template, one: Selected, rule: Any, where: str) -> bool:
    rule = mapping(rule)
    kind = rule.get("type")
    host: Mapping[str, Any] = mapping(template.sections["hosts"], one.host) if one.host else {}
    if kind == "tag":
        return _has_tag(one.entry, rule.get("tag")) or _has_tag(host, rule.get("tag"))
    if kind == "host":
        return _is_host(host, rule)
    if kind in ("and", "or"):
        parts = [
            _matches(template, one, part, pointer_to(where, "filters", number))
            for number, part in enumerate(items(rule.get("filters")))
        ]
        return all(parts) if kind == "and" else any(parts)
    if kind == "not":
        return not _matches(template, one, rule.get("filter"), pointer_to(where, "filter"))
    if kind == "address-class":
        at = pointer_to(where, "class")
        found = template.entry("address-classes", rule.get("class"), at)
        return found is not None and one.name in _members(template, str(rule["class"]), found, at)
    if kind in ("ip-version", "netmask"):
        return _is_in(template, one, rule, where)
    known = "tag, host, ip-version, netmask, address-class, and, or, not"
    template.problem(pointer_to(where, "type"), f"expected {known}: got {kind!r}")
    return False


def _has_tag(entry: Mapping[str, Any], tag: Any) -> bool:
    return isinstance(tag, str) and tag.lower() in [str(one).lower() for one in items(entry.get("tags"))]


def _is_host(host: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    if not host:
        return False
    site, agentless = text(rule.get("site")), rule.get("no-agent")
    return (
        (site is None or (text(host.get("site")) or "").lower() == site.lower())
        and ("tag" not in rule or _has_tag(host, rule["tag"]))
        and (not isinstance(agentless, bool) or (host.get("no-agent") is True) == agentless)
    )


def _is_in(template: Template, one: Selected, rule: Mapping[str, Any], where: str) -> bool:
    """By the address itself: names aren't looked up, so that the answer is the same everywhere."""
    found = ip_address(one.entry.get("address"))
    if found is None:
        template.problem(
            where, f"address {one.name!r} is a name, and names aren't looked up: it doesn't match"
        )
        return False
    ip = ipaddress.ip_address(found)
    if rule.get("type") == "ip-version":
        return ip.version == rule.get("ip-version")
    try:
        return ip in ipaddress.ip_network(str(rule.get("netmask")), strict=False)
    except ValueError:
        template.problem(pointer_to(where, "netmask"), f"expected a network, got {rule.get('netmask')!r}")
        return False
