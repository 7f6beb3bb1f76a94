"""How a test was made: what must be alike before two rates are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from federation.units import parse_bits_per_second, parse_seconds, parse_size_bytes
from netprobe.likeness import number

# what iperf3 does where nobody says how long
_DEFAULT_SECONDS = 10.0
# and our own ping
_PINGS = 20.0


class Quantity(StrEnum):
    """What is compared."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    LOSS = "loss"


class Side(StrEnum):
    """Whose tests: our scripts', or the perfSONAR mesh's (its archives and its pScheduler)."""

    SCRIPTED = "scripted"
    MESH = "mesh"

    @property
    def other(self) -> Side:
        return Side.MESH if self is Side.SCRIPTED else Side.SCRIPTED


@dataclass(frozen=True)
class Way:
    """One way of testing; None where it isn't known."""

    tool: str
    protocol: str | None = None
    streams: int = 1
    ip_version: int | None = None
    duration_seconds: float | None = None
    omit_seconds: float = 0.0
    # "received" or "sent"
    rate: str | None = None
    window_bytes: float | None = None
    target_bits_per_second: float | None = None
    congestion: str | None = None
    # run from the receiving end, or both ways at once
    reverse: bool = False
    bidirectional: bool = False
    # "mean" where an archive has no median
    round_trip: str | None = None
    # packets of a test of latency
    count: float | None = None
    client: str | None = None
    server: str | None = None

    @property
    def key(self) -> tuple[str | None, int, int | None]:
        """What tells series apart: rates of one stream and of eight are two quantities."""
        return self.protocol, self.streams, self.ip_version


def way(quantity: Quantity, tool: str, parameters: Mapping[str, Any], context: Mapping[str, Any]) -> Way:
    """The way that a row's parameters and context tell: those of plans and those of pulled rows."""
    version = str(parameters.get("ip_version", ""))
    common: dict[str, Any] = {
        "tool": tool,
        "ip_version": int(version) if version in ("4", "6") else None,
        "client": _text(context.get("iperf3") or context.get("ping")),
        "server": _text(context.get("server_iperf3")),
    }
    if quantity is not Quantity.THROUGHPUT:
        count = number(parameters, float, "count") or (_PINGS if tool == "ping" else None)
        return Way(**common, round_trip=_text(parameters.get("rtt")), count=count)
    udp = parameters.get("udp") is True or parameters.get("protocol") == "udp"
    congestion = context.get("sender_congestion") or parameters.get("congestion")
    return Way(
        **common,
        protocol="udp" if udp else "tcp",
        streams=int(number(parameters, float, "streams", "parallel") or 1),
        duration_seconds=number(parameters, parse_seconds, "duration_seconds", "duration")
        or _DEFAULT_SECONDS,
        omit_seconds=number(parameters, parse_seconds, "omit_seconds", "omit") or 0.0,
        rate=_text(parameters.get("rate")),
        window_bytes=number(parameters, parse_size_bytes, "window_bytes", "window"),
        target_bits_per_second=number(
            parameters, parse_bits_per_second, "target_bits_per_second", "bitrate", "fq_rate"
        ),
        congestion=_text(congestion),
        reverse=parameters.get("reverse") is True,
        bidirectional=parameters.get("bidirectional") is True,
    )


def _text(value: object) -> str | None:
    return value[:64] if isinstance(value, str) and value else None


def single_threaded(version: str | None) -> bool:
    """Whether that release of iperf3 has one thread for all streams: those before 3.16."""
    parts = (version or "").split(".")
    try:
        return (int(parts[0]), int(parts[1])) < (3, 16)
    except (IndexError, ValueError):
        return False
