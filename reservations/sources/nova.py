"""OpenStack Nova and Placement: what is free now, outside of reservations.

    [[sites.perth.space]]
    source = "nova"
    [sites.perth.space.options]
    cloud = "perth"               # of clouds.yaml; without it OS_CLOUD or OS_*
    freepool = "freepool"         # Blazar's aggregate of hosts that wait for reservations, if another

Only an administrator sees hosts. Everyone else sees a quota, which says what may be asked for, not what is
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Site, Space
from reservations.calendar import Calendar, Host, Need, Rules, Sight, Taken
from reservations.openstack import nova, placement
from reservations.openstack.connection import cloud_of
from reservations.openstack.flavours import TRAIT, Flavour, traits_as_amounts
from reservations.openstack.placement import Provider

_OPTIONS = ("cloud", "timeout_seconds", "freepool")
KIND = "unreserved"
_USED = "servers that run now"


class NovaSource:
    """What servers without a reservation could have now. What runs, runs until further notice."""

    ABOUT = About(
        does="What is free now in an OpenStack cloud (Nova, Placement), outside of reservations.",
        cannot="Only administrators see hosts: to others a quota says what may be had, not what is there.",
        modules=("openstack",),
        extra="openstack",
    )

    def __init__(self, site: Site, space: Space, clock: Clock) -> None:
        where = f"[[sites.{site.id}.space]] nova"
        unknown = sorted(set(space.options) - set(_OPTIONS))
        if unknown:
            raise InputError(f"{where}: unknown {', '.join(unknown)}: expected {', '.join(_OPTIONS)}")
        freepool = space.options.get("freepool", "freepool")
        if not isinstance(freepool, str):
            raise InputError(f"{where}.freepool: expected the name of an aggregate, got {freepool!r}")
        self._site, self._clock, self._freepool = site, clock, freepool
        self._cloud = cloud_of(space.options, where)

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]:
        now = self._clock.now()
        caps, used = nova.quota(self._cloud)
        flavours = nova.flavours(self._cloud)
        providers = placement.providers(self._cloud)
        hypervisors = nova.hypervisors(self._cloud) if providers is not None else None
        aggregates = nova.aggregates(self._cloud) if providers is not None else None
        hosts: list[Host] = []
        taken: list[Taken] = []
        for provider in providers or ():
            why = _closed(provider.name, hypervisors or (), aggregates or (), self._freepool)
            hosts.append(_host(provider, flavours, why is None))
            if any(provider.used.values()):
                busy = {name: amount for name, amount in provider.used.items() if amount}
                taken.append(Taken(provider.id, start, None, busy, _USED, _USED))
        return (
            Calendar(
                site=self._site.id,
                source="nova",
                kind=KIND,
                hosts=tuple(hosts),
                taken=tuple(taken),
                rules=Rules(),
                known_at=now,
                until=end,
                sight=Sight.NONE if providers is None else Sight.ALL,
                remarks=tuple(
                    self._remarks(
                        providers, hosts, aggregates is not None, hypervisors is not None, caps, used
                    )
                ),
                caps=caps,
                used=used,
                flavours={each.id: (each.name, each.asked) for each in flavours.values()},
            ),
        )

    def server(self, name: str) -> Mapping[str, Any] | None:
        """Nova's document of the caller's server with this id or name; None where there is none."""
        return nova.server(self._cloud, name)

    def candidates(self, need: Need) -> int | None:
        """On how many hosts one unit would fit now, as Placement itself says; None where it isn't told. What
        Blazar owns is counted in."""
        amounts = {name: amount for name, amount in need.amounts.items() if not name.startswith(TRAIT)}
        traits = [name.removeprefix(TRAIT) for name in need.amounts if name.startswith(TRAIT)]
        return placement.candidates(self._cloud, amounts, traits)

    def _remarks(
        self,
        providers: Sequence[Provider] | None,
        hosts: Sequence[Host],
        grouped: bool,
        listed: bool,
        caps: Mapping[str, int],
        used: Mapping[str, int],
    ) -> Iterator[str]:
        if providers is None:
            yield (
                "this cloud shows its hosts to administrators only: your quota says what you may ask for, "
                "not what is free"
            )
        else:
            yield "what runs without a reservation has no end that is known: it is counted as taken for ever"
            if not grouped:
                yield "this cloud hides its aggregates: hosts that Blazar keeps are counted as free"
            if not listed:
                yield "this cloud hides its hypervisors: hosts that are down or disabled are counted as free"
            kept = sum(not host.bookable for host in hosts)
            if kept:
                yield (
                    f"{kept} of {len(hosts)} hosts take no servers without a reservation: Blazar keeps them, "
                    "or they are disabled or down"
                )
        if nova.INSTANCES in caps:
            left = caps[nova.INSTANCES] - used.get(nova.INSTANCES, 0)
            yield f"your quota has {left} of {caps[nova.INSTANCES]} instances left"


def _closed(
    name: str, hypervisors: Sequence[nova.Hypervisor], aggregates: Sequence[nova.Aggregate], freepool: str
) -> str | None:
    """Why no server starts on this host without a reservation; None: it may."""
    hypervisor = next((each for each in hypervisors if each.name == name), None)
    service = name if hypervisor is None else hypervisor.service
    if hypervisor is not None and not hypervisor.enabled:
        return "disabled"
    if hypervisor is not None and not hypervisor.up:
        return "down"
    if any(service in each.hosts and each.is_blazars(freepool) for each in aggregates):
        return "blazar"
    return None


def _host(provider: Provider, flavours: Mapping[str, Flavour], bookable: bool) -> Host:
    return Host(
        provider.id,
        provider.name,
        {**provider.amounts, **traits_as_amounts(provider.traits, flavours)},
        dict.fromkeys(sorted(provider.traits), "True"),
        provider.most,
        bookable,
    )
