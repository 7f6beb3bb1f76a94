"""What iperf3's JSON document says (3.9 to 3.22): the figures, and what explains them.

Nothing here trusts the document: a value of the wrong type is one that isn't there.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from netprobe.tools.iperf3_errors import Stage

# kept of the document: the intervals grow with streams and time
KEPT = ("start", "end", "error")
_COMPLAINT = re.compile(r"^iperf3: (?:parameter )?error - (.+)$", re.MULTILINE)


def parse(text: str, complaints: str = "") -> dict[str, Any]:
    """The document in `text`, or an empty one where there is none.

    Lines of events (`--json-stream`) are put together to the document that `-J` writes. `complaints` is what
    a program that failed wrote on standard error: up to 3.9 the error is there and not in the document.
    """
    document = _parse(text)
    complaint = _COMPLAINT.search(complaints)
    return document if complaint is None else {"error": complaint[1], **document}


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_both_directions)
    except ValueError:
        return _from_events(text)
    if not isinstance(document, dict):
        return {}
    return _from_events(text) if "event" in document else document


def _both_directions(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the document. 3.9 gives the sums of two directions one name: the second is the reverse."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        twice = key in found and key.startswith("sum")
        found[f"{key}_bidir_reverse" if twice else key] = value
    return found


def _from_events(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in text.splitlines():
        try:
            event = json.loads(line, object_pairs_hook=_both_directions)
        except ValueError:
            # a line that is half written: what came before it stands
            continue
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            continue
        if event["event"] == "interval":
            found.setdefault("intervals", []).append(event.get("data"))
        else:
            found[event["event"]] = event.get("data")
    return found


def worth_another_try(document: Mapping[str, Any], attempts: int) -> bool:
    """Whether the server turned us away for a reason that passes; `attempts` have been made.

    It says when it is busy with another test. But after each test it closes its port for a moment and opens
    it anew: who comes just then is refused, or has the connection reset.
    """
    error = str(document.get("error", "")).lower()
    if "server is busy" in error:
        return True
    if began(document):
        return False
    if "unable to send control message: broken pipe" in error:
        # what 3.9 makes of a busy server
        return stage(document) is Stage.BEFORE
    return attempts < 3 and any(word in error for word in ("refused", "reset", "bad file descriptor"))


def began(document: Mapping[str, Any]) -> bool:
    """Whether data had begun to flow."""
    return bool(document.get("intervals"))


def stage(document: Mapping[str, Any]) -> Stage:
    """How far the test came."""
    if began(document):
        return Stage.RUNNING
    return Stage.BEFORE if addresses(document) == (None, None) else Stage.CONNECTED


def release(document: Mapping[str, Any]) -> str | None:
    """The client's release, such as "3.12"."""
    version = _mapping(document, "start").get("version")
    return version.removeprefix("iperf ") if isinstance(version, str) else None


def trimmed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without its intervals."""
    return {key: document[key] for key in KEPT if key in document}


def addresses(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The addresses of client and server, as the first connection had them."""
    connected = _mapping(document, "start").get("connected")
    first = connected[0] if isinstance(connected, list) and connected else None
    if not isinstance(first, Mapping):
        return None, None
    local, remote = first.get("local_host"), first.get("remote_host")
    return local if isinstance(local, str) else None, remote if isinstance(remote, str) else None


def figures(document: Mapping[str, Any], opposite: bool = False) -> dict[str, float]:
    """The figures by the names that `Measurement` gives; empty where the document has no received rate.

    The rate is the receiver's: the bytes that it took after its own omitted seconds, over its own seconds.
    With `opposite`, of the other direction of a bidirectional test: from the server to the client.

    iperf3's round trips are in microseconds, of the sender alone; it writes 0 where it doesn't know one (as
    under -R). They are taken under load, hence not those of an idle path.
    """
    end, start = _mapping(document, "end"), _mapping(document, "start")
    suffix = "_bidir_reverse" if opposite else ""
    received, sent = _mapping(end, f"sum_received{suffix}"), _mapping(end, f"sum_sent{suffix}")
    both = _mapping(end, f"sum{suffix}")
    udp = _mapping(start, "test_start").get("protocol") == "UDP" or "packets" in both
    found: dict[str, float] = _packets(both, received, sent) if udp else {}
    rate = _number(received, "bits_per_second")
    if udp and not received and found.get("packets_sent"):
        # releases that have one sum for both sides: its bytes are those that were sent
        rate = _number(both, "bits_per_second")
        rate = None if rate is None else rate * (1 - found["loss_ratio"])
    if found.get("loss_ratio") == 1.0:
        return found
    if not rate:
        return {}
    found["bits_per_second"] = rate
    for name, value in (
        ("sent_bits_per_second", _number(sent, "bits_per_second")),
        ("mss_bytes", _number(start, "tcp_mss_default")),
    ):
        if value:
            found[name] = value
    retransmits = _number(sent, "retransmits")
    if retransmits is not None:
        found["retransmits"] = retransmits
    if not opposite:
        found |= _round_trips(end) | processors(document)
    return found


