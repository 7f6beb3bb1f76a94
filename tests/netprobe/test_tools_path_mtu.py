"""The largest packet that goes through: the search, what ping says, and real paths between namespaces."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InputError
from federation.hosts import LocalHost
from netprobe.measurement import Kind, Measurement
from netprobe.tools import Endpoint, Test, load_tool
from netprobe.tools.path_mtu import Outcome, Probe, Search, read
from tests.netprobe.namespaces import chain
from tests.netprobe.servers import loopback_test


def run(test: Test) -> Measurement:
    result = asyncio.run(load_tool("path_mtu").run(test))
    assert result.kind is Kind.PATH
    assert result.error is None or "\n" not in result.error
    return result


def probe(size: int, mtus: list[tuple[int, bool]]) -> Probe:
    """What becomes of a packet on links of these MTUs, whose routers say so, or don't."""
    for mtu, says in mtus:
        if size > mtu:
            return Probe(size, Outcome.REFUSED, "r", mtu) if says else Probe(size, Outcome.SILENT)
    return Probe(size, Outcome.WHOLE)


@given(st.lists(st.tuples(st.integers(576, 9500), st.booleans()), max_size=5))
def test_the_least_link_is_found_whatever_the_routers_say(mtus: list[tuple[int, bool]]) -> None:
    search, asked = Search(576, 9000), 0
    while (size := search.next_size) is not None:
        asked += 1
        search.learn(probe(size, mtus))
    least = min([9000, *(mtu for mtu, _ in mtus)])
    assert search.whole == least
    assert (search.limit is None) == (least == 9000)
    # two for each that says so, and a halving for those that don't
    assert asked <= 2 * len(mtus) + 15


def test_a_named_size_is_tried_at_once() -> None:
    search = Search(576, 9000)
    asked = []
    while (size := search.next_size) is not None:
        asked.append(size)
        search.learn(probe(size, [(1400, True)]))
    assert asked == [9000, 1400]


PING = "PING 10.0.0.2 (10.0.0.2) 1472(1500) bytes of data.\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("1480 bytes from 10.0.0.2: icmp_seq=3 ttl=63 time=0.1 ms\n", Probe(1500, Outcome.WHOLE)),
        (
            "From 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)\n",
            Probe(1500, Outcome.REFUSED, "10.0.0.1", 1400),
        ),
        (
            "From 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 0)\n",
            Probe(1500, Outcome.REFUSED, "10.0.0.1"),
        ),
        (
            "From 2001:db8::1 icmp_seq=1 Packet too big: mtu=1400\n",
            Probe(1500, Outcome.REFUSED, "2001:db8::1", 1400),
        ),
        ("ping: local error: message too long, mtu=1450\n", Probe(1500, Outcome.LOCAL, None, 1450)),
        ("ping: local error: message too long, mtu: 1450\n", Probe(1500, Outcome.LOCAL, None, 1450)),
        (
            "\n--- 10.0.0.2 ping statistics ---\n3 packets transmitted, 0 received\n",
            Probe(1500, Outcome.SILENT),
        ),
    ],
)
def test_what_ping_says(output: str, expected: Probe) -> None:
    assert read(1500, PING + output) == expected


def test_one_lost_packet_is_no_limit() -> None:
    output = PING + "1480 bytes from 10.0.0.2: icmp_seq=2 ttl=63 time=0.1 ms\n\n3 transmitted, 1 received\n"
    assert read(1500, output).outcome is Outcome.WHOLE


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_what_nothing_limits_is_as_large_as_was_tried(address: str) -> None:
    test = loopback_test(0, tries=1)
    there = Endpoint("there", LocalHost(), address)
    result = run(Test(test.source, there, test.parameters))
    assert result.error is None
    assert result.figures == {"path_mtu_bytes": 9000}
    assert result.raw is not None
    assert result.raw["limited_by"] is None


@pytest.mark.lab
def test_a_router_that_says_so_is_named() -> None:
    with chain(1) as path:
        path.run(1, "ip", "link", "set", "right", "mtu", "1400")
        path.run(2, "ip", "link", "set", "left", "mtu", "1400")
        first, again = run(path.test(tries=1)), run(path.test(tries=1))
        narrow = run(path.test(tries=1, largest=1300))
    assert first.figures == again.figures == {"path_mtu_bytes": 1400}
    assert first.raw is not None
    assert [one["outcome"] for one in first.raw["probes"]] == ["whole", "local", "refused", "whole"]
    assert (first.raw["limited_by"], first.raw["router"]) == ("router", "10.79.0.2")
    assert narrow.figures == {"path_mtu_bytes": 1300}


@pytest.mark.lab
def test_a_black_hole_is_told_apart() -> None:
    with chain(1) as path:
        # the router's side still sends what the other side of the link no longer takes; a veth takes 4 bytes
        # more than its MTU (room for a VLAN's tag)
        path.run(2, "ip", "link", "set", "left", "mtu", "1496")
        path.run(0, "ip", "link", "set", "right", "mtu", "1510")
        path.run(1, "ip", "link", "set", "left", "mtu", "1510")
        path.run(1, "ip", "link", "set", "right", "mtu", "1510")
        result = run(path.test(tries=1, wait=1))
    assert result.error is None
    assert result.figures == {"path_mtu_bytes": 1500}
    assert result.raw is not None
    assert result.raw["limited_by"] == "black hole"


@pytest.mark.lab
def test_a_destination_that_does_not_answer_is_said() -> None:
    with chain(0) as path:
        path.run(1, "sysctl", "-q", "-w", "net.ipv4.icmp_echo_ignore_all=1")
        result = run(path.test(tries=1, wait=0.2))
        late = run(path.test(0.3, tries=5))
    assert result.error == "destination there: no answer from 10.79.0.2 to pings of 576 bytes"
    assert result.figures == {}
    assert (
        late.error == "destination there: the path MTU to 10.79.0.2 wasn't found within 0.3 s: 0 sizes tried"
    )


def test_a_name_that_cannot_be_resolved_is_said() -> None:
    test = loopback_test(0)
    result = run(Test(test.source, Endpoint("there", LocalHost(), "nosuch.invalid"), {}))
    assert result.error is not None
    assert result.error.startswith("source here: ping gave no result: ping: nosuch.invalid:")


@pytest.mark.parametrize("wrong", [{"largest": 1000}, {"tries": 0}, {"wait": 0}, {"size": 1}])
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"^path_mtu: "):
        load_tool("path_mtu").check(wrong)
