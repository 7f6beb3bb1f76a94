"""What limits a data-transfer host, and what to change: one small rule a thing, over plain facts.

Each piece of advice names where it comes from. A rule says nothing where what it looks at can't be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from federation.units import format_bits_per_second, format_seconds, format_size
from netprobe.history import History
from netprobe.host_facts import HostFacts
from netprobe.measurement import Kind

LINUX_TUNING = "ESnet Fasterdata, Host Tuning: Linux"
PACING = "ESnet Fasterdata, Host Tuning: Packet Pacing"
IP_SYSCTL = "Linux kernel documentation, IP Sysctl (networking/ip-sysctl)"
CORE_SYSCTL = "Linux kernel documentation, Documentation for /proc/sys/net (admin-guide/sysctl/net)"
OFFLOADS = "Linux kernel documentation, Segmentation Offloads (networking/segmentation-offloads)"
SCALING = "Linux kernel documentation, Scaling in the Linux Networking Stack (networking/scaling)"
CPUFREQ = "Linux kernel documentation, CPU Performance Scaling (admin-guide/pm/cpufreq)"
SRIOV = "Linux kernel documentation, PCI Express I/O Virtualization Howto (PCI/pci-iov-howto)"
PERFSONAR_VM = "perfSONAR project, issue 1067: support of perfSONAR on virtual machines"

MIB = 1 << 20
# the kernel keeps these sizes in a signed 32-bit number
LARGEST_BUFFER = (1 << 31) - 1
FAST = 10e9
MODERN = {"cubic", "bbr", "htcp"}
# queues that neither pace nor shape
PLAIN_QUEUES = {"pfifo_fast", "pfifo", "bfifo", "fq_codel", "codel", "sfq", "noqueue"}
EMULATED = {"e1000", "e1000e", "8139cp", "8139too", "ne2k-pci", "pcnet32"}
PARAVIRTUAL = {"virtio_net", "vmxnet3", "vif", "xen_netfront", "hv_netvsc"}


@dataclass(frozen=True)
class PathFacts:
    """The path that the host should fill: rate and round trip, and where both come from, for people."""

    bits_per_second: float | None = None
    rtt_seconds: float | None = None
    rate_from: str = "unknown"
    rtt_from: str = "unknown"

    @property
    def product_bytes(self) -> float | None:
        """Bandwidth-delay product: what is under way in a full path."""
        if self.bits_per_second is None or self.rtt_seconds is None:
            return None
        return self.bits_per_second * self.rtt_seconds / 8


@dataclass(frozen=True)
class Advice:
    """What was found, what to change, and who says so. A `note` is worth knowing, but nothing to change."""

    topic: str
    found: str
    change: str
    source: str
    note: bool = False


Rule = Callable[[HostFacts, PathFacts], Iterator[Advice]]


def check(facts: HostFacts, path: PathFacts) -> list[Advice]:
    """All that the rules have to say, what limits most often first."""
    return [advice for rule in RULES for advice in rule(facts, path)]


def path_facts(
    history: History, facts: HostFacts, site: str, peer: str | None, rate: float | None, rtt: float | None
) -> PathFacts:
    """The path of `site` to `peer`, or its longest one: as given, else as seen and measured.

    The rate is that of the card where it can be seen: a measured one may be low for the reasons that are
    looked for.
    """
    measured_rtt = max(_newest(history, Kind.LATENCY, "rtt_seconds", site, peer), default=None)
    measured_rate = max(_newest(history, Kind.THROUGHPUT, "bits_per_second", site, peer), default=None)
    rate_from = "as given" if rate is not None else "of the card"
    if rate is None and facts.nic_bits_per_second is None:
        rate_from = "unknown" if measured_rate is None else f"measured {measured_rate[1]}"
    rtt_from = "as given" if rtt is not None else "unknown"
    if rtt is None and measured_rtt is not None:
        rtt_from = f"measured {measured_rtt[1]}"
    return PathFacts(
        rate or facts.nic_bits_per_second or (measured_rate[0] if measured_rate else None),
        rtt if rtt is not None else (measured_rtt[0] if measured_rtt else None),
        rate_from,
        rtt_from,
    )


def _newest(
    history: History, kind: Kind, figure: str, site: str, peer: str | None
) -> Iterator[tuple[float, str]]:
    for source, destination in history.paths(kind):
        if site in (source, destination) and (peer is None or peer in (source, destination)):
            for one in history.path(kind, source, destination):
                if one.succeeded and figure in one.figures:
                    yield one.figures[figure], f"from {source} to {destination}"
                    break


def buffers(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    """TCP's largest buffers hold twice the product: half of one is the kernel's own bookkeeping."""
    if path.product_bytes is None or path.bits_per_second is None or path.rtt_seconds is None:
        return
    needed = min(-(-2 * path.product_bytes // MIB) * MIB, LARGEST_BUFFER)
    filled = f"{format_bits_per_second(path.bits_per_second)} over {format_seconds(path.rtt_seconds)}"
    for name in ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"):
        values = facts.sysctls.get(name, "").split()
        if len(values) == 3 and int(values[2]) < needed:
            yield Advice(
                "TCP buffers",
                f"{name} ends at {format_size(int(values[2]))}; {filled} needs {format_size(needed)}",
                f'sysctl -w {name}="{values[0]} {values[1]} {int(needed)}"',
                LINUX_TUNING,
            )
    for name in ("net.core.rmem_max", "net.core.wmem_max"):
        value = facts.sysctls.get(name)
        if value is not None and int(value) < needed:
            yield Advice(
                "socket buffers",
                f"{name} is {format_size(int(value))}: programs that choose their buffers get no more",
                f"sysctl -w {name}={int(needed)}",
                CORE_SYSCTL,
            )


def tcp_features(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    """What long paths can't do without, and what somebody may have switched off."""
    for name, loss in (
        ("net.ipv4.tcp_moderate_rcvbuf", "receive buffers don't grow with the path"),
        ("net.ipv4.tcp_window_scaling", "no window is larger than 64 KiB"),
        ("net.ipv4.tcp_sack", "after a loss more is sent again than was lost"),
        ("net.ipv4.tcp_timestamps", "round trips are measured badly, and sequence numbers may wrap"),
    ):
        if facts.sysctls.get(name) == "0":
            yield Advice("TCP", f"{name} is 0: {loss}", f"sysctl -w {name}=1", IP_SYSCTL)


