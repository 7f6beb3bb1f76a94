"""A path's round-trip time and segment size: measured, or estimated from where its ends are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import cast

from federation.sites import Federation
from netprobe.history import History
from netprobe.measurement import Kind, Measurement
from netprobe.transfer_model import DEFAULT_MSS_BYTES
from netprobe.weights import age_weight, weighted_quantile

LOCAL_RTT_SECONDS = 0.0002
# So many tests of each direction are looked at.
NEWEST = 20
# Light in fibre, and how much longer cables are than the great circle; the rest is routers and last miles.
FIBRE_METRES_PER_SECOND = 2e8
DETOUR = 1.5
ROUTERS_SECONDS = 0.004


@dataclass(frozen=True)
class RoundTrip:
    """Round-trip time of a path; measured, or estimated from the distance."""

    seconds: float
    measured: bool


def round_trip(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> RoundTrip:
    """Median round trip of the path (either direction: it is the same), else estimated from the distance."""
    if source == destination:
        return RoundTrip(LOCAL_RTT_SECONDS, False)
    # once for a history: as time passes, all weights fade alike
    key = ("round trip", *sorted((source, destination)))
    if key not in history.memo:
        history.memo[key] = _measured(history, source, destination, now)
    found = cast("float | None", history.memo[key])
    if found is not None:
        return RoundTrip(found, True)
    return RoundTrip(_distance_rtt(federation, source, destination), False)


def _measured(history: History, source: str, destination: str, now: datetime) -> float | None:
    # an iperf3 test times round trips under its own load: its smallest one is the nearest to a ping's median
    for kind, names in (
        (Kind.LATENCY, ("rtt_seconds", "rtt_seconds_min")),
        (Kind.THROUGHPUT, ("rtt_seconds_min", "rtt_seconds")),
    ):
        timed = [
            (value, age_weight((now - test.started).total_seconds()))
            for path in ((source, destination), (destination, source))
            for test, value in _newest(history.path(kind, *path), names)
        ]
        if timed:
            values, weights = zip(*timed, strict=True)
            return weighted_quantile(values, weights, 0.5)
    return None


def _newest(tests: Sequence[Measurement], names: Sequence[str]) -> Iterator[tuple[Measurement, float]]:
    timed = ((test, _figure(test, names)) for test in tests if test.succeeded)
    return islice(((test, value) for test, value in timed if value > 0), NEWEST)


def segment_bytes(history: History, source: str, destination: str) -> float:
    """Maximum segment size of the newest test of the path, either direction; 1448 bytes where none says."""
    both = [
        *history.path(Kind.THROUGHPUT, source, destination),
        *history.path(Kind.THROUGHPUT, destination, source),
    ]
    sizes = [
        (test.started, test.figures["mss_bytes"]) for test in both if test.figures.get("mss_bytes", 0.0) > 0
    ]
    return max(sizes)[1] if sizes else DEFAULT_MSS_BYTES


def _figure(test: Measurement, names: Sequence[str]) -> float:
    return next((test.figures[name] for name in names if test.figures.get(name, 0.0) > 0), 0.0)


def _distance_rtt(federation: Federation, source: str, destination: str) -> float:
    """2 * distance * 1.5 / (2e8 m/s) plus 4 ms; the Earth's quarter where a site isn't in the catalogue."""
    first, second = federation.sites.get(source), federation.sites.get(destination)
    metres = first.place.distance_metres(second.place) if first and second else 10_000_000.0
    return 2 * metres * DETOUR / FIBRE_METRES_PER_SECOND + ROUTERS_SECONDS