def _packets(
    both: Mapping[str, Any], received: Mapping[str, Any], sent: Mapping[str, Any]
) -> dict[str, float]:
    # 3.12 leaves the loss out of sum_sent: `sum` has the receiver's count
    counted = both or received
    packets, lost = _number(counted, "packets"), _number(counted, "lost_packets")
    total = _number(sent, "packets") or packets
    if not packets or lost is None or not total:
        return {}
    if received and not _number(received, "bytes"):
        # the receiver counts what is missing between packets that came: of none, it counts nothing
        return {"loss_ratio": 1.0, "packets_sent": total, "packets_lost": total}
    # duplicates can make it negative
    loss = min(1.0, max(0.0, lost / packets))
    found = {"loss_ratio": loss, "packets_sent": total, "packets_lost": max(0.0, lost)}
    jitter = _number(counted, "jitter_ms")
    if jitter is not None:
        found["jitter_seconds"] = jitter / 1000
    return found


def _round_trips(end: Mapping[str, Any]) -> dict[str, float]:
    streams = end.get("streams")
    senders = [_mapping(each, "sender") for each in streams] if isinstance(streams, list) else []
    # where the server sends, what stands here is the receiver's, and says nothing of the path
    senders = [each for each in senders if each.get("sender", True) is True]
    means = [value / 1e6 for value in (_number(each, "mean_rtt") for each in senders) if value]
    least = [value / 1e6 for value in (_number(each, "min_rtt") for each in senders) if value]
    found = {"rtt_seconds": statistics.median(means)} if means else {}
    return found | ({"rtt_seconds_min": min(least)} if least else {})


def processors(document: Mapping[str, Any]) -> dict[str, float]:
    """How much of a core iperf3 used at the end that sends and at the one that receives, in percent."""
    used = _mapping(_mapping(document, "end"), "cpu_utilization_percent")
    names = ["cpu_percent_source", "cpu_percent_destination"]
    if _mapping(_mapping(document, "start"), "test_start").get("reverse") == 1:
        names.reverse()
    values = [_number(used, "host_total"), _number(used, "remote_total")]
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def context(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the document has that explains the figures: names and units are in docs/netprobe.md."""
    start, end = _mapping(document, "start"), _mapping(document, "end")
    test = _mapping(start, "test_start")
    found: dict[str, Any] = {}
    if (version := release(document)) is not None:
        found["iperf3"] = version
    for name, value in (
        ("sender_congestion", end.get("sender_tcp_congestion")),
        ("receiver_congestion", end.get("receiver_tcp_congestion")),
    ):
        if isinstance(value, str):
            found[name] = value
    for name, value in (
        ("send_buffer_bytes", _number(start, "sndbuf_actual")),
        ("receive_buffer_bytes", _number(start, "rcvbuf_actual")),
        ("block_bytes", _number(test, "blksize")),
        ("path_mtu_bytes", _first_mtu(document)),
    ):
        if value:
            found[name] = int(value)
    intervals = document.get("intervals")
    sums = [_mapping(each, "sum") for each in intervals] if isinstance(intervals, list) else []
    omitted = [each for each in sums if each.get("omitted") is True]
    if omitted:
        found["omitted_intervals"] = len(omitted)
    if _mapping(end, "sum_received_bidir_reverse") or _mapping(end, "sum_bidir_reverse"):
        found["opposite"] = figures(document, opposite=True)
    return found


def _first_mtu(document: Mapping[str, Any]) -> float | None:
    intervals = document.get("intervals")
    first = intervals[0] if isinstance(intervals, list) and intervals else {}
    streams = _mapping({"first": first}, "first").get("streams")
    return _number(streams[0], "pmtu") if isinstance(streams, list) and streams else None


def _number(values: object, key: str) -> float | None:
    value = values.get(key) if isinstance(values, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # beyond 1e18 nothing here is a figure, and whole numbers of JSON have no end
    return float(value) if -1e18 < value < 1e18 else None


def _mapping(document: object, key: str) -> Mapping[str, Any]:
    value = document.get(key) if isinstance(document, Mapping) else None
    return value if isinstance(value, Mapping) else {}
