"""Which addresses may be fetched from: public ones, and what a site says besides. Standard library alone.

A client's URL must not make a site look around in the network that it stands in: its loopback, its private
networks, the metadata service of its cloud. The check is made on the addresses that a name has, and the
connection goes to those addresses: a name that is looked up twice could have changed between.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

Address = IPv4Address | IPv6Address

# (family, address as `socket.connect` takes it)
Target = tuple[int, tuple[Any, ...]]
Resolver = Callable[..., Sequence[tuple[Any, ...]]]

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# RFC 6052: the well-known prefix of NAT64; RFC 4291: IPv4-compatible addresses
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# what the standard library of some Python that we run on takes for global, and isn't: protocol assignments
# (Teredo among them), the anycast address of 6to4 relays, documentation
_NEVER = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"))
)
# RFC 5214: the interface identifiers of ISATAP, whatever the prefix
_ISATAP = (0x00005EFE, 0x02005EFE)


class ForbiddenError(Exception):
    """The address must not be fetched from; one line that says why."""


class UnknownHostError(Exception):
    """The name of the host has no address."""


@dataclass(frozen=True)
class Allowed:
    """What may be fetched at one site besides public addresses. Patterns are of hosts, or of host:port.

    `hosts` are its own storage and what its policy names: any address that they have is right. `peers` are
    the storage of the other sites: they may have private addresses, but not this machine's loopback or
    link-local ones, which mean something else at every site. `networks` are of the policy ("10.1.0.0/16").
    """

    hosts: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it; `allowed_from` reads it."""
        return asdict(self)


def allowed_from(document: dict[str, Any]) -> Allowed:
    """Raises KeyError, TypeError or ValueError where `document` is none of `Allowed.document`."""
    found = Allowed(*(tuple(map(str, document[name])) for name in ("hosts", "peers", "networks")))
    for network in found.networks:
        ipaddress.ip_network(network)
    return found


def targets(
    host: str, port: int, allowed: Allowed | None, resolver: Resolver = socket.getaddrinfo
) -> list[Target]:
    """The addresses of `host` to connect to, all of them checked; `allowed` None: whatever they are.

    Blocks while the name is looked up. Raises ForbiddenError where a single one is not allowed, for nobody
    knows which of them would answer; UnknownHostError.
    """
    try:
        found = resolver(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as problem:  # ValueError: what can't even be a name
        raise UnknownHostError(f"the name of the host can't be resolved: {host[:100]}") from problem
    addresses = [(entry[0], tuple(entry[4])) for entry in found]
    if not addresses:
        raise UnknownHostError(f"the name of the host has no address: {host[:100]}")
    for _, target in addresses if allowed is not None else ():
        assert allowed is not None
        wrong = _wrong(host, port, str(target[0]), allowed)
        if wrong is not None:
            raise ForbiddenError(wrong)
    return addresses


def _wrong(host: str, port: int, text: str, allowed: Allowed) -> str | None:
    # a scope (fe80::1%eth0) says which interface, and nothing of the address
    address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    if is_public(address) or _matches(host, port, allowed.hosts):
        return None
    if any(address in ipaddress.ip_network(network) for network in allowed.networks):
        return None
    if _matches(host, port, allowed.peers) and not _only_here(address):
        return None
    shown = host if host == text else f"{host} ({text})"
    return f"{shown} is no public address, and no storage or network that this site allows"


def is_public(address: Address) -> bool:
    """Whether it leads to the Internet. An IPv6 address that holds an IPv4 one leads where that one does."""
    address = _plain(address)
    if any(address in network for network in _NEVER):
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not (address.is_multicast or address.is_reserved)
    inner = list(_embedded(address))
    if inner:
        return all(is_public(one) for one in inner)
    return address in _GLOBAL_UNICAST and address.is_global


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses to which a gateway or a tunnel may carry what is sent to `address`."""
    number = int(address)
    if address in _NAT64 or address in _COMPATIBLE:
        yield IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _only_here(address: Address) -> bool:
    """Whether it means another machine, or this one, depending on who connects to it."""
    inner = list(_embedded(address)) if isinstance(address, IPv6Address) else []
    return any(
        one.is_loopback or one.is_link_local or one.is_unspecified or one.is_multicast
        for one in (address, *inner)
    )


def _matches(host: str, port: int, patterns: Sequence[str]) -> bool:
    bracketed = f"[{host}]" if ":" in host else host
    names = (host.lower(), bracketed.lower(), f"{bracketed}:{port}".lower())
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns for name in names)
