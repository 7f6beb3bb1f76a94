"""The fallback ladder: the nearest evidence of what a path carries, each rung wider and named.

A rung below "measured" also lowers the median: a path of which nothing is known is never preferred to a
measured one with the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from federation.errors import InputError
from federation.sites import Federation
from federation.units import parse_seconds
from netprobe.history import History
from netprobe.measurement import Kind, Measurement
from netprobe.transfer_model import DEFAULT_MSS_BYTES, sustained_bits_per_second
from netprobe.weights import (
    HALF_LIFE_SECONDS,
    LogSpread,
    age_weight,
    effective_count,
    log_spread,
    weighted_quantile,
)


class Rung(StrEnum):
    """The ladder: how near to the path itself the evidence is. Each rung down is wider than the one above."""

    SAME_SITE = "same-site"  # source and destination are one site: nothing crosses the network
    MEASURED = "measured"
    OTHER_DIRECTION = "other-direction"
    SITE_PATHS = "site-paths"  # other paths of the same two sites
    ROUND_TRIP = "round-trip"  # peers at a similar round-trip time
    DISTANCE = "distance"  # great-circle distance alone
    OUTSIDE = "outside"  # one end is no site of the federation: assumed


# Half-widths, in natural logarithm, from the median to the 10 % and the 90 % quantile.
# One test of a path: 18 %, as the spread within real series (coefficient of variation 7 % median, 22 % for
# the worst tenth) lets one expect; with more tests their own spread takes over.
FLOOR = 0.02
ONE_TEST = 0.16
# Old evidence drifts like a random walk: this much after one half-life, growing with the square root of age.
DRIFT = 0.10
DRIFT_AT_MOST = 0.8
# What each rung adds (as squares), and what it takes off the median. The two directions of real paths differ
# by a factor of 1.36 in the median and 3.1 at the 90 % quantile.
WIDTH = {Rung.OTHER_DIRECTION: 0.8, Rung.SITE_PATHS: 1.1, Rung.ROUND_TRIP: 1.4, Rung.DISTANCE: 2.3}
DISCOUNT = {Rung.OTHER_DIRECTION: 0.85, Rung.SITE_PATHS: 0.7, Rung.ROUND_TRIP: 0.6, Rung.DISTANCE: 1.0}
# Assumptions where nothing was measured at all.
DISTANCE_BITS_PER_SECOND = 50e6
LOCAL = LogSpread(2e9, math.log(2), math.log(4))  # a copy within a site: 1 to 8 Gbit/s
LOCAL_RTT_SECONDS = 0.0002
# Peers are at a similar round trip if neither is more than this factor from the other.
SIMILAR_ROUND_TRIP = 1.6
# Light in fibre, and how much longer cables are than the great circle; the rest is routers and last miles.
FIBRE_METRES_PER_SECOND = 2e8
DETOUR = 1.5
ROUTERS_SECONDS = 0.004


@dataclass(frozen=True)
class RoundTrip:
    """Round-trip time of a path; measured, or estimated from the distance."""

    seconds: float
    measured: bool


@dataclass(frozen=True)
class Evidence:
    """What is known of a path's rate (bit/s): on which rung, from which tests, of how many paths."""

    rung: Rung
    rate: LogSpread
    tests: tuple[Measurement, ...] = ()
    paths: int = 0


def climb(history: History, federation: Federation, source: str, destination: str, now: datetime) -> Evidence:
    """The evidence on the highest rung that has any. There always is one: the last assumes."""
    if source == destination:
        return Evidence(Rung.SAME_SITE, LOCAL)
    rtt = round_trip(history, federation, source, destination, now)
    own = measured(history, source, destination, rtt.seconds, now)
    if own is not None:
        return own
    back = measured(history, destination, source, rtt.seconds, now)
    if back is not None:
        return _lowered(Rung.OTHER_DIRECTION, back.rate, back.tests, 1)
    return (
        _site_paths(history, federation, source, destination, now)
        or _similar_round_trip(history, federation, rtt, now)
        or _lowered(Rung.DISTANCE, LogSpread(DISTANCE_BITS_PER_SECOND, 0.0, 0.0), (), 0)
    )


def measured(
    history: History, source: str, destination: str, rtt_seconds: float, now: datetime
) -> Evidence | None:
    """The path's own tests, weighted by age; None where none succeeded."""
    tests = usable(history.path(Kind.THROUGHPUT, source, destination))
    if not tests:
        return None
    ages = [(now - test.started).total_seconds() for test in tests]
    weights = [age_weight(age) for age in ages]
    rates = [_single_stream_rate(test, rtt_seconds) for test in tests]
    drift = min(DRIFT * math.sqrt(max(min(ages), 0.0) / HALF_LIFE_SECONDS), DRIFT_AT_MOST)
    rate = log_spread(rates, weights).at_least(FLOOR + ONE_TEST / effective_count(weights)).widened(drift)
    if streams(tests[0]) > 1:
        # only tests of several streams: an upper bound for one
        rate = rate.widened(0.5)
    return Evidence(Rung.MEASURED, rate, tuple(tests), 1)


def usable(tests: Sequence[Measurement]) -> list[Measurement]:
    """Successful TCP tests with a rate; those of one stream where there are any."""
    good = [
        test
        for test in tests
        if test.succeeded and test.figures.get("bits_per_second", 0.0) > 0 and not _udp(test)
    ]
    return [test for test in good if streams(test) == 1] or good


