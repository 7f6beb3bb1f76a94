"""How much more several streams carry than one: over a path that one fills nothing, over one whose window or
losses hold each stream down several times as much, up to what the path carries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from netprobe.history import History
from netprobe.likeness import sort_of, streams
from netprobe.measured import rated
from netprobe.measurement import Kind, Measurement
from netprobe.mover_batch import WORKERS
from netprobe.weights import age_weight, weighted_quantile

# A stream that gets this part of its window a round trip is held down by the window.
WINDOW_LIMITED = 0.7
# Linux gives the window half of a socket's buffer (net.ipv4.tcp_adv_win_scale = 1).
WINDOW_OF_BUFFER = 0.5
# Transfers of several files say what several streams carry where they are as many, and as long, as this.
LEAST_TRANSFERS = 3
LEAST_SECONDS = 2.0


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
    tests = _alike(history, source, destination)
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
    moved = _of_transfers(history, source, destination, single, now)
    if moved is not None:
        return moved
    limits = [limit for test in tests if (limit := _window_rate(test)) is not None]
    if not limits or single < WINDOW_LIMITED * min(limits):
        return 1.0
    beside = [
        test.figures["bits_per_second"]
        for one, other in history.paths(Kind.THROUGHPUT)
        if one == source or other == destination
        for test in rated(history.path(Kind.THROUGHPUT, one, other))
    ]
    return max(max(beside, default=0.0) / single, 1.0)


def _alike(history: History, source: str, destination: str) -> list[Measurement]:
    """The path's tests of however many streams, newest first, of the sort that is most like a transfer."""
    tests = rated(history.path(Kind.THROUGHPUT, source, destination))
    # a test with a window tells its own round trips, or nobody can say whether that held it down
    sorts = [replace(sort_of(test, _trip(test)), several=False) for test in tests]
    best = min(sorts, default=None)
    return [test for test, sort in zip(tests, sorts, strict=True) if sort == best]


def _of_transfers(
    history: History, source: str, destination: str, single: float, now: datetime
) -> float | None:
    """By what transfers of several files carried; None where these are too few."""
    found = [
        (figures["size_bytes"] * 8 / figures["seconds"] / single, (now - one.started).total_seconds())
        for one in history.path(Kind.TRANSFER, source, destination)
        if one.succeeded
        and (figures := one.figures).get("files", 1.0) >= WORKERS
        # shorter ones are slow start and round trips
        and figures.get("seconds", 0.0) >= LEAST_SECONDS
    ]
    if len(found) < LEAST_TRANSFERS:
        return None
    weights = [age_weight(age) for _, age in found]
    return max(weighted_quantile([gain for gain, _ in found], weights, 0.5), 1.0)


def _trip(test: Measurement) -> float:
    return test.figures.get("rtt_seconds_min") or test.figures.get("rtt_seconds") or 0.0


def _window_rate(test: Measurement) -> float | None:
    """Bits per second at which a single stream fills the largest window that both ends allow."""
    trip = _trip(test)
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
