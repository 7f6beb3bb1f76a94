"""iperf3's documents, as recorded from releases 3.9 to 3.22: the right figures, or a failure by its name."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprobe.tools import iperf3_document
from netprobe.tools._process import Finished
from netprobe.tools.iperf3 import outcome
from netprobe.tools.iperf3_document import context, figures
from netprobe.tools.iperf3_errors import Sides, explain
from netprobe.tools.iperf3_options import Options

DATA = Path(__file__).parent / "data" / "iperf3"
SIDES = Sides("source perth", "destination lausanne", "10.98.0.2", 5201, 5.0, Options(congestion="vegas"))
SERVER = "destination lausanne: the iperf3 server at 10.98.0.2:5201"

# every document that there is: the received Mbit/s, or what is said of it
REPLAYED: dict[str, float | str] = {
    "tcp.json": 191.4545,
    "tcp-P4-omit.json": 191.2568,
    # that of source to destination; what flowed the other way is context
    "tcp-bidir-P2.json": 190.7308,
    "tcp-reverse.json": 12067.22,
    "udp-overload.json": 194.6253,
    "v321-tcp.json": 191.3435,
    "v321-reverse.json": 12830.43,
    "v321-udp.json": 49.9633,
    "v321-vs-312.json": 191.7303,
    "v321-stream-P4.ndjson": 191.0220,
    "omit-160ms-100.json": 98.9891,
    "omit-160ms-400.json": 396.2217,
    "omit-160ms-reverse-100.json": 99.1682,
    "omit-160ms-reverse-400.json": 396.3293,
    "err-refused.json": "destination lausanne: connection refused at 10.98.0.2:5201",
    "v321-err-refused.json": "destination lausanne: connection refused at 10.98.0.2:5201",
    "err-busy.json": f"{SERVER} is busy with another test",
    "v321-err-busy.json": f"{SERVER} is busy with another test",
    "v321-err-busy.ndjson": f"{SERVER} is busy with another test",
    "err-serverdied.json": f"{SERVER} vanished during the test",
    "err-timeout.json": "destination lausanne: no answer from 10.98.0.2:5201 within 5 s",
    "err-cc.json": "source perth: no congestion control 'vegas' on this host",
    "err-dns.json": "source perth: the name 'nosuch.invalid' of the destination lausanne can't be resolved",
    "v321-sigterm.json": "source perth: iperf3 was ended during the test",
    "srv.json": "destination lausanne: the test with 10.98.0.2:5201 ended without a received rate",
    "v39-tcp.json": 37.5265,
    "v39-reverse.json": 86.6656,
    # 40 Mbit/s towards the destination and 90 the other way: 3.9 gives both sums one name
    "v39-tcp-bidir.json": 36.5286,
    "v39-udp.json": 39.2283,
    "v39-udp-bidir.json": 29.9888,
    "v318-tcp.json": 10.4660,
    "v318-udp.json": 5.2350,
    "v318-bidir.json": 10.4680,
    "v322-tcp.json": 37.8183,
    "v322-tcp-bidir.json": 36.6481,
    "v322-udp.json": 38.9526,
    # 3.9 writes its errors beside the document, and of these two not the right one
    "v39-err-refused.json": "destination lausanne: no connection to 10.98.0.2:5201: refused, no such name",
    "v39-err-busy.json": f"{SERVER} turned us away: it is busy with another test, or is none",
    "v39-err-killed.json": f"{SERVER} vanished during the test",
    "v39-err-auth.json": f"{SERVER} refused the authentication: ",
    "v39-err-key.stderr": "source perth: iperf3 can't read the public key",
    "v318-err-key.stderr": "source perth: iperf3 can't read the public key",
    "v39-err-limit.json": f"{SERVER} hung up before any data flowed: a limit of its own (bitrate, duration)",
    "v318-err-limit.json": f"{SERVER} hung up before any data flowed: a limit of its own (bitrate, duration)",
    "v322-err-limit.json": f"{SERVER} allows no such test: total required bandwidth is larger than",
    "v318-err-auth.json": f"{SERVER} refused the authentication: ",
    # a server of 3.22 answers nothing to a login that it refuses
    "v322-err-auth.json": f"{SERVER} hung up instead of an answer to our authentication: ",
    "v312-err-auth-v322.json": f"{SERVER} hung up instead of an answer to our authentication: ",
    "v322-err-auth-none.json": f"{SERVER} hung up before the test: it asks for a login (username)",
    "v322-err-pkcs1.stderr": "source perth: pkcs1_padding: iperf3 on this host has it as a server only",
}
LOGIN = Options(username="ada", public_key="/k.pem", password_variable="SECRET")


def recorded(name: str) -> dict[str, Any]:
    path = next(each for each in (DATA / f"{name}.json", DATA / name) if each.exists())
    complaints = path.with_suffix(".stderr")
    document = "" if path == complaints else path.read_text()
    return iperf3_document.parse(document, complaints.read_text() if complaints.exists() else "")


def asked_by(name: str) -> Sides:
    """The test of which the document is."""
    if "dns" in name:
        return replace(SIDES, address="nosuch.invalid")
    login = any(word in name for word in ("auth", "key", "pkcs1")) and "none" not in name
    return replace(SIDES, asked=LOGIN) if login else SIDES


def said_of(document: dict[str, Any], sides: Sides = SIDES) -> str | None:
    return outcome(Finished(0, "", "", timed_out=False), document, sides, 60.0)


def test_every_document_is_in_the_table() -> None:
    beside = {path.with_suffix(".stderr") for path in DATA.glob("*.json")}
    found = {path.name for path in DATA.iterdir() if path.suffix != ".md" and path not in beside}
    assert found == set(REPLAYED)


@pytest.mark.parametrize("name", sorted(REPLAYED))
def test_every_document_lands_as_a_rate_or_a_failure_by_its_name(name: str) -> None:
    document, expected = recorded(name), REPLAYED[name]
    if isinstance(expected, str):
        said = said_of(document, asked_by(name))
        assert said is not None
        assert said.startswith(expected)
        assert "\n" not in said
        assert figures(document) == {}
    else:
        assert said_of(document) is None
        assert figures(document)["bits_per_second"] == pytest.approx(expected * 1e6, rel=1e-5)


def test_sender_and_receiver_each_have_their_own_rate() -> None:
    found = figures(recorded("tcp"))
    assert found["bits_per_second"] == pytest.approx(191454510.8)
    assert found["sent_bits_per_second"] == pytest.approx(194993189.7)
    assert found["retransmits"] == 0
    assert found["mss_bytes"] == 1448
    assert found["rtt_seconds"] == pytest.approx(0.003953)
    assert found["rtt_seconds_min"] == pytest.approx(0.0039)


@pytest.mark.parametrize("name", ["tcp-reverse", "v321-reverse"])
def test_reversed_a_round_trip_of_zero_is_a_missing_one_and_the_processors_change_ends(name: str) -> None:
    document = recorded(name)
    found = figures(document)
    assert not {"rtt_seconds", "rtt_seconds_min"} & set(found)
    used = document["end"]["cpu_utilization_percent"]
    assert found["cpu_percent_source"] == used["remote_total"]
    assert found["cpu_percent_destination"] == used["host_total"]


def test_of_streams_the_median_round_trip() -> None:
    document = recorded("tcp-P4-omit")
    means = sorted(stream["sender"]["mean_rtt"] for stream in document["end"]["streams"])
    assert figures(document)["rtt_seconds"] == pytest.approx((means[1] + means[2]) / 2e6)


def test_udp_has_the_receivers_loss_and_jitter() -> None:
    found = figures(recorded("udp-overload"))
    assert found["loss_ratio"] == pytest.approx(1 / 50453)
    assert (found["packets_sent"], found["packets_lost"]) == (50453, 1)
    assert found["jitter_seconds"] == pytest.approx(4.39997e-6, rel=1e-4)


def test_udp_of_a_release_with_one_sum_for_both_sides() -> None:
    document = recorded("udp-overload")
    del document["end"]["sum_sent"], document["end"]["sum_received"]
    document["end"]["sum"] |= {"lost_packets": 5045, "packets": 50450}
    found = figures(document)
    assert found["loss_ratio"] == pytest.approx(0.1)
    assert found["bits_per_second"] == pytest.approx(194813772.65 * 0.9)


def test_udp_of_which_nothing_arrives_is_a_loss_of_one() -> None:
    document = recorded("udp-overload")
    document["end"]["sum"] |= {"lost_packets": 0}
    document["end"]["sum_received"] |= {"bytes": 0, "bits_per_second": 0, "packets": 0, "lost_packets": 0}
    assert figures(document) == {"loss_ratio": 1.0, "packets_sent": 50453, "packets_lost": 50453}
    assert said_of(document) == "destination lausanne: none of 50453 packets arrived"


@pytest.mark.parametrize(
    ("name", "there", "back"),
    [
        ("v39-tcp-bidir", 36528556.3, 70158200.97),
        ("v322-tcp-bidir", 36648064.8, 77484479.8),
        ("v39-udp-bidir", 29988756.8, 30527372.97),
        ("v318-bidir", 10467985.4, 10467985.4),
    ],
)
def test_in_both_directions_the_result_is_the_way_there_in_every_release(
    name: str, there: float, back: float
) -> None:
    document = recorded(name)
    assert figures(document)["bits_per_second"] == pytest.approx(there)
    assert context(document)["opposite"]["bits_per_second"] == pytest.approx(back)


def test_in_both_directions_each_has_its_own_figures() -> None:
    document = recorded("tcp-bidir-P2")
    found, other = figures(document), context(document)["opposite"]
    assert found["sent_bits_per_second"] == pytest.approx(196770487.9)
    assert found["rtt_seconds"] == pytest.approx((0.009334 + 0.009270) / 2)
    assert other["bits_per_second"] == pytest.approx(655083906.1)
    assert other["retransmits"] == 4
    assert "rtt_seconds" not in other


@pytest.mark.parametrize("rate", [100, 400])
def test_after_omitted_seconds_the_rate_is_what_the_receiver_saw_and_the_path_carries(rate: int) -> None:
    """Over 160 ms, within 1 %: forward against the server's own intervals, reversed against the client's."""
    carries = rate * 1e6 * (9000 - 52) / 9000
    forward, reverse = recorded(f"omit-160ms-{rate}"), recorded(f"omit-160ms-reverse-{rate}")
    interval = r"(\d+\.\d+)-(\d+\.\d+) +sec .*? ([\d.]+) Mbits/sec +\n"
    lines = re.findall(interval, forward["server_output_text"])
    # 3.12 names the first counted second "1.00-1.00" now and then, over twice the time
    seen = [(float(end) - float(start), float(each)) for start, end, each in lines if start != end]
    told = sum(seconds * each for seconds, each in seen) / sum(seconds for seconds, _ in seen)
    assert figures(forward)["bits_per_second"] == pytest.approx(told * 1e6, rel=0.01)
    counted = [each["sum"] for each in reverse["intervals"] if not each["sum"]["omitted"]]
    own = 8 * sum(each["bytes"] for each in counted) / sum(each["seconds"] for each in counted)
    assert figures(reverse)["bits_per_second"] == pytest.approx(own, rel=0.01)
    for document in (forward, reverse):
        assert figures(document)["bits_per_second"] == pytest.approx(carries, rel=0.01)
        assert context(document)["omitted_intervals"] == 6


def test_context_says_versions_buffers_and_path_mtu() -> None:
    assert context(recorded("tcp")) == {
        "iperf3": "3.12",
        "sender_congestion": "bbr",
        "receiver_congestion": "bbr",
        "send_buffer_bytes": 16384,
        "receive_buffer_bytes": 131072,
        "block_bytes": 131072,
        "path_mtu_bytes": 1500,
    }
    assert context(recorded("v321-err-busy.json")) == {"iperf3": "3.21+"}


def test_a_name_that_cannot_be_resolved_is_the_sources_failure() -> None:
    sides = Sides("source perth", "destination lausanne", "nosuch.invalid", 5201, 5.0, Options(ip_version=6))
    said = "source perth: the name 'nosuch.invalid' of the destination lausanne can't be resolved to an IPv6"
    assert explain(recorded("err-dns")["error"], sides).startswith(said)
    assert explain("unable to connect to server: Invalid argument", sides).startswith(said)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("test authorization failed", f"{SERVER} refused the authentication: it asks for a login"),
        ("received an unknown control message", "destination lausanne: what listens at 10.98.0.2:5201 is no"),
        (
            "unable to connect to server: No route to host",
            "source perth: no route to 10.98.0.2:5201",
        ),
        ("unable to connect to server: Cannot assign requested address", "source perth: bind: "),
        ("unable to connect to server: Address family for hostname not supported", "source perth: address f"),
        ("unable to set TCP/SCTP MSS: Invalid argument", "source perth: mss: "),
        ("socket buffer size not set correctly", "source perth: a window of "),
        ("the server has terminated", f"{SERVER} vanished during the test"),
        ("unable to receive control message - port may not be available: Connection reset by peer", SERVER),
        ("client's requested duration exceeds the server's maximum permitted limit", f"{SERVER} allows no"),
        (
            "unable to read from stream socket: Connection timed out",
            "destination lausanne: 10.98.0.2:5201",
        ),
        ("a text of\na later release", "source perth: iperf3 to 10.98.0.2:5201: a text of a later release"),
    ],
)
def test_other_messages_name_the_side_and_the_cause(message: str, said: str) -> None:
    text = explain(message, SIDES)
    assert text.startswith(said)
    assert "\n" not in text


WRONG = "user, password, key or clock is wrong"
START = "start it with --use-pkcs1-padding"


@pytest.mark.parametrize(
    ("client", "server", "padding", "why"),
    [
        # what is certain stands alone; what may be is said after the usual suspects
        (
            "3.18",
            "3.12",
            False,
            "its 3.12 is older than 3.17, our 3.18 isn't, and they pad differently: set pkcs1",
        ),
        ("3.18", None, False, f"{WRONG}, or one side is older than 3.17 (pkcs1_padding)"),
        ("3.18", "3.22", False, WRONG),
        ("3.18", "3.12", True, WRONG),
        ("3.18", None, True, f"{WRONG}, or the server isn't older than 3.17: leave out pkcs1_padding"),
        ("3.12", "3.18", False, f"{WRONG}, or the server is 3.18 and doesn't pad as our 3.12 does: {START}"),
        (
            "3.9",
            None,
            False,
            f"{WRONG}, or the server is 3.17 or newer and doesn't pad as our 3.9 does: {START}",
        ),
        ("3.12", "3.9", False, WRONG),
        ("4", None, False, f"{WRONG}, or one side is older than 3.17 (pkcs1_padding)"),
    ],
)
def test_a_refused_login_says_what_of_it_may_be_the_releases(
    client: str, server: str | None, padding: bool, why: str
) -> None:
    sides = replace(SIDES, asked=replace(LOGIN, pkcs1_padding=padding), server_release=server)
    document = {"start": {"version": f"iperf {client}"}, "error": "test authorization failed"}
    said = said_of(document, sides)
    assert said is not None
    told = said.removeprefix(f"{SERVER} refused the authentication: ")
    assert told == why or (why.endswith("pkcs1") and told.startswith(f"{why}_padding (clients up to 3.18"))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from([name for name in REPLAYED if name.endswith(".json")]), st.data())
def test_a_value_of_the_wrong_type_anywhere_is_no_crash(name: str, data: st.DataObject) -> None:
    document = recorded(name)
    place: Any = document
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(ODD)
            break
        place = place[key]
    said = said_of(document)
    found = figures(document)
    assert said is None or "\n" not in said
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    json.dumps([context(document), iperf3_document.addresses(document)])


@pytest.mark.parametrize("rate", [None, "fast", True, {}, 10**400, math.nan, math.inf, -math.inf])
def test_a_rate_that_is_no_number_is_none(rate: Any) -> None:
    document = recorded("tcp")
    document["end"]["sum_received"]["bits_per_second"] = rate
    assert figures(document) == {}
    assert (
        said_of(document)
        == "destination lausanne: the test with 10.98.0.2:5201 ended without a received rate"
    )


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "<html>", '{"event": 3}', '{"event":"start","da'])
def test_what_is_no_document_is_an_empty_one(text: str) -> None:
    assert iperf3_document.parse(text) == {}


def test_the_intervals_are_not_kept() -> None:
    assert set(iperf3_document.trimmed(recorded("err-serverdied"))) == {"start", "end", "error"}


@pytest.mark.parametrize(
    ("error", "attempts", "again"),
    [
        ("the server is busy running a test. try again later", 9, True),
        ("unable to receive control message: Connection reset by peer", 2, True),
        ("unable to connect to server: Connection refused", 3, False),
        ("unable to connect to server: Connection timed out", 1, False),
        # what 3.9 says instead of busy, and instead of refused
        ("unable to send control message: Broken pipe", 9, True),
        ("unable to send control message: Bad file descriptor", 2, True),
        ("unable to send control message: Bad file descriptor", 3, False),
    ],
)
def test_what_passes_is_tried_again(error: str, attempts: int, again: bool) -> None:
    assert iperf3_document.worth_another_try({"error": error}, attempts) is again
    # where data had flowed, a second test would be another test
    assert not iperf3_document.worth_another_try({"error": "reset", "intervals": [{}]}, 1)
