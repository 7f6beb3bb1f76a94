"""Tools whose source is another machine: sshd on loopback plays it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from federation.hosts import LocalHost, SshHost
from netprobe.host_facts import collect
from netprobe.tools import Endpoint, Test, load_tool
from tests.federation.sshd import Server, ssh_server
from tests.netprobe.servers import children, iperf3_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def from_there(host: SshHost, port: int = 1, limit: float = 120.0, **parameters: Any) -> Test:
    source = Endpoint("far", host, "127.0.0.1")
    return Test(source, Endpoint("near", LocalHost(), "127.0.0.1", port), parameters, limit)


@pytest.mark.parametrize(
    ("tool", "parameters", "figure"),
    [
        ("ping", {"count": 2, "interval": "10 ms"}, "rtt_seconds"),
        ("traceroute", {"queries": 1}, "hops"),
        ("path_mtu", {"tries": 1, "largest": 1500}, "path_mtu_bytes"),
    ],
)
def test_a_tool_measures_from_another_machine(
    server: Server, tool: str, parameters: dict[str, Any], figure: str
) -> None:
    before = children()
    result = asyncio.run(load_tool(tool).run(from_there(server.host, **parameters)))
    assert result.error is None
    assert result.figures[figure] > 0
    assert children() <= before


def test_iperf3_measures_from_another_machine(server: Server) -> None:
    with iperf3_server() as (_, port):
        result = asyncio.run(load_tool("iperf3").run(from_there(server.host, port, duration=1)))
    assert result.error is None
    assert result.figures["bits_per_second"] > 1e6


@pytest.mark.parametrize("tool", ["ping", "traceroute", "path_mtu", "iperf3"])
def test_a_machine_that_nobody_knows_is_one_line(server: Server, tool: str) -> None:
    result = asyncio.run(load_tool(tool).run(from_there(server.with_known_hosts(""))))
    assert result.error is not None
    assert result.error.startswith("source far: ")
    assert "its host key is not in " in result.error
    assert "\n" not in result.error


def test_its_facts_are_read(server: Server) -> None:
    facts = asyncio.run(collect(server.host, "far", "127.0.0.1"))
    assert facts.interface == "lo"
    assert facts.sysctls["net.ipv4.tcp_congestion_control"]
