"""What Blazar knows, made into one calendar for each kind of reservation, counted as Blazar counts it.

The three kinds share the hosts, and count each other's reservations in ways of their own (read in Blazar's
plugins, releases 14 to 18):

- `physical:host` takes a whole host, and nothing else may be on it. Reservations may touch.
- `virtual:instance` counts a host's own vcpus, memory_mb and local_gb, without overcommit. A reservation with
  several instances on a host is counted there as one instance. Reservations that touch count as overlapping.
- `flavor:instance` counts the host's inventory at Placement. Every host that a flavour reservation is on is
  counted as if all of its instances were there. It is refused where a virtual:instance overlaps, on any host
  that has the flavour's traits. (Unless a physical:host reservation overlaps there, too: then Blazar doesn't
  look at that host. The calendar says no all the same.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reservations.calendar import (
    DISK_GB,
    MEMORY_MB,
    PGPU,
    VCPU,
    Amounts,
    Calendar,
    Host,
    Rules,
    Taken,
)
from reservations.openstack.dates import MINUTE, told
from reservations.openstack.flavours import PEACE, PLENTY, Flavour, traits_as_amounts
from reservations.openstack.kinds import FLAVOUR, PHYSICAL, VIRTUAL, gpus
from reservations.openstack.placement import Provider
from reservations.openstack.states import reference_of, source_flavour, unit_of

# What the API tells of a host besides its properties, or that is of no use for choosing one.
_NOT_PROPERTIES = {"id", "cpu_info", "status", "trust_id", "created_at", "updated_at", "reservable"}


@dataclass(frozen=True)
class Known:
    """What a caller learnt of a Blazar: its documents, and what Nova and Placement add.

    `providers` (by host name) and `flavours` are empty where they are hidden; `projects` are their names by
    id, as far as they are known.
    """

    hosts: Sequence[Mapping[str, Any]]
    allocations: Sequence[Mapping[str, Any]]
    leases: Sequence[Mapping[str, Any]]
    providers: Mapping[str, Provider] = field(default_factory=dict)
    flavours: Mapping[str, Flavour] = field(default_factory=dict)
    projects: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ways:
    """How a site's table [[space]] says that its Blazar counts: what no API tells."""

    cleaning: timedelta = timedelta(0)
    longest: timedelta | None = None
    gpu_property: str | None = None

    def rules(self, kind: str) -> Rules:
        if kind == PHYSICAL:
            return Rules(cleaning=self.cleaning, longest=self.longest)
        return Rules(gap=MINUTE, cleaning=self.cleaning, whole_peaks=True, longest=self.longest)


@dataclass(frozen=True)
class Held:
    """A reservation's part of one host: `slots` instances, or all of it. `document` None: it is hidden."""

    host: str
    reservation: str
    lease: str
    start: datetime
    end: datetime
    slots: int
    document: Mapping[str, Any] | None
    name: str | None
    project: str | None

    @property
    def kind(self) -> str | None:
        return None if self.document is None else self.document["resource_type"]


def held(known: Known) -> list[Held]:
    """What the allocations say is held from now on, with what the leases know of it."""
    reservations = {
        each["id"]: (each, lease) for lease in known.leases for each in lease.get("reservations") or ()
    }
    found = []
    for allocation in known.allocations:
        entries = allocation["reservations"]
        slots = Counter(each["id"] for each in entries)
        for entry in {each["id"]: each for each in entries}.values():
            document, lease = reservations.get(entry["id"], (None, None))
            project = None if lease is None else lease.get("project_id")
            found.append(
                Held(
                    host=str(allocation["resource_id"]),
                    reservation=entry["id"],
                    lease=entry["lease_id"],
                    start=told(entry["start_date"]),
                    end=told(entry["end_date"]),
                    slots=slots[entry["id"]],
                    document=document,
                    name=None if lease is None else lease.get("name"),
                    project=None if project is None else known.projects.get(project, project),
                )
            )
    return found