def streams(test: Measurement) -> int:
    """How many parallel connections a test used."""
    return int(test.parameters.get("streams") or test.parameters.get("parallel") or 1)


def round_trip(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> RoundTrip:
    """Median round trip of the path (either direction: it is the same), else estimated from the distance."""
    if source == destination:
        return RoundTrip(LOCAL_RTT_SECONDS, False)
    # an iperf3 test times round trips under its own load: its smallest one is the nearest to a ping's median
    for kind, names in (
        (Kind.LATENCY, ("rtt_seconds", "rtt_seconds_min")),
        (Kind.THROUGHPUT, ("rtt_seconds_min", "rtt_seconds")),
    ):
        both = [*history.path(kind, source, destination), *history.path(kind, destination, source)]
        found = [(test, _figure(test, names)) for test in both if test.succeeded]
        timed = [
            (value, age_weight((now - test.started).total_seconds())) for test, value in found if value > 0
        ]
        if timed:
            values, weights = zip(*timed, strict=True)
            return RoundTrip(weighted_quantile(values, weights, 0.5), True)
    return RoundTrip(_distance_rtt(federation, source, destination), False)


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


def _site_paths(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> Evidence | None:
    """Other paths out of the source and into the destination: the slower side's median, all paths' spread."""
    others = _measured_paths(history, federation, now)
    leaving = [found for (start, _), found in others.items() if start == source]
    arriving = [found for (_, end), found in others.items() if end == destination]
    sides = [_pool(side) for side in (leaving, arriving) if side]
    if not sides:
        return None
    slower = min(sides, key=lambda side: side.median)
    pooled = [*leaving, *arriving]
    tests = tuple(test for found in pooled for test in found.tests)
    return _lowered(Rung.SITE_PATHS, slower, tests, len(pooled))


def _similar_round_trip(
    history: History, federation: Federation, rtt: RoundTrip, now: datetime
) -> Evidence | None:
    """Paths of other sites whose round trip is like this one's; None unless this one's was measured."""
    if not rtt.measured:
        return None
    peers = []
    for (source, destination), found in _measured_paths(history, federation, now).items():
        peer = round_trip(history, federation, source, destination, now)
        if abs(math.log(peer.seconds / rtt.seconds)) <= math.log(SIMILAR_ROUND_TRIP):
            peers.append(found)
    if not peers:
        return None
    tests = tuple(test for found in peers for test in found.tests)
    return _lowered(Rung.ROUND_TRIP, _pool(peers), tests, len(peers))


def _measured_paths(
    history: History, federation: Federation, now: datetime
) -> dict[tuple[str, str], Evidence]:
    found = {}
    for source, destination in history.paths(Kind.THROUGHPUT):
        rtt = round_trip(history, federation, source, destination, now)
        evidence = measured(history, source, destination, rtt.seconds, now)
        if evidence is not None and source != destination:
            found[source, destination] = evidence
    return found


def _pool(paths: Sequence[Evidence]) -> LogSpread:
    """The spread over paths, each counting once by its median, however many tests it has."""
    rates = [found.rate.median for found in paths]
    return log_spread(rates, [1.0] * len(rates))


def _lowered(rung: Rung, rate: LogSpread, tests: tuple[Measurement, ...], paths: int) -> Evidence:
    return Evidence(rung, rate.widened(WIDTH[rung]).scaled(DISCOUNT[rung]), tests, paths)


def _single_stream_rate(test: Measurement, rtt_seconds: float) -> float:
    """The rate after slow start, as far as the test still contains some of it."""
    rate = test.figures["bits_per_second"]
    if streams(test) > 1:
        return rate
    omitted = _seconds_parameter(test, "omit", "omit_seconds")
    duration = _seconds_parameter(test, "duration", "duration_seconds") or max(test.seconds - omitted, 0.0)
    segment = test.figures.get("mss_bytes", 0.0) or DEFAULT_MSS_BYTES
    return sustained_bits_per_second(rate, omitted, duration, rtt_seconds, segment)


def _seconds_parameter(test: Measurement, *names: str) -> float:
    """A duration among the test's parameters, in seconds or as text ("3 s"); 0 where there is none."""
    for name in names:
        value = test.parameters.get(name)
        if isinstance(value, str):
            try:
                return parse_seconds(value)
            except InputError:
                continue
        if isinstance(value, int | float):
            return float(value)
    return 0.0


def _udp(test: Measurement) -> bool:
    return bool(test.parameters.get("udp")) or test.parameters.get("protocol") == "udp"


def _figure(test: Measurement, names: Sequence[str]) -> float:
    return next((test.figures[name] for name in names if test.figures.get(name, 0.0) > 0), 0.0)


def _distance_rtt(federation: Federation, source: str, destination: str) -> float:
    """2 * distance * 1.5 / (2e8 m/s) plus 4 ms; the Earth's quarter where a site isn't in the catalogue."""
    first, second = federation.sites.get(source), federation.sites.get(destination)
    metres = first.place.distance_metres(second.place) if first and second else 10_000_000.0
    return 2 * metres * DETOUR / FIBRE_METRES_PER_SECOND + ROUTERS_SECONDS
