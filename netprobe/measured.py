"""What a path's own tests say of its rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import cast

from federation.sites import Federation
from federation.units import parse_seconds
from netprobe.bank import BANK
from netprobe.conformal import Interval, Miss, Pool, calibrate, of_path
from netprobe.evidence import Choice, Evidence, Rung
from netprobe.history import History
from netprobe.likeness import PLAIN, Sort, alike, newest_alike, number, offsets, sort_of, streams
from netprobe.measurement import Kind, Measurement
from netprobe.round_trips import round_trip
from netprobe.transfer_model import DEFAULT_MSS_BYTES, sustained_bits_per_second
from netprobe.walk import Said, Walk, walk
from netprobe.weights import HALF_LIFE_SECONDS, LogSpread, age_weight, effective_count, log_spread

# Half-widths, in natural logarithm, from the median to the 10 % and the 90 % quantile.
# One test of a path: 18 %, as the spread within real series (coefficient of variation 7 % median, 22 % for
# the worst tenth) lets one expect; with more tests their own spread takes over.
FLOOR = 0.02
ONE_TEST = 0.16
# Nothing repeats more exactly than this: one segment more or less among the thousand of a short test.
CALIBRATED_FLOOR = 0.001
# Old evidence drifts like a random walk: this much after one half-life, growing with the square root of age.
DRIFT = 0.10
DRIFT_AT_MOST = 0.8
# A test that is dated further ahead than this was dated by a wrong clock, or ours is wrong. A clock without
# NTP loses seconds a day; the wrong time zone is off by a quarter of an hour at least.
AHEAD = timedelta(minutes=10)
# Tests of two sorts are compared where they were made no longer apart than this.
NEAR = timedelta(seconds=HALF_LIFE_SECONDS)


@dataclass(frozen=True)
class Track:
    """A path's usable tests, newest first, and what going through them taught. `ahead` tests are dated in the
    future: those are left out, unless there are no others."""

    tests: tuple[Measurement, ...]
    walk: Walk
    ahead: int
    # the sort that most of the tests are, and how many times its rate those of other sorts give
    sort: Sort = PLAIN
    offsets: Mapping[Sort, LogSpread] = field(default_factory=dict)
    # tests of other sorts that are left out, and how far the newest of those is off that stand in
    unlike: int = 0
    doubt: LogSpread | None = None

    def median(self, when: datetime) -> float:
        """The rate (bit/s) to expect at `when`, by the tests until then."""
        return math.exp(self.walk.at(when.timestamp()).value)

    def at(self, now: datetime) -> Said:
        """What to expect now, by all tests: one that is dated a little ahead has just been made."""
        return self.walk.at(max(now.timestamp(), self.walk.times[-1]))

    def offset(self, test: Measurement, rtt_seconds: float) -> LogSpread | None:
        """How many times the rate that is forecast tests like this one give; None where they are of that
        sort, or nothing is known of theirs."""
        return self.offsets.get(sort_of(test, rtt_seconds))

    def since_change(self, said: Said) -> tuple[Measurement, ...]:
        """The tests from which that was said, newest first."""
        return self.tests[: len(self.tests) - said.first]


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
    said = found.at(now)
    tests = found.since_change(said)
    ages = [max((now - test.started).total_seconds(), 0.0) for test in tests]
    interval = calibrate(
        found.walk.misses,
        lambda: _misses(history, federation, now, {source, destination}, (source, destination)),
        lambda: _misses(history, federation, now, None, (source, destination)),
    )
    # the path's own errors were made after its usual gaps between tests already
    gap = _usual_gap(found.walk.times) if interval and interval.pool is Pool.PATH else 0.0
    drifted = drift(min(ages) - gap)
    error = _error(found, said, interval, ages)
    rate = LogSpread(math.exp(said.value), error.below, error.above).widened(drifted)
    starts = found.walk.starts
    changed = found.tests[len(found.tests) - 1 - starts[-1]].started if starts else None
    choice = Choice(BANK[said.member].name, found.walk.errors[said.member], found.walk.scored, changed)
    return Evidence(
        Rung.MEASURED,
        rate,
        tests,
        1,
        choice,
        interval,
        drifted,
        ahead=found.ahead,
        sort=found.sort,
        unlike=found.unlike,
        stand_in=found.doubt is not None,
    )


def usual_error(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> LogSpread | None:
    """How wrong forecasts of the path's rate are by its own tests alone, without what their age adds (only
    the half-widths count); None for no tests. Worked out once for a history."""
    found = track(history, federation, source, destination, now)
    if found is None:
        return None
    key = ("usual error", source, destination)
    if key not in history.memo:
        said = found.at(now)
        ages = [max((now - test.started).total_seconds(), 0.0) for test in found.since_change(said)]
        history.memo[key] = _error(found, said, of_path(found.walk.misses), ages)
    return cast("LogSpread", history.memo[key])


def _error(found: Track, said: Said, interval: Interval | None, ages: Sequence[float]) -> LogSpread:
    """How far the next test will be from what is said of it, but for the age of the tests."""
    weights = [age_weight(age) for age in ages]
    count = effective_count(weights)
    if interval is None:
        rates = [math.exp(value) for value in reversed(found.walk.values[said.first :])]
        error = log_spread(rates, weights).at_least(FLOOR + ONE_TEST / count)
    elif interval.pool is Pool.PATH:
        error = interval.around(1.0).at_least(CALIBRATED_FLOOR)
    else:
        # a forecast from few tests has their error, too
        few = math.sqrt(1 + 1 / count)
        error = LogSpread(1.0, interval.below * few, interval.above * few).at_least(FLOOR)
    if found.doubt is not None:
        error = error.widened(max(found.doubt.below, found.doubt.above))
    if found.sort.several:
        # only tests of several streams: an upper bound for one
        error = error.widened(0.5)
    return error


def track(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> Track | None:
    """The path's tests and what going through them taught, worked out once for a history; None for no
    tests."""
    # the time matters only by which tests it leaves in the future
    key = ("track", source, destination, _dated_ahead(history, source, destination, now))
    if key not in history.memo:
        history.memo[key] = _track(history, federation, source, destination, now)
    return cast("Track | None", history.memo[key])


def _track(
    history: History, federation: Federation, source: str, destination: str, now: datetime
) -> Track | None:
    every, ahead = usable_of(history, source, destination, now)
    if not every:
        return None
    trip = round_trip(history, federation, source, destination, now).seconds
    found = alike(every, trip)
    sort, own, tests = found.sort, found.own, found.with_stand_ins
    rates = {test.id: math.log(_single_stream_rate(test, trip)) for test in every}
    walked = walk(*_series(own, rates, {}, trip))
    if len(own) == len(every):
        return Track(tuple(own), walked, ahead, sort)

    def expected(test: Measurement) -> float:
        return rates[test.id] - walked.at(test.started.timestamp()).value

    # long before and after, it is the path that was another
    first, last = own[-1].started - NEAR, own[0].started + NEAR
    off = offsets([test for test in every if first <= test.started <= last], expected, sort, trip)
    # of a sort that nothing is known of, nothing is learnt
    tests = [test for test in tests if (one := sort_of(test, trip)) == sort or one in off]
    if len(tests) > len(own):
        walked = walk(*_series(tests, rates, off, trip))
    return Track(
        tuple(tests), walked, ahead, sort, off, len(every) - len(tests), off.get(sort_of(tests[0], trip))
    )


def _series(
    tests: Sequence[Measurement], rates: Mapping[str, float], off: Mapping[Sort, LogSpread], trip: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Times and values, oldest first; those of other sorts as if they had been of the usual one."""
    ordered = tests[::-1]
    return (
        tuple(test.started.timestamp() for test in ordered),
        tuple(rates[test.id] - _off(sort_of(test, trip), off) for test in ordered),
    )


