"""What ping's output says, and real pings of loopback."""

from __future__ import annotations

import asyncio

import pytest

from federation.errors import InputError
from netprobe.measurement import Kind
from netprobe.tools import Endpoint, Test
from netprobe.tools.ping import Ping, read
from tests.netprobe.servers import loopback_test

REPLY = "64 bytes from 10.77.3.2: icmp_seq={} ttl=63 time={} ms\n"
HEAD = "PING 10.77.3.2 (10.77.3.2) 56(84) bytes of data.\n"


def summary(sent: int, received: int) -> str:
    return f"\n--- 10.77.3.2 ping statistics ---\n{sent} packets transmitted, {received} received, 0% loss\n"


def test_median_least_and_ninth_tenth() -> None:
    times = [110, 102, 101, 105, 103, 104, 109, 106, 108, 107, 100]
    output = HEAD + "".join(REPLY.format(i + 1, t) for i, t in enumerate(times)) + summary(11, 11)
    found = read(output)
    assert found["rtt_seconds"] == pytest.approx(0.105)
    assert found["rtt_seconds_min"] == pytest.approx(0.100)
    assert found["rtt_seconds_p90"] == pytest.approx(0.109)
    assert found["loss_ratio"] == 0


def test_what_is_lost_counts_and_what_comes_twice_does_not() -> None:
    twice = REPLY.format(1, 20).rstrip("\n") + " (DUP!)\n"
    output = HEAD + REPLY.format(1, 10) + twice + REPLY.format(4, 12) + summary(4, 2)
    found = read(output)
    assert found["loss_ratio"] == pytest.approx(0.5)
    assert found["rtt_seconds"] == pytest.approx(0.011)


def test_no_reply_at_all_is_a_loss_of_one_and_no_round_trip() -> None:
    unreachable = "From 10.77.1.2 icmp_seq=1 Destination Host Unreachable\n"
    assert read(HEAD + unreachable + summary(4, 0)) == {"loss_ratio": 1.0}


def test_output_without_summary_says_nothing() -> None:
    assert read(HEAD + REPLY.format(1, 10)) == {}


def test_a_ping_of_loopback() -> None:
    result = asyncio.run(Ping().run(loopback_test(0, count=5, interval="10 ms")))
    assert result.error is None
    assert result.kind == Kind.LATENCY
    assert result.figures["loss_ratio"] == 0
    assert 0 < result.figures["rtt_seconds_min"] <= result.figures["rtt_seconds"]
    assert result.figures["rtt_seconds"] <= result.figures["rtt_seconds_p90"] < 60
    assert result.raw is not None
    assert len(result.raw["round_trips_seconds"]) == 5


def test_a_name_that_cannot_be_resolved_is_said() -> None:
    test = loopback_test(0, count=1)
    there = Endpoint("there", test.destination.host, "nosuch.invalid")
    result = asyncio.run(Ping().run(Test(test.source, there, test.parameters)))
    assert result.figures == {}
    assert result.error is not None
    assert result.error.startswith("source here: ping gave no result: ping: nosuch.invalid:")


def test_the_time_limit_ends_a_long_ping() -> None:
    result = asyncio.run(Ping().run(loopback_test(0, 0.3, count=100, interval=1)))
    assert result.error == "destination there: ping of 127.0.0.1 wasn't done within 0.3 s"
    assert result.seconds < 60


def test_an_interval_that_only_a_flood_has_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 ms"):
        Ping().check({"interval": 0.0001})