def calendar(
    known: Known,
    kind: str,
    ways: Ways,
    site: str,
    now: datetime,
    until: datetime,
    remarks: Sequence[str] = (),
) -> Calendar:
    """The calendar of one kind up to `until`, of a Blazar whose hosts and allocations are known."""
    offered = known.flavours if kind == FLAVOUR else {}
    rules = ways.rules(kind)
    return Calendar(
        site=site,
        source="blazar",
        kind=kind,
        hosts=tuple(_host(document, kind, known, ways) for document in known.hosts),
        taken=tuple(each for each in _taken(known, kind) if each.start < until),
        rules=rules,
        known_at=now,
        # what begins at `until` isn't here, and would be in the way of what ends just before
        until=until - rules.cleaning - rules.gap,
        remarks=(*remarks, *_remarks(known, kind)),
        flavours={each.id: (each.name, {**each.asked, PEACE + each.wants: 1}) for each in offered.values()},
    )


def host_name(document: Mapping[str, Any]) -> str:
    return str(document.get("hypervisor_hostname") or document["id"])


def _host(document: Mapping[str, Any], kind: str, known: Known, ways: Ways) -> Host:
    name = host_name(document)
    amounts: Amounts = {
        VCPU: int(document["vcpus"]),
        MEMORY_MB: int(document["memory_mb"]),
        DISK_GB: int(document["local_gb"]),
    }
    most: Amounts = {}
    if kind == PHYSICAL and ways.gpu_property:
        amounts = {**amounts, PGPU: gpus(document.get(ways.gpu_property))}
    if kind == FLAVOUR and name in known.providers:
        provider = known.providers[name]
        amounts = {**provider.amounts, **traits_as_amounts(provider.traits, known.flavours)}
        most = provider.most
    elif kind == FLAVOUR:
        amounts = {**amounts, **traits_as_amounts(frozenset(), known.flavours)}
    if kind == FLAVOUR:
        amounts = {**amounts, **{PEACE + each.wants: PLENTY for each in known.flavours.values()}}
    return Host(
        id=str(document["id"]),
        name=name,
        amounts=amounts,
        properties={
            key: str(value)
            for key, value in document.items()
            if key not in _NOT_PROPERTIES and value is not None
        },
        most=most,
        bookable=bool(document.get("reservable", True)),
    )


def _taken(known: Known, kind: str) -> Iterator[Taken]:
    traits = {
        str(document["id"]): known.providers[host_name(document)].traits
        for document in known.hosts
        if host_name(document) in known.providers
    }
    every = {each.wants for each in known.flavours.values()}
    for each in held(known):
        if kind == FLAVOUR and each.kind == VIRTUAL:
            has = traits.get(each.host, frozenset())
            disturbed = {flavour.wants for flavour in known.flavours.values() if flavour.suits(has)}
            amounts = None if disturbed == every else {PEACE + wants: PLENTY for wants in sorted(disturbed)}
            for document in known.hosts:
                yield _of(each, str(document["id"]), amounts)
        else:
            yield _of(each, each.host, _amounts(each, kind))


def _of(each: Held, host: str, amounts: Amounts | None) -> Taken:
    return Taken(
        host=host,
        start=each.start,
        end=each.end,
        amounts=amounts,
        booking=each.lease,
        name=each.name,
        holder=each.project,
        ours=None if each.name is None else reference_of(each.name),
    )


def _amounts(each: Held, kind: str) -> Amounts | None:
    """What the reservation takes of its host, as the plugin of `kind` counts it; None: all."""
    if kind == PHYSICAL or each.document is None or each.kind not in (VIRTUAL, FLAVOUR):
        return None
    if kind == VIRTUAL:
        return unit_of(each.document)
    flavour = source_flavour(each.document)
    if flavour is None:
        return None
    amount = int(each.document["amount"])
    return {name: taken * amount for name, taken in flavour.amounts.items()}


def _remarks(known: Known, kind: str) -> Iterator[str]:
    if kind != PHYSICAL and any(each.document is None for each in held(known)):
        yield (
            "this cloud hides what other projects' reservations hold: each is counted as its whole hosts, "
            "so there may be more space"
        )
    if kind == FLAVOUR and not known.providers:
        yield (
            "this cloud hides its Placement inventories: hosts are counted without overcommit and reserve, "
            "and without GPUs and traits"
        )
