"""What a data-transfer host is set up like, read through its `Host` by one shell script that only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from federation.errors import OutsideError
from federation.hosts import Host
from netprobe.tools import _process

SYSCTLS = (
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.core.default_qdisc",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_moderate_rcvbuf",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_mtu_probing",
)
TIME_LIMIT_SECONDS = 30.0

# $1: the other end (empty: the default route tells the interface); the others: files below /proc/sys. In a
# network namespace /sys may show another one's interfaces: only what has the same number is the same.
SCRIPT = r"""
part() { printf '\n@@ %s\n' "$1"; }
peer=$1; shift
[ -n "$peer" ] && peer=$(getent ahosts "$peer" | sed -n '1s/ .*//p')
route=$(if [ -n "$peer" ]; then ip route get "$peer"; else ip route show default; fi 2>/dev/null)
dev=$(printf '%s\n' "$route" | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
part sysctl; for key; do [ -r "/proc/sys/$key" ] && printf '%s=%s\n' "$key" "$(cat "/proc/sys/$key")"; done
part machine; printf 'kernel=%s\n' "$(uname -r)"; printf 'cpus=%s\n' "$(getconf _NPROCESSORS_ONLN)"
grep -q '^flags.* hypervisor' /proc/cpuinfo && echo virtual=1
printf 'nodes=%s\n' "$(ls -d /sys/devices/system/node/node[0-9]* 2>/dev/null | wc -l)"
part governors; cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null | sort -u
[ -n "$dev" ] || exit 0
part link; ip -j -d link show dev "$dev"
part qdisc; tc -j qdisc show dev "$dev"
number=$(ip link show dev "$dev" | sed -n '1s/:.*//p')
if [ "$(cat "/sys/class/net/$dev/ifindex" 2>/dev/null)" = "$number" ]; then
  at=/sys/class/net/$dev/device
  part device; printf 'numa=%s\n' "$(cat "$at/numa_node" 2>/dev/null)"; [ -e "$at/physfn" ] && echo function=1
fi
if command -v ethtool >/dev/null; then
  part speed; ethtool "$dev"; part driver; ethtool -i "$dev"; part features; ethtool -k "$dev"
  part queues; ethtool -l "$dev"; part rings; ethtool -g "$dev"
fi 2>/dev/null
exit 0
"""


@dataclass(frozen=True)
class HostFacts:
    """A host as it is; None, or an empty collection, is what can't be seen there."""

    kernel: str | None = None
    cpus: int | None = None
    numa_nodes: int | None = None
    virtual_machine: bool = False
    # "net.ipv4.tcp_rmem" -> "4096 131072 6291456"
    sysctls: Mapping[str, str] = field(default_factory=dict)
    governors: tuple[str, ...] = ()
    # the interface towards the other end, or of the default route
    interface: str | None = None
    # "veth", "bridge", "bond" and so on; None for a device of its own
    interface_kind: str | None = None
    mtu_bytes: int | None = None
    # kinds of the root, and of the queues below it where it has many
    qdiscs: tuple[str, ...] = ()
    driver: str | None = None
    nic_bits_per_second: float | None = None
    half_duplex: bool = False
    # "tcp-segmentation-offload" -> on; what can't be changed isn't here
    features: Mapping[str, bool] = field(default_factory=dict)
    queues: int | None = None
    queues_most: int | None = None
    ring_rx: int | None = None
    ring_rx_most: int | None = None
    nic_numa_node: int | None = None
    # a virtual function of a card that is shared (SR-IOV)
    virtual_function: bool = False


async def collect(host: Host, site: str, peer: str | None) -> HostFacts:
    """Read the facts of `host`; `peer` is the name or address whose route tells the interface.

    Raises OutsideError where the host can't be reached.
    """
    files = [name.replace(".", "/") for name in SYSCTLS]
    command = host.argv(["sh", "-c", SCRIPT, "fairlead", peer or "", *files])
    try:
        end = await _process.run(command, TIME_LIMIT_SECONDS)
    except OSError as problem:
        raise OutsideError(f"{site}: {command[0]} can't be started: {problem.strerror}") from problem
    if end.timed_out:
        raise OutsideError(f"{site}: the host didn't answer within {TIME_LIMIT_SECONDS:g} s")
    if end.returncode != 0:
        raise OutsideError(f"{site}: the host can't be looked at: {end.complaint}")
    return read(end.stdout)


def read(output: str) -> HostFacts:
    """The facts in what the script prints."""
    parts: dict[str, str] = dict(re.findall(r"^@@ (\w+)\n(.*?)(?=\n@@ |\Z)", output, re.M | re.S))
    machine, device = _pairs(parts.get("machine", "")), _pairs(parts.get("device", ""))
    link = next(iter(_json(parts.get("link", ""))), {})
    speed = re.search(r"Speed: (\d+)Mb/s", parts.get("speed", ""))
    # a card has either combined queues or some for each direction; the others are 0 or n/a
    queues = [int(count) for count in re.findall(r"^(?:Combined|RX):\s+(\d+)", parts.get("queues", ""), re.M)]
    rings = re.findall(r"^RX:\s+(\d+)", parts.get("rings", ""), re.M)
    node = _whole(device.get("numa"))
    return HostFacts(
        kernel=machine.get("kernel"),
        cpus=_whole(machine.get("cpus")),
        numa_nodes=_whole(machine.get("nodes")),
        virtual_machine="virtual" in machine,
        sysctls={
            name.replace("/", "."): " ".join(text.split())
            for name, text in _pairs(parts.get("sysctl", "")).items()
        },
        governors=tuple(parts.get("governors", "").split()),
        interface=link.get("ifname"),
        interface_kind=link.get("linkinfo", {}).get("info_kind") or _loopback(link),
        mtu_bytes=link.get("mtu"),
        qdiscs=_qdiscs(_json(parts.get("qdisc", ""))),
        driver=_pairs(parts.get("driver", ""), ": ").get("driver"),
        nic_bits_per_second=float(speed[1]) * 1e6 if speed else None,
        half_duplex="Duplex: Half" in parts.get("speed", ""),
        features={
            name: state == "on"
            for name, state in re.findall(r"^([\w-]+): (on|off)$", parts.get("features", ""), re.M)
        },
        # the most comes first, then what is set
        queues=max(queues[len(queues) // 2 :], default=None),
        queues_most=max(queues[: len(queues) // 2], default=None),
        ring_rx=int(rings[1]) if len(rings) == 2 else None,
        ring_rx_most=int(rings[0]) if len(rings) == 2 else None,
        nic_numa_node=node if node is not None and node >= 0 else None,
        virtual_function="function" in device,
    )


def _loopback(link: Mapping[str, Any]) -> str | None:
    return "loopback" if link.get("link_type") == "loopback" else None


def _pairs(text: str, separator: str = "=") -> dict[str, str]:
    found = (line.partition(separator) for line in text.splitlines() if separator in line)
    return {name: value.strip() for name, _, value in found}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def _json(text: str) -> list[dict[str, Any]]:
    """The list that `ip -j` and `tc -j` print; an empty one where they can't or aren't there."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _qdiscs(found: list[dict[str, Any]]) -> tuple[str, ...]:
    root = [str(one.get("kind")) for one in found if one.get("root")]
    if root not in (["mq"], ["mqprio"]):
        return tuple(root)
    return tuple(dict.fromkeys([*root, *(str(one.get("kind")) for one in found if "parent" in one)]))
