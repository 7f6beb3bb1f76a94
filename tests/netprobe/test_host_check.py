"""What the rules say of good and bad hosts, and how the facts are read."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from federation.errors import OutsideError
from federation.hosts import LocalHost, SshHost
from netprobe import host_facts
from netprobe.history import History
from netprobe.host_check import Advice, PathFacts, check, path_facts
from netprobe.host_facts import HostFacts, collect, read
from netprobe.measurement import Kind, Measurement, Origin
from tests.netprobe.namespaces import chain

GOOD = HostFacts(
    kernel="6.1.0",
    cpus=32,
    numa_nodes=1,
    sysctls={
        "net.core.rmem_max": "1073741824",
        "net.core.wmem_max": "1073741824",
        "net.core.default_qdisc": "fq",
        "net.ipv4.tcp_rmem": "4096 131072 1073741824",
        "net.ipv4.tcp_wmem": "4096 65536 1073741824",
        "net.ipv4.tcp_congestion_control": "cubic",
        "net.ipv4.tcp_moderate_rcvbuf": "1",
        "net.ipv4.tcp_window_scaling": "1",
        "net.ipv4.tcp_sack": "1",
        "net.ipv4.tcp_timestamps": "1",
        "net.ipv4.tcp_mtu_probing": "1",
    },
    governors=("performance",),
    interface="ens1",
    mtu_bytes=9000,
    qdiscs=("mq", "fq"),
    driver="mlx5_core",
    nic_bits_per_second=10e9,
    features={
        "tcp-segmentation-offload": True,
        "generic-segmentation-offload": True,
        "generic-receive-offload": True,
    },
    queues=32,
    queues_most=32,
    ring_rx=8192,
    ring_rx_most=8192,
)
PATH = PathFacts(10e9, 0.25, "as given", "as given")


def with_sysctl(name: str, value: str) -> HostFacts:
    return replace(GOOD, sysctls={**GOOD.sysctls, name: value})


def test_a_good_host_has_nothing_to_change() -> None:
    assert check(GOOD, PATH) == []


def test_a_host_of_which_nothing_can_be_seen_gets_no_advice() -> None:
    assert check(HostFacts(), PATH) == []
    assert check(HostFacts(), PathFacts()) == []


VIRTUAL = replace(GOOD, virtual_machine=True, driver="virtio_net", nic_bits_per_second=None, mtu_bytes=1500)


@pytest.mark.parametrize(
    ("facts", "topic", "found", "change"),
    [
        (with_sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456"), "TCP buffers", "10 Gbit/s over 250 ms needs", 'sysctl -w net.ipv4.tcp_rmem="4096 131072 625999872"'),
        (with_sysctl("net.ipv4.tcp_wmem", "4096 16384 4194304"), "TCP buffers", "net.ipv4.tcp_wmem ends at", 'sysctl -w net.ipv4.tcp_wmem="4096 16384 625999872"'),
        (with_sysctl("net.core.rmem_max", "212992"), "socket buffers", "net.core.rmem_max is", "sysctl -w net.core.rmem_max=625999872"),
        (with_sysctl("net.ipv4.tcp_window_scaling", "0"), "TCP", "no window is larger than 64 KiB", "sysctl -w net.ipv4.tcp_window_scaling=1"),
        (with_sysctl("net.ipv4.tcp_sack", "0"), "TCP", "net.ipv4.tcp_sack is 0", "sysctl -w net.ipv4.tcp_sack=1"),
        (with_sysctl("net.ipv4.tcp_congestion_control", "reno"), "congestion control", "reno", "cubic"),
        (replace(GOOD, qdiscs=("pfifo_fast",)), "pacing", "ens1 queues by pfifo_fast", "fq at ens1"),
        (replace(GOOD, qdiscs=("mq", "fq_codel")), "pacing", "ens1 queues by fq_codel", "mq, with fq below it"),
        (replace(GOOD, mtu_bytes=1500), "MTU", "packets of 1500 bytes at 10 Gbit/s", "path_mtu"),
        (with_sysctl("net.ipv4.tcp_mtu_probing", "0"), "MTU", "black hole", "sysctl -w net.ipv4.tcp_mtu_probing=1"),
        (replace(GOOD, features={"generic-receive-offload": False}), "offloads", "generic-receive-offload is off", "ethtool -K ens1 gro on"),
        (replace(GOOD, ring_rx=512), "receive ring", "512 packets of 8192", "ethtool -G ens1 rx 8192"),
        (replace(GOOD, governors=("powersave",)), "CPU governor", "powersave", "performance"),
        (replace(GOOD, nic_bits_per_second=1e9), "card", "ens1 runs at 1 Gbit/s", "faster card"),
        (replace(GOOD, half_duplex=True), "card", "half duplex", "autonegotiation"),
        (replace(VIRTUAL, driver="e1000"), "virtual card", "emulated e1000", "virtio"),
        (VIRTUAL, "virtual card", "every packet passes the hypervisor", "SR-IOV"),
    ],
)  # fmt: skip
def test_what_limits_is_found_and_nothing_else(facts: HostFacts, topic: str, found: str, change: str) -> None:
    (advice,) = check(facts, PATH)
    assert advice.topic == topic
    assert found in advice.found
    assert change in advice.change
    assert advice.source
    assert not advice.note


def topics(found: list[Advice]) -> list[str]:
    return [one.topic for one in found]


def test_a_virtual_card_should_use_its_queues() -> None:
    facts = replace(VIRTUAL, cpus=8, queues=1, queues_most=16)
    (advice,) = check(facts, replace(PATH, bits_per_second=1e9))
    assert advice.change == "ethtool -L ens1 combined 8"
    assert check(replace(facts, virtual_function=True), PATH) == []


def test_buffers_that_no_path_needs_are_not_asked_for() -> None:
    facts = with_sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")
    assert check(facts, PathFacts(1e9, 0.02)) == []
    assert check(facts, PathFacts(None, 0.02)) == []
    # what the kernel can't hold isn't asked for, either
    assert '2147483647"' in check(facts, PathFacts(400e9, 0.3))[0].change


def test_a_pair_of_veths_is_not_told_to_pace_nor_to_gather() -> None:
    facts = replace(GOOD, interface_kind="veth", qdiscs=("noqueue",), mtu_bytes=1500)
    assert check(replace(facts, features={"generic-receive-offload": False}), PATH) == []
    assert topics(check(replace(facts, features={"tcp-segmentation-offload": False}), PATH)) == ["offloads"]


def test_where_the_card_is_is_a_note() -> None:
    (advice,) = check(replace(GOOD, numa_nodes=2, nic_numa_node=1), PATH)
    assert advice.note
    assert advice.found == "ens1 is at node 1 of 2"


def measured(
    kind: Kind, ends: tuple[str, str], age: int, error: str | None = None, **figures: float
) -> Measurement:
    started = datetime(2026, 1, 10, tzinfo=UTC) - timedelta(days=age)
    return Measurement(kind, *ends, started, 1.0, "t", Origin.SCRIPTED, figures, error=error)


def test_the_path_is_as_given_else_as_seen_and_measured() -> None:
    history = History.of(
        [
            measured(Kind.LATENCY, ("a", "b"), 1, rtt_seconds=0.02),
            measured(Kind.LATENCY, ("a", "b"), 5, rtt_seconds=0.9),
            measured(Kind.LATENCY, ("c", "a"), 0, "failed"),
            measured(Kind.LATENCY, ("c", "a"), 1, rtt_seconds=0.25),
            measured(Kind.LATENCY, ("c", "b"), 1, rtt_seconds=0.5),
            measured(Kind.THROUGHPUT, ("a", "b"), 1, bits_per_second=3e9),
        ]
    )
    longest = path_facts(history, GOOD, "a", None, None, None)
    assert longest == PathFacts(10e9, 0.25, "of the card", "measured from c to a")
    assert path_facts(history, GOOD, "a", "b", None, None).rtt_seconds == 0.02
    blind = path_facts(history, HostFacts(), "a", None, None, None)
    assert (blind.bits_per_second, blind.rate_from) == (3e9, "measured from a to b")
    given = path_facts(history, GOOD, "a", "b", 1e9, 0.1)
    assert given == PathFacts(1e9, 0.1, "as given", "as given")
    assert path_facts(History.of([]), HostFacts(), "a", None, None, None) == PathFacts()


RECORDED = """
@@ sysctl
net/core/rmem_max=212992
net/ipv4/tcp_rmem=4096\t131072\t6291456

