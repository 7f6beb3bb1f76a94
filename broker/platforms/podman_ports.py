"""Ports that a container publishes: what podman is told, and how they are reached from outside."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from broker.model import Connector, Note, Port
from federation.errors import InputError

# what an address means that stands for all of a machine's
ANY = {"0.0.0.0", "::"}


def check_options(site_id: str, options: Mapping[str, Any]) -> None:
    """Raises InputError where the options on ports can't work together."""
    where = f"site {site_id!r}: option"
    if options["ports"] not in ("publish", "refuse"):
        raise InputError(f"{where} 'ports': expected 'publish' or 'refuse', got {options['ports']!r}")
    try:
        address = str(ipaddress.ip_address(options["publish_address"]))
    except ValueError as problem:
        raise InputError(f"{where} 'publish_address': expected an IP address: {problem}") from problem
    if address in ANY and not options["public_address"]:
        expected = f"expected how {address} is reached from outside, got none"
        raise InputError(f"{where} 'public_address': {expected}")
    shared = str(options["network"]).partition(":")[0] in ("host", "container", "ns")
    if options["ports"] == "publish" and shared:
        expected = "expected 'none' or a network of podman's, for ports can't be published"
        raise InputError(f"{where} 'network': {expected} from {options['network']!r}")


def check_ports(site_id: str, ports: Sequence[Port], options: Mapping[str, Any]) -> Sequence[Note]:
    """Why the site can't publish `ports`."""
    if not ports or options["ports"] == "publish":
        return []
    text = "{site} publishes no ports: its operator would set the platform's option ports to 'publish'"
    return [Note("ports", text, {"site": site_id}, path="/executable/network/ports")]


def transport(port: Port) -> str:
    """The port as podman names it: HTTP and HTTPS go over TCP."""
    return f"{port.internal}/{'udp' if port.protocol == 'UDP' else 'tcp'}"


def publish_arguments(ports: Sequence[Port], options: Mapping[str, Any]) -> list[str]:
    """The network of a container that publishes `ports`, and each port on one that podman chooses.

    Without a network nothing can be published: such a container gets podman's own bridge.
    """
    network = str(options["network"])
    if not ports:
        return ["--network", network]
    address = bracketed(options["publish_address"])
    arguments = ["--network", "bridge" if network == "none" else network]
    for name in dict.fromkeys(map(transport, ports)):
        arguments += ["--publish", f"{address}::{name}"]
    return arguments


def connectors(
    ports: Sequence[Port], published: Mapping[str, Any], options: Mapping[str, Any]
) -> Sequence[Connector]:
    """How `ports` are reached; `published` as `podman inspect` has it in NetworkSettings.Ports.

    Raises ValueError for a port that podman doesn't publish.
    """
    address = str(options["public_address"] or options["publish_address"])
    found = []
    for port in ports:
        bindings = published.get(transport(port)) or []
        if not bindings:
            raise ValueError(f"port {transport(port)} is not published")
        number = int(bindings[0]["HostPort"])
        found.append(connector(port, address, number))
    return tuple(found)


def connector(port: Port, address: str, number: int) -> Connector:
    """`port` as it is reached at port `number` of `address`."""
    path = port.path or ""
    if path and not path.startswith("/"):
        path = f"/{path}"
    location = f"{port.protocol.lower()}://{bracketed(address)}:{number}{path}"
    return Connector(port.internal, port.protocol, location, (address,), number, port.access)


def bracketed(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address
