"""What traceroute's output says, and real paths between namespaces."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from federation.errors import InputError
from federation.hosts import LocalHost
from netprobe.measurement import Kind, Measurement
from netprobe.tools import Endpoint, Test, load_tool
from netprobe.tools.traceroute_asn import read_asn_table
from netprobe.tools.traceroute_output import Hop, Router, figures, read
from tests.netprobe.namespaces import chain
from tests.netprobe.servers import loopback_test

HEAD = "traceroute to dtn.example.org (192.0.2.9), 30 hops max, 60 byte packets\n"


def run(test: Test) -> Measurement:
    result = asyncio.run(load_tool("traceroute").run(test))
    assert (result.kind, result.tool) == (Kind.PATH, "traceroute")
    assert result.error is None or "\n" not in result.error
    assert bool(result.figures) == result.succeeded
    return result


def test_names_numbers_forks_and_silence() -> None:
    output = HEAD + (
        " 1  gw.example.org (198.51.100.1) [*]  0.500 ms  0.400 ms  0.600 ms\n"
        " 2  * * *\n"
        " 3  a.example.org (203.0.113.1) [AS64500/AS64501]  9.000 ms"
        " 203.0.113.5 (203.0.113.5) [AS64500]  11.000 ms *\n"
        " 4  192.0.2.9 (192.0.2.9) [AS64502]  20.000 ms  24.000 ms  22.000 ms\n"
    )
    path = read(output)
    assert path.address == "192.0.2.9"
    forks = (
        Router("203.0.113.1", "a.example.org", (64500, 64501), (0.009,)),
        Router("203.0.113.5", None, (64500,), (0.011,)),
    )
    assert path.hops == (
        Hop(1, (Router("198.51.100.1", "gw.example.org", (), (0.0005, 0.0004, 0.0006)),)),
        Hop(2, (), 3),
        Hop(3, forks, 1),
        Hop(4, (Router("192.0.2.9", None, (64502,), (0.02, 0.024, 0.022)),)),
    )
    assert figures(path) == {"hops": 4, "rtt_seconds": 0.022, "rtt_seconds_min": 0.02}


def test_without_names_and_with_marks() -> None:
    path = read(HEAD + " 1  198.51.100.1  0.5 ms *  0.7 ms\n 2  203.0.113.7  3.0 ms !X  3.1 ms !X *\n")
    assert path.hops[0] == Hop(1, (Router("198.51.100.1", None, (), (0.0005, 0.0007)),), 1)
    assert path.hops[1].routers[0].remark == "!X"
    assert figures(path) == {}


def test_routers_that_take_turns_are_one_entry_each() -> None:
    path = read(HEAD + " 1  203.0.113.1  1.0 ms 203.0.113.2  2.0 ms 203.0.113.1  3.0 ms\n")
    assert [(one.address, one.rtt_seconds) for one in path.hops[0].routers] == [
        ("203.0.113.1", (0.001, 0.003)),
        ("203.0.113.2", (0.002,)),
    ]


def test_ipv6_is_read_too() -> None:
    output = (
        "traceroute to 2001:db8::9 (2001:db8::9), 30 hops max, 80 byte packets\n 1  2001:db8::9  0.5 ms\n"
    )
    assert figures(read(output)) == {"hops": 1, "rtt_seconds": 0.0005, "rtt_seconds_min": 0.0005}


def test_a_loop_is_told_once() -> None:
    hops = "".join(f" {n}  203.0.113.{1 + n % 2}  1.0 ms\n" for n in range(2, 9))
    path = read(HEAD + " 1  198.51.100.1  0.5 ms\n" + hops)
    assert path.loops == (("203.0.113.1", "203.0.113.2"),)


def test_a_router_that_does_not_count_itself_is_no_loop() -> None:
    lines = " 1  198.51.100.1  0.5 ms\n 2  198.51.100.1  0.5 ms\n 3  * * *\n 4  198.51.100.1  0.5 ms\n"
    assert read(HEAD + lines).loops == ()


def test_output_that_was_cut_off_or_never_began() -> None:
    assert read(HEAD + " 1  198.51.100.1  0.5 ms\n 2  203").hops[0].ttl == 1
    assert read("").address is None
    assert read(HEAD).hops == ()


def test_the_longest_network_gives_the_number() -> None:
    table = read_asn_table(
        ["# ours", "", "192.0.2.0/24 64500 Example", "192.0.2.128/25, AS64501", "2001:db8::/32 as64502"], "t"
    )
    found = [table.asn(one) for one in ("192.0.2.1", "192.0.2.200", "2001:db8::1", "198.51.100.1", "x")]
    assert found == [64500, 64501, 64502, None, None]


@pytest.mark.parametrize("line", ["192.0.2.0/24", "192.0.2.1/24 64500", "net 64500", "192.0.2.0/24 many"])
def test_a_table_that_is_wrong_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "table"
    file.write_text(f"# networks\n{line}\n")
    with pytest.raises(InputError) as told:
        load_tool("traceroute").check({"asn_table": str(file)})
    assert str(told.value).startswith(f'{file}:2: expected a network and its number such as "192.0.2.0/24 AS')
    with pytest.raises(InputError, match="can't be read: No such file"):
        load_tool("traceroute").check({"asn_table": str(tmp_path / "none")})


@pytest.mark.lab
def test_a_path_of_two_routers(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("10.79.0.0/24 64500\n10.79.1.0/24 64501\n")
    with chain(2) as path:
        result = run(path.test(asn_table=str(table)))
        # the first router forwards, and says nothing of what it drops
        path.run(1, "ip", "route", "add", "blackhole", "10.79.0.1/32")
        silent = run(path.test(wait=0.3, max_hops=2))
    assert result.error is None
    assert result.figures["hops"] == 3
    assert 0 < result.figures["rtt_seconds_min"] <= result.figures["rtt_seconds"] < 60
    assert result.raw is not None
    assert result.raw["reached"]
    routers = [hop["routers"][0] for hop in result.raw["hops"]]
    assert [one["address"] for one in routers] == ["10.79.0.2", "10.79.1.2", "10.79.2.2"]
    assert [one["asn"] for one in routers] == [(64500,), (64501,), ()]
    assert silent.error == (
        "destination there: 10.79.2.2 wasn't reached: nobody answers, not even the first router"
    )


@pytest.mark.lab
def test_a_loop_between_two_routers_is_named() -> None:
    with chain(2) as path:
        path.run(2, "ip", "route", "add", "10.79.2.2/32", "via", "10.79.1.1")
        result = run(path.test(wait=0.5, max_hops=8))
    assert result.error == (
        "destination there: 10.79.2.2 wasn't reached: packets go round between 10.79.0.2, 10.79.1.2"
    )
    assert result.raw is not None
    assert not result.raw["reached"]


@pytest.mark.lab
def test_where_a_path_ends_is_said() -> None:
    with chain(1) as path:
        path.run(1, "ip", "route", "add", "unreachable", "10.79.1.2/32")
        result = run(path.test(wait=0.5))
        late = run(path.test(0.5, wait=20, max_hops=255, protocol="icmp"))
    assert result.error is not None
    assert result.error.endswith("the last that answers is 10.79.0.2, hop 1 (!H)")
    assert late.seconds < 60


def test_a_name_that_cannot_be_resolved_is_said() -> None:
    there = Endpoint("there", LocalHost(), "nosuch.invalid")
    result = run(Test(loopback_test(0).source, there, {}))
    assert result.error is not None
    assert result.error.startswith("source here: traceroute gave no result: ")


@pytest.mark.parametrize("wrong", [{"protocol": "sctp"}, {"queries": 0}, {"wait": 0}, {"hops": 3}])
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"^traceroute: "):
        load_tool("traceroute").check(wrong)