def _off(sort: Sort, off: Mapping[Sort, LogSpread]) -> float:
    return math.log(off[sort].median) if sort in off else 0.0


def newest_alike_of(
    history: History, federation: Federation, source: str, destination: str, most: int, now: datetime
) -> tuple[Sort, Sequence[Measurement], int]:
    """The sort of the path's usable tests that is most like a transfer, the newest `most` of that sort
    (newest first), and how many are dated in the future."""
    found = history.path(Kind.THROUGHPUT, source, destination)
    ahead = _dated_ahead(history, source, destination, now)
    trip = round_trip(history, federation, source, destination, now).seconds
    sort, some = newest_alike(_rated(found[ahead:]), trip, most)
    if not some and ahead:
        sort, some = newest_alike(_rated(found), trip, most)
    return sort, some, len(rated(found[:ahead]))


def usable_of(
    history: History, source: str, destination: str, now: datetime
) -> tuple[list[Measurement], int]:
    """The path's TCP tests of all sorts, newest first, and how many are dated in the future: without those,
    unless there are no others."""
    found = history.path(Kind.THROUGHPUT, source, destination)
    ahead = _dated_ahead(history, source, destination, now)
    return rated(found[ahead:]) or rated(found), len(rated(found[:ahead]))


def levels(
    history: History, federation: Federation, tests: Sequence[Measurement], now: datetime
) -> Iterator[float]:
    """Natural logarithms of the rates of one path's tests, cleared of slow start."""
    if tests:
        trip = round_trip(history, federation, tests[0].source, tests[0].destination, now)
        for test in tests:
            yield math.log(_single_stream_rate(test, trip.seconds))