@@ machine
kernel=6.1.0-18-amd64
cpus=8
virtual=1
nodes=2

@@ governors
powersave
performance

@@ link
[{"ifname":"ens3","mtu":1500,"link_type":"ether"}]

@@ qdisc
[{"kind":"mq","handle":"0:","root":true},{"kind":"fq_codel","parent":":2"},{"kind":"fq_codel","parent":":1"}]

@@ device
numa=1
function=1

@@ speed
Settings for ens3:
\tSpeed: 25000Mb/s
\tDuplex: Full

@@ driver
driver: iavf
version: 6.1.0-18-amd64

@@ features
Features for ens3:
tcp-segmentation-offload: on
\ttx-tcp-segmentation: on
generic-receive-offload: off
large-receive-offload: off [fixed]

@@ queues
Channel parameters for ens3:
Pre-set maximums:
RX:\t\t0
Combined:\t16
Current hardware settings:
RX:\t\t0
Combined:\t4

@@ rings
Ring parameters for ens3:
Pre-set maximums:
RX:\t\t4096
RX Mini:\tn/a
Current hardware settings:
RX:\t\t512
"""


def test_facts_are_read() -> None:
    assert read(RECORDED) == HostFacts(
        kernel="6.1.0-18-amd64",
        cpus=8,
        numa_nodes=2,
        virtual_machine=True,
        sysctls={"net.core.rmem_max": "212992", "net.ipv4.tcp_rmem": "4096 131072 6291456"},
        governors=("powersave", "performance"),
        interface="ens3",
        mtu_bytes=1500,
        qdiscs=("mq", "fq_codel"),
        driver="iavf",
        nic_bits_per_second=25e9,
        features={"tcp-segmentation-offload": True, "generic-receive-offload": False},
        queues=4,
        queues_most=16,
        ring_rx=512,
        ring_rx_most=4096,
        nic_numa_node=1,
        virtual_function=True,
    )


def test_half_an_answer_is_half_the_facts() -> None:
    assert read("") == HostFacts()
    for length in range(0, len(RECORDED), 7):
        read(RECORDED[:length])


def test_this_machine_can_be_looked_at() -> None:
    facts = asyncio.run(collect(LocalHost(), "here", None))
    assert facts.kernel
    assert facts.cpus
    assert set(facts.sysctls) > {"net.ipv4.tcp_rmem", "net.ipv4.tcp_congestion_control"}


@pytest.mark.lab
def test_a_namespace_has_its_own_interface_and_settings() -> None:
    with chain(0) as path:
        path.run(0, "ip", "link", "set", "right", "mtu", "1400")
        path.run(0, "sysctl", "-q", "-w", "net.ipv4.tcp_rmem=4096 131072 7000000")
        test = path.test()
        facts = asyncio.run(collect(test.source.host, "here", test.destination.address))
    assert (facts.interface, facts.interface_kind, facts.mtu_bytes) == ("right", "veth", 1400)
    assert facts.sysctls["net.ipv4.tcp_rmem"] == "4096 131072 7000000"
    assert facts.qdiscs == ("noqueue",)


def test_a_host_that_cannot_be_reached_is_said() -> None:
    with pytest.raises(
        OutsideError, match=r"^perth: the host can't be looked at: ssh: 127\.0\.0\.1 port 1: "
    ):
        asyncio.run(collect(SshHost("127.0.0.1", 1), "perth", None))


def test_a_host_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def argv(self, command: object) -> list[str]:
            return ["sleep", "60"]

    monkeypatch.setattr(host_facts, "TIME_LIMIT_SECONDS", 0.2)
    with pytest.raises(OutsideError, match=r"^perth: the host didn't answer within 0\.2 s$"):
        asyncio.run(collect(Slow(), "perth", None))
