"""iperf3's documents, as recorded from 3.12 and 3.21, and what is said of each failure."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from federation.errors import InputError
from federation.hosts import LocalHost
from netprobe.tools import Endpoint, iperf3_document
from netprobe.tools.iperf3 import Iperf3, arguments, options
from netprobe.tools.iperf3_document import Sides, explain, figures
from tests.netprobe.servers import iperf3_server, loopback_test

DATA = Path(__file__).parent / "data"
SIDES = Sides("source perth", "destination lausanne", "10.98.0.2", 5201, 5.0, congestion="vegas")


def recorded(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / f"iperf3-{name}.json").read_text())
    return document


def test_the_received_rate_is_the_rate() -> None:
    found = figures(recorded("tcp"))
    assert found["bits_per_second"] == pytest.approx(191454510.8)
    assert found["sent_bits_per_second"] == pytest.approx(194993189.7)
    assert found["retransmits"] == 0
    assert found["mss_bytes"] == 1448
    assert found["rtt_seconds"] == pytest.approx(0.003953)
    assert found["rtt_seconds_min"] == pytest.approx(0.0039)


def test_a_round_trip_of_zero_is_a_missing_one() -> None:
    found = figures(recorded("tcp-reverse"))
    assert found["bits_per_second"] == pytest.approx(12067224947.26)
    assert found["retransmits"] == 225
    assert "rtt_seconds" not in found
    assert "rtt_seconds_min" not in found


def test_streams_give_one_round_trip_and_udp_a_loss() -> None:
    document = recorded("tcp-P4-omit")
    means = sorted(stream["sender"]["mean_rtt"] for stream in document["end"]["streams"])
    assert figures(document)["rtt_seconds"] == pytest.approx((means[1] + means[2]) / 2e6)
    assert figures(recorded("udp-overload"))["loss_ratio"] == pytest.approx(1 / 50453)
    assert figures(recorded("v321-tcp"))["bits_per_second"] > 0


@pytest.mark.parametrize("name", ["err-serverdied", "err-busy", "err-refused", "v321-sigterm"])
def test_a_failed_test_has_no_figures(name: str) -> None:
    assert figures(recorded(name)) == {}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("err-refused", "destination lausanne: connection refused at 10.98.0.2:5201"),
        ("v321-err-refused", "destination lausanne: connection refused at 10.98.0.2:5201"),
        ("err-busy", "destination lausanne: the iperf3 server at 10.98.0.2:5201 is busy"),
        ("err-serverdied", "destination lausanne: the iperf3 server at 10.98.0.2:5201 vanished"),
        ("err-timeout", "destination lausanne: no answer from 10.98.0.2:5201 within 5 s"),
        ("err-cc", "source perth: no congestion control 'vegas'"),
    ],
)
def test_each_failure_names_the_side_and_the_cause(name: str, said: str) -> None:
    text = explain(recorded(name)["error"], SIDES)
    assert text.startswith(said)
    assert "\n" not in text


def test_a_name_that_cannot_be_resolved_is_the_sources_failure() -> None:
    sides = Sides("source perth", "destination lausanne", "nosuch.invalid", 5201, 5.0)
    said = "source perth: the name 'nosuch.invalid' of the destination lausanne can't be resolved"
    assert explain(recorded("err-dns")["error"], sides) == said


def test_the_command_says_what_was_asked() -> None:
    asked = {
        "duration": "3 s",
        "omit": 1,
        "streams": 4,
        "congestion": "bbr",
        "bitrate": "10 Mbit/s",
        "udp": True,
    }
    command = arguments(Endpoint("a", LocalHost(), "192.0.2.1", 5202), options("iperf3", asked), 1.5)
    assert " ".join(command) == (
        "iperf3 -J -c 192.0.2.1 -p 5202 -t 3 -P 4 --connect-timeout 1500 -O 1 -C bbr -u -b 10000000"
    )


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"durations": 3}, "unknown parameter 'durations': expected one of bitrate, congestion, duration"),
        ({"duration": "1.5 s"}, "duration: expected whole seconds, at least 1, got 1.5 s"),
        ({"duration": 0}, "duration: expected whole seconds"),
        ({"duration": "soon"}, "expected"),
        ({"streams": 0}, "streams: expected a whole number from 1 to 128, got 0"),
        ({"streams": True}, "streams: expected a whole number"),
        ({"udp": "yes"}, "udp: expected true or false, got 'yes'"),
        ({"congestion": "-R"}, "congestion: expected a name, got '-R'"),
        ({"bitrate": -1}, "bitrate: expected a rate"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Iperf3().check(parameters)
    assert said in str(caught.value)


def test_a_busy_server_is_tried_again_within_the_time_limit() -> None:
    async def both() -> list[Any]:
        with iperf3_server() as (_, port):
            tests = [loopback_test(port, 8.0, duration=1), loopback_test(port, 8.0, duration=1)]
            return await asyncio.gather(*(Iperf3().run(test) for test in tests))

    assert [result.error for result in asyncio.run(both())] == [None, None]


def test_a_server_busy_to_the_end_is_said_so() -> None:
    async def both() -> list[Any]:
        with iperf3_server() as (_, port):
            long = asyncio.ensure_future(Iperf3().run(loopback_test(port, 8.0, duration=3)))
            while not iperf3_is_busy(port):  # noqa: ASYNC110 - the kernel sends no event
                await asyncio.sleep(0.02)
            short = await Iperf3().run(loopback_test(port, 1.5, duration=1))
            return [await long, short]

    long, short = asyncio.run(both())
    assert long.error is None
    assert "is busy with another test" in short.error


def iperf3_is_busy(port: int) -> bool:
    """Whether a connection to the server stands (state 01 in the kernel's table)."""
    wanted = f":{port:04X} 0100007F:"
    table = Path("/proc/net/tcp").read_text()
    return any(wanted in line and line.split()[3] == "01" for line in table.splitlines()[1:])


def test_reversed_the_data_flows_the_same_way() -> None:
    async def run() -> Any:
        with iperf3_server() as (_, port):
            test = loopback_test(0, duration=1, reverse=True)
            server = Endpoint("here", LocalHost(), "127.0.0.1", port)
            return await Iperf3().run(type(test)(server, test.destination, test.parameters, 10.0))

    result = asyncio.run(run())
    assert result.error is None
    assert (result.source, result.destination) == ("here", "there")
    assert "rtt_seconds" not in result.figures
    assert result.raw["start"]["test_start"]["reverse"] == 1


def test_the_intervals_are_not_kept() -> None:
    assert set(iperf3_document.trimmed(recorded("err-serverdied"))) == {"start", "end", "error"}


@pytest.mark.parametrize(
    ("error", "attempts", "again"),
    [
        ("the server is busy running a test. try again later", 9, True),
        ("unable to receive control message: Connection reset by peer", 2, True),
        ("unable to connect to server: Connection refused", 3, False),
        ("unable to connect to server: Connection timed out", 1, False),
    ],
)
def test_what_passes_is_tried_again(error: str, attempts: int, again: bool) -> None:
    assert iperf3_document.worth_another_try({"error": error}, attempts) is again
    # where data had flowed, a second test would be another test
    assert not iperf3_document.worth_another_try({"error": "reset", "intervals": [{}]}, 1)