def _dated_ahead(history: History, source: str, destination: str, now: datetime) -> int:
    """How many results of the path, the newest first, are dated in the future."""
    found = history.path(Kind.THROUGHPUT, source, destination)
    return sum(1 for _ in takewhile(lambda test: test.started - now > AHEAD, found))


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


def drift(seconds: float) -> float:
    """Half-width (natural logarithm) that evidence of that age adds."""
    return min(DRIFT * math.sqrt(max(seconds, 0.0) / HALF_LIFE_SECONDS), DRIFT_AT_MOST)


def _usual_gap(times: Sequence[float]) -> float:
    """Nine in ten of the gaps between tests are no longer (seconds); 0 for a single test."""
    gaps = sorted(after - before for before, after in pairwise(times))
    return gaps[int(0.9 * len(gaps))] if gaps else 0.0


def usable(tests: Sequence[Measurement]) -> list[Measurement]:
    """Successful TCP tests with a rate, of whatever sort (see `netprobe.likeness`); those of one stream where
    there are any."""
    good = rated(tests)
    return [test for test in good if streams(test) == 1] or good


def rated(tests: Iterable[Measurement]) -> list[Measurement]:
    """Successful TCP tests with a rate."""
    return list(_rated(tests))


def _rated(tests: Iterable[Measurement]) -> Iterator[Measurement]:
    for test in tests:
        if test.error is None and test.figures.get("bits_per_second", 0.0) > 0 and not _udp(test):
            yield test


def _single_stream_rate(test: Measurement, rtt_seconds: float) -> float:
    """The rate after slow start, as far as the test still contains some of it."""
    rate = test.figures["bits_per_second"]
    if streams(test) > 1:
        return rate
    omitted = _seconds(test, "omit", "omit_seconds")
    duration = _seconds(test, "duration", "duration_seconds") or max(test.seconds - omitted, 0.0)
    segment = test.figures.get("mss_bytes", 0.0) or DEFAULT_MSS_BYTES
    return sustained_bits_per_second(rate, omitted, duration, rtt_seconds, segment)


def _seconds(test: Measurement, *names: str) -> float:
    """A duration among the test's parameters, in seconds or as text ("3 s"); 0 where there is none."""
    return number(test.parameters, parse_seconds, *names) or 0.0


def _udp(test: Measurement) -> bool:
    return bool(test.parameters.get("udp")) or test.parameters.get("protocol") == "udp"
