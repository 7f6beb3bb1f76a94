"""What every throughput engine owes (`netprobe.tools.Tool`), against real iperf3 servers on loopback.

iperf3-binding runs each test in a process of its own, and passes all of it.
"""

from __future__ import annotations

import asyncio
import subprocess
import time

import pytest

from federation.errors import InputError
from federation.hosts import LocalHost
from netprobe.measurement import Kind, Measurement
from netprobe.tools import Endpoint, Test, Tool, load_tool
from tests.netprobe.servers import children, iperf3_server, loopback_test
from tests.netprobe.test_tools_iperf3 import iperf3_is_busy
from tests.ports import free_port
from tests.waiting import SECONDS, until

ENGINES = ["iperf3", "iperf3-binding"]


@pytest.fixture(params=ENGINES)
def tool(request: pytest.FixtureRequest) -> Tool:
    return load_tool(request.param)


def run(tool: Tool, test: Test) -> Measurement:
    """Run one test, and hold the tool to what it owes whatever comes of it."""
    before, begun = children(), time.monotonic()
    result = asyncio.run(tool.run(test))
    assert time.monotonic() - begun < test.time_limit_seconds + SECONDS
    assert children() <= before
    assert (result.kind, result.tool) == (Kind.THROUGHPUT, tool.name)
    assert (result.source, result.destination) == (test.source.site, test.destination.site)
    # what was asked, and how it was measured
    assert result.parameters.items() >= test.parameters.items()
    assert result.started.tzinfo is not None
    assert bool(result.figures) == result.succeeded
    assert result.error is None or "\n" not in result.error
    return result


def test_a_rate_is_measured(tool: Tool) -> None:
    with iperf3_server() as (_, port):
        result = run(tool, loopback_test(port, SECONDS, duration=1))
    assert result.error is None
    assert result.figures["bits_per_second"] > 1e6
    assert result.source_address == result.destination_address == "127.0.0.1"


def test_the_same_tool_measures_again(tool: Tool) -> None:
    with iperf3_server() as (_, port):
        results = [run(tool, loopback_test(port, SECONDS, duration=1, streams=streams)) for streams in (1, 2)]
    assert [result.error for result in results] == [None, None]


def test_a_paced_udp_test_says_rate_and_loss(tool: Tool) -> None:
    with iperf3_server() as (_, port):
        result = run(tool, loopback_test(port, SECONDS, duration=1, udp=True, bitrate="8 Mbit/s"))
    assert result.error is None
    assert result.raw is not None
    asked, end = result.raw["start"]["test_start"], result.raw["end"]
    assert (asked["protocol"], asked["target_bitrate"]) == ("UDP", 8_000_000)
    # at most a datagram ahead of its pace, and behind it where others have the machine
    assert 0 < end["sum_sent"]["bits_per_second"] < 9e6
    # how much comes is up to the machine, too: what waits for its turn to be read has little room
    received = end["sum_received"]
    assert result.figures.get("bits_per_second", 0) == received["bits_per_second"]
    lost = end["sum"]["lost_percent"] / 100 if received["bytes"] else 1
    assert result.figures["loss_ratio"] == pytest.approx(lost)


def test_refused(tool: Tool) -> None:
    port = free_port()
    result = run(tool, loopback_test(port, 600.0, duration=1))
    assert result.error is not None
    assert result.error.startswith(f"destination there: connection refused at 127.0.0.1:{port}")
    # not by the time limit
    assert result.seconds < 500


def test_a_server_that_is_killed_in_the_middle(tool: Tool) -> None:
    with iperf3_server() as (server, port):
        result = asyncio.run(_killed(tool, loopback_test(port, 600.0, duration=500), server))
    assert (
        result.error == f"destination there: the iperf3 server at 127.0.0.1:{port} vanished during the test"
    )
    assert result.seconds < 400


def test_a_server_that_stops_answering_is_ended_at_the_time_limit(tool: Tool) -> None:
    before = children()
    with iperf3_server() as (server, port):
        # by another process: this one may come to it when the test is over
        stop = subprocess.Popen(["sh", "-c", f"sleep 1; kill -STOP {server.pid}"])
        result = asyncio.run(tool.run(loopback_test(port, 4.0, duration=3)))
        assert stop.wait(SECONDS) == 0
    assert result.error is not None
    assert result.error.startswith("destination there: ")
    assert "within 4 s" in result.error or "ended after 4 s" in result.error
    assert result.seconds < 4 + SECONDS
    assert children() <= before


def test_cancelled_it_has_ended_its_processes(tool: Tool) -> None:
    before = children()

    async def cancelled() -> None:
        with iperf3_server() as (_, port):
            with_server = children()
            running = asyncio.ensure_future(tool.run(loopback_test(port, 600.0, duration=500)))
            await asyncio.to_thread(until, lambda: children() > with_server, "a process of its own")
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert children() <= with_server

    asyncio.run(cancelled())
    assert children() <= before


def test_a_program_that_cannot_be_started_is_a_failure_of_its_side(tool: Tool) -> None:
    class Nowhere:
        def argv(self, command: object) -> list[str]:
            return ["/nonexistent/program"]

    source = Endpoint("here", Nowhere(), "127.0.0.1")
    result = run(tool, Test(source, Endpoint("there", LocalHost(), "127.0.0.1", 1), {"duration": 1}))
    assert result.error == "source here: /nonexistent/program can't be started: No such file or directory"


def test_unknown_parameters_are_refused(tool: Tool) -> None:
    with pytest.raises(InputError, match="unknown parameter 'colour'"):
        tool.check({"colour": "blue"})
    with pytest.raises(InputError, match="unknown parameter 'colour'"):
        asyncio.run(tool.run(loopback_test(1, colour="blue")))


def test_the_binding_says_that_it_cannot_choose_the_congestion_control() -> None:
    with pytest.raises(InputError, match="use the tool iperf3"):
        load_tool("iperf3-binding").check({"congestion": "bbr"})


async def _killed(tool: Tool, test: Test, server: subprocess.Popen[bytes]) -> Measurement:
    """Run a test, and kill its server when the data has been flowing for a moment."""
    running = asyncio.ensure_future(tool.run(test))
    await asyncio.to_thread(until, lambda: iperf3_is_busy(test.destination.port), "data flows")
    await asyncio.sleep(1.2)
    server.kill()
    return await running
