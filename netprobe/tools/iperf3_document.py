"""What iperf3's JSON document says (3.0 to 3.21): the figures, or which side failed and why."""

from __future__ import annotations

import ipaddress
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# kept of the document: the intervals grow with streams and time, and nothing here reads them
KEPT = ("start", "end", "error")


@dataclass(frozen=True)
class Sides:
    """The words for the two ends of a test in an error: "source perth", "destination lausanne"."""

    client: str
    server: str
    address: str
    port: int
    connect_seconds: float
    congestion: str | None = None


def parse(text: str) -> dict[str, Any]:
    """The document in `text`, or an empty one where there is none."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def worth_another_try(document: Mapping[str, Any], attempts: int) -> bool:
    """Whether the server turned us away for a reason that passes; `attempts` have been made.

    It says when it is busy with another test. But after each test it closes its port for a moment and opens
    it anew: who comes just then is refused, or has the connection reset.
    """
    error = str(document.get("error", "")).lower()
    if "server is busy" in error:
        return True
    return attempts < 3 and not began(document) and _any(error, "refused", "reset")


def began(document: Mapping[str, Any]) -> bool:
    """Whether data had begun to flow."""
    return bool(document.get("intervals"))


def trimmed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without its intervals."""
    return {key: document[key] for key in KEPT if key in document}


def addresses(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The addresses of client and server, as the first connection had them."""
    connected = _mapping(document, "start").get("connected") or [{}]
    return connected[0].get("local_host"), connected[0].get("remote_host")


def figures(document: Mapping[str, Any]) -> dict[str, float]:
    """The figures by the names that `Measurement` gives; empty where the document has no received rate.

    iperf3's round trips are in microseconds, of the sender alone; it writes 0 where it doesn't know one (as
    under -R). They are taken under load, hence not those of an idle path.
    """
    end, start = _mapping(document, "end"), _mapping(document, "start")
    received, sent = _mapping(end, "sum_received"), _mapping(end, "sum_sent")
    if not received.get("bytes"):
        return {}
    found = {"bits_per_second": float(received["bits_per_second"])}
    if sent.get("bytes"):
        found["sent_bits_per_second"] = float(sent["bits_per_second"])
    if "retransmits" in sent:
        found["retransmits"] = float(sent["retransmits"])
    if start.get("tcp_mss_default"):
        found["mss_bytes"] = float(start["tcp_mss_default"])
    if "sum" in end and end["sum"].get("packets"):
        # 3.12 leaves the loss out of sum_sent: `sum` has the receiver's count
        found["loss_ratio"] = float(end["sum"]["lost_packets"]) / float(end["sum"]["packets"])
    senders = [_mapping(stream, "sender") for stream in end.get("streams") or []]
    means = [sender["mean_rtt"] / 1e6 for sender in senders if sender.get("mean_rtt")]
    least = [sender["min_rtt"] / 1e6 for sender in senders if sender.get("min_rtt")]
    if means:
        found["rtt_seconds"] = statistics.median(means)
    if least:
        found["rtt_seconds_min"] = min(least)
    return found


def explain(message: str, sides: Sides) -> str:
    """One line that says which side failed, and why, from iperf3's own `message`.

    The texts changed between releases (3.14 adds guesses of its own), so they are matched loosely.
    """
    where = f"{sides.address}:{sides.port}"
    low = message.lower()
    if "refused" in low:
        return f"{sides.server}: connection refused at {where}, no iperf3 server listens there"
    if "busy" in low:
        return f"{sides.server}: the iperf3 server at {where} is busy with another test"
    if _any(low, "control socket has closed", "server has terminated", "connection reset", "broken pipe"):
        return f"{sides.server}: the iperf3 server at {where} vanished during the test"
    if _any(low, "no route to host", "network is unreachable"):
        return f"{sides.client}: no route to {where} ({message.rpartition(': ')[2]})"
    if "congestion" in low:
        return f"{sides.client}: no congestion control {sides.congestion!r} on this host"
    if "unable to connect" in low or "name or service" in low or "name resolution" in low:
        # 3.12 gives any errno that was left over where a name can't be resolved
        if not _is_address(sides.address):
            return f"{sides.client}: the name {sides.address!r} of the {sides.server} can't be resolved"
        if _any(low, "timed out", "in progress", "temporarily unavailable"):
            return f"{sides.server}: no answer from {where} within {sides.connect_seconds:g} s"
    return f"{sides.client}: iperf3 to {where}: {message}"


def _any(text: str, *parts: str) -> bool:
    return any(part in text for part in parts)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}