def congestion_control(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    chosen = facts.sysctls.get("net.ipv4.tcp_congestion_control")
    if chosen is not None and chosen not in MODERN:
        yield Advice(
            "congestion control",
            f"{chosen} recovers slowly on long paths",
            "sysctl -w net.ipv4.tcp_congestion_control=cubic (or bbr)",
            LINUX_TUNING,
        )


def pacing(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    """A card of its own should have fq: it spreads what would leave as a burst."""
    if facts.interface is None or facts.interface_kind is not None:
        return
    plain = [kind for kind in facts.qdiscs if kind in PLAIN_QUEUES]
    if plain:
        below = "mq, with fq below it" if "mq" in facts.qdiscs else "fq"
        yield Advice(
            "pacing",
            f"{facts.interface} queues by {plain[0]}, which doesn't pace",
            f"sysctl -w net.core.default_qdisc=fq, and {below} at {facts.interface} (tc qdisc replace)",
            PACING,
        )


def mtu(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    size, rate = facts.mtu_bytes, facts.nic_bits_per_second
    if size is None or facts.interface_kind is not None:
        return
    if rate is not None and rate >= FAST and size < 9000:
        yield Advice(
            "MTU",
            f"{facts.interface} sends packets of {size} bytes at {format_bits_per_second(rate)}",
            "9000 bytes, where every network on the path takes them: the tool path_mtu tells",
            LINUX_TUNING,
        )
    if size > 1500 and facts.sysctls.get("net.ipv4.tcp_mtu_probing") == "0":
        yield Advice(
            "MTU",
            f"packets of {size} bytes, and net.ipv4.tcp_mtu_probing is 0: a black hole stops a connection",
            "sysctl -w net.ipv4.tcp_mtu_probing=1",
            LINUX_TUNING,
        )


def offloads(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    for name, short in (
        ("tcp-segmentation-offload", "tso"),
        ("generic-segmentation-offload", "gso"),
        ("generic-receive-offload", "gro"),
    ):
        # between two namespaces packets are large already: there is nothing to gather on arrival
        needless = short == "gro" and facts.interface_kind is not None
        if facts.interface is not None and facts.features.get(name) is False and not needless:
            yield Advice(
                "offloads",
                f"{name} is off: the processor handles every packet by itself",
                f"ethtool -K {facts.interface} {short} on",
                OFFLOADS,
            )


def rings(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    rate, now, most = facts.nic_bits_per_second, facts.ring_rx, facts.ring_rx_most
    if rate is not None and rate >= FAST and now is not None and most is not None and now < most:
        yield Advice(
            "receive ring",
            f"{facts.interface} holds {now} packets of {most}: bursts are dropped in the card",
            f"ethtool -G {facts.interface} rx {most}",
            LINUX_TUNING,
        )


def governor(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    slow = [name for name in facts.governors if name != "performance"]
    if slow:
        yield Advice(
            "CPU governor",
            f"{', '.join(slow)}: the clock follows the load, and bursts find it low",
            "cpupower frequency-set -g performance",
            CPUFREQ,
        )


def card(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    rate, wanted = facts.nic_bits_per_second, path.bits_per_second
    if rate is not None and wanted is not None and rate < wanted:
        yield Advice(
            "card",
            f"{facts.interface} runs at {format_bits_per_second(rate)}, and the path should carry "
            f"{format_bits_per_second(wanted)}",
            "a faster card, or see why the link came up slower (ethtool)",
            LINUX_TUNING,
        )
    if facts.half_duplex:
        yield Advice(
            "card",
            f"{facts.interface} sends and receives in turns (half duplex)",
            "autonegotiation at both ends of the cable",
            LINUX_TUNING,
        )


def virtual_card(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    """Inside a cloud: an emulated card is slow, a paravirtual one needs queues, a fast path needs SR-IOV."""
    if not facts.virtual_machine or facts.virtual_function or facts.driver is None:
        return
    if facts.driver in EMULATED:
        yield Advice(
            "virtual card",
            f"{facts.interface} is an emulated {facts.driver}",
            "a virtio card (or SR-IOV) for this virtual machine",
            PERFSONAR_VM,
        )
    if facts.driver not in PARAVIRTUAL:
        return
    cpus, queues, most = facts.cpus, facts.queues, facts.queues_most
    if cpus is not None and queues is not None and most is not None and queues < min(cpus, most):
        yield Advice(
            "virtual card",
            f"{facts.interface} uses {queues} of {most} queues, for {cpus} cores",
            f"ethtool -L {facts.interface} combined {min(cpus, most)}",
            SCALING,
        )
    if path.bits_per_second is not None and path.bits_per_second >= FAST:
        yield Advice(
            "virtual card",
            f"{facts.driver} should carry {format_bits_per_second(path.bits_per_second)}: "
            "every packet passes the hypervisor",
            "a virtual function of the card (SR-IOV), where the cloud offers one",
            SRIOV,
        )


def numa(facts: HostFacts, path: PathFacts) -> Iterator[Advice]:
    nodes, node = facts.numa_nodes, facts.nic_numa_node
    if nodes is not None and nodes > 1 and node is not None:
        yield Advice(
            "NUMA",
            f"{facts.interface} is at node {node} of {nodes}",
            f"transfer programs and the card's interrupts at the same node (numactl -N {node})",
            SCALING,
            note=True,
        )


RULES: tuple[Rule, ...] = (
    buffers,
    tcp_features,
    congestion_control,
    pacing,
    mtu,
    offloads,
    rings,
    governor,
    card,
    virtual_card,
    numa,
)
