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
from itertools import pairwise
from statistics import median
from typing import cast

from federation.errors import InputError
from federation.sites import Federation
from federation.units import parse_seconds
from netprobe.bank import BANK
from netprobe.conformal import Interval, Miss, Pool, calibrate
from netprobe.history import History
from netprobe.measurement import Kind, Measurement
from netprobe.transfer_model import DEFAULT_MSS_BYTES, sustained_bits_per_second
from netprobe.walk import LEAST_SCORED, Walk, walk
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
# Nothing repeats more exactly than this.
CALIBRATED_FLOOR = 0.01
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
class Choice:
    """The forecaster that a path got: its name, its mean error (natural logarithm) over `scored` past
    forecasts, and when the path's present level began (None: it always was)."""

    name: str
    error: float
    scored: int
    changed: datetime | None

    @property
    def chosen(self) -> bool:
        """Whether the history was long enough to choose."""
        return self.scored >= LEAST_SCORED


@dataclass(frozen=True)
class Track:
    """A path's usable tests, newest first, and what going through them taught."""

    tests: tuple[Measurement, ...]
    walk: Walk

    def median(self, when: datetime) -> float:
        """The rate (bit/s) to expect at `when`, by the tests until then."""
        return math.exp(self.walk.at(when.timestamp()).value)


@dataclass(frozen=True)
class Evidence:
    """What is known of a path's rate (bit/s): on which rung, from which tests, of how many paths."""

    rung: Rung
    rate: LogSpread
    tests: tuple[Measurement, ...] = ()
    paths: int = 0
    # of a measured path: how it was forecast, and whose errors made the interval (None: too few anywhere)
    choice: Choice | None = None
    interval: Interval | None = None
    # half-width (natural logarithm) that the age of the newest test adds
    drift: float = 0.0


def climb(history: History, federation: Federation, source: str, destination: str, now: datetime) -> Evidence:
    """The evidence on the highest rung that has any. There always is one: the last assumes."""
    if source == destination:
        return Evidence(Rung.SAME_SITE, LOCAL)
    own = measured(history, federation, source, destination, now)
    if own is not None:
        return own
    rtt = round_trip(history, federation, source, destination, now)
    back = measured(history, federation, destination, source, now)
    if back is not None:
        return _lowered(Rung.OTHER_DIRECTION, back.rate, back.tests, 1)
    return (
        _site_paths(history, federation, source, destination, now)
        or _similar_round_trip(history, federation, rtt, now)
        or _lowered(Rung.DISTANCE, LogSpread(DISTANCE_BITS_PER_SECOND, 0.0, 0.0), (), 0)
    )


def measured(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> Evidence | None:
    """What the path's own tests say; None where none succeeded.

    The forecaster that was best on the path so far, with an interval by its past errors; where those are too
    few by those of other paths, and where there are none by the spread of the tests under weights that fade
    with age.
    """
    found = track(history, federation, source, destination, now)
    if found is None:
        return None
    said = found.walk.at(now.timestamp())
    tests = found.tests[: len(found.tests) - said.first]
    ages = [max((now - test.started).total_seconds(), 0.0) for test in tests]
    count = effective_count([age_weight(age) for age in ages])
    interval = calibrate(
        found.walk.misses,
        lambda: _misses(history, federation, now, {source, destination}, (source, destination)),
        lambda: _misses(history, federation, now, None, (source, destination)),
    )
    if interval is None:
        drift = _drift(min(ages))
        weights = [age_weight(age) for age in ages]
        rates = [math.exp(value) for value in reversed(found.walk.values[said.first :])]
        rate = log_spread(rates, weights).at_least(FLOOR + ONE_TEST / count)
    elif interval.pool is Pool.PATH:
        # its errors were made at its usual spacing of tests already
        drift = _drift(min(ages) - _spacing(found.walk.times))
        rate = interval.around(1.0).at_least(CALIBRATED_FLOOR)
    else:
        # a forecast from few tests has their error, too
        drift = _drift(min(ages))
        few = math.sqrt(1 + 1 / count)
        rate = LogSpread(1.0, interval.below * few, interval.above * few).at_least(FLOOR)
    rate = LogSpread(math.exp(said.value), rate.below, rate.above).widened(drift)
    if streams(tests[0]) > 1:
        # only tests of several streams: an upper bound for one
        rate = rate.widened(0.5)
    starts = found.walk.starts
    changed = found.tests[len(found.tests) - 1 - starts[-1]].started if starts else None
    choice = Choice(BANK[said.member].name, found.walk.errors[said.member], found.walk.scored, changed)
    return Evidence(Rung.MEASURED, rate, tests, 1, choice, interval, drift)


def track(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> Track | None:
    """The path's tests and what going through them taught, worked out once for a history; None for no
    tests."""
    key = ("track", source, destination)
    if key not in history.memo:
        tests = usable(history.path(Kind.THROUGHPUT, source, destination))
        rtt = round_trip(history, federation, source, destination, now).seconds
        times = tuple(test.started.timestamp() for test in reversed(tests))
        values = tuple(math.log(_single_stream_rate(test, rtt)) for test in reversed(tests))
        history.memo[key] = Track(tuple(tests), walk(times, values)) if tests else None
    return cast("Track | None", history.memo[key])


def _misses(
    history: History,
    federation: Federation,
    now: datetime,
    sites: set[str] | None,
    but: tuple[str, str],
) -> list[Miss]:
    """Errors of the forecasts of other paths: of those with an end in `sites`, or of all."""
    found: list[Miss] = []
    for source, destination in history.paths(Kind.THROUGHPUT):
        near = sites is None or source in sites or destination in sites
        if near and source != destination and (source, destination) != but:
            other = track(history, federation, source, destination, now)
            found += other.walk.misses if other else ()
    return found


def _drift(seconds: float) -> float:
    return min(DRIFT * math.sqrt(max(seconds, 0.0) / HALF_LIFE_SECONDS), DRIFT_AT_MOST)


def _spacing(times: Sequence[float]) -> float:
    """The usual time between tests; 0 for a single one."""
    return median([after - before for before, after in pairwise(times)]) if len(times) > 1 else 0.0


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
        evidence = measured(history, federation, source, destination, now)
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
