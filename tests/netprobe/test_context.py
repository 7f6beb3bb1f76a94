"""What is read at a test's ends, and what is made of it."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime

import pytest

from federation.hosts import LocalHost
from netprobe import context
from netprobe.context import Snapshot, beside, between, parse
from netprobe.measurement import Kind, Measurement, Origin

OUTPUT = """\
/proc/loadavg:1.50 0.75 0.50 1/200 4711
/proc/stat:cpu  100 0 50 800 50 0 0 0 0 0
/proc/net/dev:Inter-|   Receive                            |  Transmit
/proc/net/dev: face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
/proc/net/dev:    lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0
/proc/net/dev:  eth0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
/proc/sys/net/ipv4/tcp_rmem:4096\t131072\t6291456
/proc/sys/net/ipv4/tcp_congestion_control:bbr
/proc/sys/net/core/rmem_max:212992
/proc/sys/net/ipv6/conf/eth0/mtu:9000
/proc/sys/net/ipv6/conf/lo/mtu:65536
"""


def test_a_host_before_and_after() -> None:
    before = parse(OUTPUT)
    after = parse(
        OUTPUT.replace("100 0 50 800", "300 0 100 850").replace("eth0:1000 10 1 2", "eth0:5000 50 1 9")
    )
    assert between(before, after) == {
        "tcp_rmem": [4096, 131072, 6291456],
        "tcp_congestion_control": "bbr",
        "rmem_max": 212992,
        "load_before": 1.5,
        "processors_percent": 83.3,
        "interface": "eth0",
        "mtu_bytes": 9000,
        "received_bytes": 4000,
        "receive_errors": 0,
        "receive_drops": 7,
        "sent_bytes": 0,
        "send_errors": 0,
        "send_drops": 0,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "grep: no such thing",
        "/proc/loadavg:\n/proc/stat:cpu x\n/proc/net/dev:eth0: 1 2\n/proc/sys/net/ipv6/conf/eth0/mtu:?\n",
    ],
)
def test_what_is_not_as_expected_is_left_out(text: str) -> None:
    assert parse(text) == Snapshot()
    assert between(parse(text), parse(OUTPUT)) == {}


def test_this_machine_can_be_read() -> None:
    [found] = asyncio.run(context.read([LocalHost()]))
    assert found.load is not None
    assert found.processor is not None
    assert "lo" in found.counters
    assert len(found.settings["tcp_rmem"]) == 3


def test_a_host_that_does_not_answer_costs_its_time_and_no_more() -> None:
    class Hung:
        def argv(self, command: object) -> list[str]:
            return [sys.executable, "-c", "import time; time.sleep(60)"]

    begun = time.monotonic()
    found = asyncio.run(context.read([Hung(), LocalHost()], 0.5))
    assert time.monotonic() - begun < 2
    assert found[0] == Snapshot()
    assert found[1].load is not None


def test_what_else_ran_is_said_beside_the_rest() -> None:
    moment = datetime(2026, 11, 26, tzinfo=UTC)
    result = Measurement(
        Kind.LATENCY, "a", "b", moment, 1.0, "ping", Origin.SCRIPTED, context={"attempts": 1}
    )
    assert beside(result, []) is result
    assert beside(result, ["iperf3 c d"]).context == {"attempts": 1, "beside": ["iperf3 c d"]}
