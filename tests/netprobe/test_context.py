"""What is read at a test's ends, and what is made of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from federation.clock import SystemClock
from federation.hosts import Host, LocalHost, NamespaceHost
from federation.sites import Federation, Place, Site
from netprobe import context
from netprobe.context import Beside, Snapshot, beside, between, parse, running
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.plan import load_plan
from netprobe.runner import run_plan
from netprobe.tools import load_tool
from tests.netprobe.servers import children, iperf3_server, loopback_test
from tests.waiting import until

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
            return ["sleep", "600"]

    # the other one does answer by then, however busy the machine
    found = asyncio.run(context.read([Hung(), LocalHost()], 5.0))
    assert found[0] == Snapshot()
    assert found[1].load is not None


def test_cancelled_it_leaves_when_all_that_it_began_has_ended(tmp_path: Path) -> None:
    class Begins:
        def __init__(self, name: str, trap: str) -> None:
            self._script = f"trap {trap} TERM; : >{tmp_path}/{name}; while :; do sleep 0.01; done"

        def argv(self, command: object) -> list[str]:
            return ["sh", "-c", self._script]

    async def cancelled() -> None:
        # one ends at once, one only when it is killed
        hosts = [Begins("first", "exit"), Begins("second", "''")]
        reading = asyncio.ensure_future(context.before_test(hosts, Begins("third", "''"), ["x"], 60.0))
        await asyncio.to_thread(until, lambda: len(list(tmp_path.iterdir())) == 3, "three programs")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert children() <= before

    before = children()
    asyncio.run(cancelled())


@pytest.mark.parametrize(
    ("host", "address", "there"),
    [
        (LocalHost(), "127.0.0.1", True),
        # a site that the catalogue gives no host, and a test that didn't come so far
        (LocalHost(), "192.0.2.1", False),
        (LocalHost(), None, False),
        # nobody is asked for a name, which may take long
        (LocalHost(), "localhost", False),
        (NamespaceHost("perth"), "192.0.2.1", True),
    ],
)
def test_the_other_end_is_read_where_it_is_only(host: Host, address: str | None, there: bool) -> None:
    assert context.is_at(host, address) is there


def test_what_else_ran_is_said_beside_the_rest() -> None:
    moment = datetime(2026, 11, 26, tzinfo=UTC)
    result = Measurement(
        Kind.LATENCY, "a", "b", moment, 1.0, "ping", Origin.SCRIPTED, context={"attempts": 1}
    )
    assert beside(result, Beside("ping a to b", fills=False)) is result
    met = Beside("ping a to b", False, ["iperf3 c to d"], 2)
    assert beside(result, met).context == {"attempts": 1, "beside": ["iperf3 c to d"], "beside_light": 2}


def test_tests_that_overlap_know_each_other_and_no_others() -> None:
    with running("a to b", fills=True) as first:
        with running("c to d", fills=True) as second:
            pass
        with running("a to b", fills=True) as third, running("ping", fills=False) as light:
            pass
    with running("e to f", fills=True) as alone:
        pass
    met = [each.filling for each in (first, second, third, light, alone)]
    assert met == [["c to d", "a to b"], ["a to b"], ["a to b"], ["a to b", "a to b"], []]
    assert [each.light for each in (first, second, third, light, alone)] == [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("tool", "program", "parameters"),
    [
        ("ping", "ping", {"count": 2, "interval": 0.05}),
        ("traceroute", "traceroute", {"max_hops": 2}),
        ("path_mtu", "ping", {"tries": 1}),
    ],
)
def test_tools_without_a_server_say_what_explains_their_figures(
    tool: str, program: str, parameters: dict[str, Any]
) -> None:
    result = asyncio.run(load_tool(tool).run(loopback_test(0, **parameters)))
    assert result.error is None
    assert re.match(r"[\w.-]*\d", result.context[program])
    for end in ("source", "destination"):
        found = result.context[end]
        assert found["interface"] == "lo"
        assert found["mtu_bytes"] > 1000
        assert found["sent_bytes"] > 0
        # the processors are counted in hundredths of a second, and a short test may end within one
        assert 0 <= found.get("processors_percent", 0) <= 100
        # of no use where nothing is TCP
        assert "tcp_rmem" not in found


def test_the_far_end_is_left_out_where_it_is_not_this_machine() -> None:
    test = loopback_test(0, count=1, wait=0.1)
    away = replace(test.destination, address="nosuch.invalid")
    result = asyncio.run(load_tool("ping").run(replace(test, destination=away)))
    assert "source" in result.context
    assert "destination" not in result.context


@pytest.mark.parametrize(
    ("said", "release"),
    [
        ("iperf 3.12 (cJSON 1.7.15)\nLinux vm 6.18", "3.12"),
        ("ping from iputils 20221126", "20221126"),
        ("ping utility, iputils-s20190709", "iputils-s20190709"),
        ("Modern traceroute for Linux, version 2.1.2, Dec 1 2022", "2.1.2"),
        ("no version", None),
        ("", None),
    ],
)
def test_a_programs_release_is_its_first_word_with_a_digit(said: str, release: str | None) -> None:
    assert asyncio.run(context.release(LocalHost(), ["printf", "%s", said], 60.0)) == release
    assert asyncio.run(context.release(LocalHost(), ["/nonexistent/program"], 60.0)) is None
    assert asyncio.run(context.release(LocalHost(), ["sh", "-c", "echo 1.0; exit 1"], 60.0)) is None


def test_the_results_of_one_round_say_what_else_ran(tmp_path: Path) -> None:
    class Archive:
        def add(self, measurements: Iterable[Measurement]) -> int:
            return len(list(measurements))

        def known(self, ids: Collection[str]) -> set[str]:
            return set()

    plan = tmp_path / "plan.toml"
    plan.write_text('[[pairs]]\npairs = [["a", "b"], ["c", "d"]]\ntool = "iperf3"\nduration = 1\n')
    with iperf3_server() as (_, one), iperf3_server() as (_, other):
        ports = {"a": one, "b": one, "c": other, "d": other}
        sites = {
            name: Site(name, name, Place(0, 0), iperf3_address="127.0.0.1", iperf3_port=port)
            for name, port in ports.items()
        }
        whole = run_plan(load_plan(plan), Federation("test", sites), Archive(), SystemClock())
        results = asyncio.run(whole).results
    found = {each.source: each.context.get("beside") for each in results}
    assert found == {"a": ["iperf3 c to d"], "c": ["iperf3 a to b"]}
