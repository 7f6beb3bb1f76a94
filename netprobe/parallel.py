"""How much more several streams carry than one: over a path that one fills nothing, over one whose window or
losses hold each stream down several times as much, up to what the path carries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from netprobe.history import History
from netprobe.measured import streams
from netprobe.measurement import Kind, Measurement
from netprobe.weights import age_weight, weighted_quantile

# A stream that gets this part of its window a round trip is held down by the window.
WINDOW_LIMITED = 0.7
# Linux gives the window half of a socket's buffer (net.ipv4.tcp_adv_win_scale = 1).
WINDOW_OF_BUFFER = 0.5


def stream_gain(history: History, source: str, destination: str, now: datetime) -> float:
    """Rate of several streams together over that of one, at least 1.

    By tests of the path with several streams beside those with one (medians that fade with age): never more
    than was measured. Without such, where a single stream fills its window (rate = window / round trip), up
    to the best rate that was measured from the source or to the destination; 1 where neither is known.
    """
    key = ("gain", source, destination)
    if key not in history.memo:
        history.memo[key] = _gain(history, source, destination, now)
    return float(history.memo[key])


def _gain(history: History, source: str, destination: str, now: datetime) -> float:
    rates: dict[int, list[tuple[float, float]]] = defaultdict(list)
    tests = [test for test in history.path(Kind.THROUGHPUT, source, destination) if _rated(test)]
    for test in tests:
        weight = age_weight((now - test.started).total_seconds())
        rates[streams(test)].append((test.figures["bits_per_second"], weight))
    medians = {
        count: weighted_quantile([rate for rate, _ in some], [weight for _, weight in some], 0.5)
        for count, some in rates.items()
    }
    single = medians.pop(1, None)
    if single is None:
        return 1.0
    if medians:
        return max(max(medians.values()) / single, 1.0)
    limits = [limit for test in tests if (limit := _window_rate(test)) is not None]
    if not limits or single < WINDOW_LIMITED * min(limits):
        return 1.0
    beside = [
        test.figures["bits_per_second"]
        for one, other in history.paths(Kind.THROUGHPUT)
        if one == source or other == destination
        for test in history.path(Kind.THROUGHPUT, one, other)
        if _rated(test)
    ]
    return max(max(beside, default=0.0) / single, 1.0)


def _rated(test: Measurement) -> bool:
    udp = test.parameters.get("udp") or test.parameters.get("protocol") == "udp"
    return test.succeeded and not udp and test.figures.get("bits_per_second", 0.0) > 0


def _window_rate(test: Measurement) -> float | None:
    """Bits per second at which a single stream fills the largest window that both ends allow."""
    trip = test.figures.get("rtt_seconds_min") or test.figures.get("rtt_seconds") or 0.0
    largest = [
        size
        for end, name in (("source", "tcp_wmem"), ("destination", "tcp_rmem"))
        if (size := _largest(test.context.get(end), name)) is not None
    ]
    if streams(test) > 1 or trip <= 0 or not largest:
        return None
    return min(largest) * WINDOW_OF_BUFFER * 8 / trip


def _largest(end: Any, name: str) -> float | None:
    """The largest buffer of "least default largest", as the system's setting has it."""
    text = str(end.get(name, "")) if isinstance(end, Mapping) else ""
    last = text.split()[-1:] or [""]
    return float(last[0]) if last[0].isdigit() else None
