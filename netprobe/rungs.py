"""The rungs below "measured": what each says of a path, and how wrong it is.

A rung is checked on the paths that were measured: each is said by it as if it had not been, and compared with
its newest test. These errors make the rung's interval and its bias; while such paths are few, assumptions
fill up.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import cast

from federation.sites import Federation
from netprobe.conformal import quantile
from netprobe.evidence import Evidence, Rung, RungError
from netprobe.history import History
from netprobe.measured import drift, levels, newest_alike_of
from netprobe.measurement import Kind, Measurement
from netprobe.round_trips import round_trip
from netprobe.weights import LogSpread, log_spread, weighted_quantile

# What is assumed of a rung: half-width (natural logarithm, added as squares to the spread of the paths that
# it looks at) and factor of the median. The two directions of real paths differ by a factor of 1.36 in the
# median and 3.1 at the 90 % quantile.
WIDTH = {Rung.OTHER_DIRECTION: 0.8, Rung.SITE_PATHS: 1.1, Rung.ROUND_TRIP: 1.4, Rung.DISTANCE: 2.3}
DISCOUNT = {Rung.OTHER_DIRECTION: 0.85, Rung.SITE_PATHS: 0.7, Rung.ROUND_TRIP: 0.6, Rung.DISTANCE: 1.0}
# With so many pairs of sites on which a rung was checked, nothing is assumed any more.
ENOUGH_PAIRS = 15
# A path's rate, as other paths need it, is the median of so many of its newest tests.
NEWEST = 5
# No path that was not measured is known better than this.
FLOOR = 0.05
DISTANCE_BITS_PER_SECOND = 50e6
# Peers are at a similar round trip if neither is more than this factor from the other.
SIMILAR_ROUND_TRIP = 1.6

Path = tuple[str, str]


@dataclass(frozen=True)
class Said:
    """A rung's word on a path: natural logarithm of the rate, by the median of the paths `by`; `seen` are all
    that were looked at."""

    value: float
    by: Sequence[Path]
    seen: Sequence[Path]


@dataclass(frozen=True)
class Known:
    """All measured paths between two sites, with their newest tests, newest first, and how many are dated in
    the future (`ahead`). `levels` and `newest`: natural logarithms of the rate on each by these tests, and by
    the newest one; `trips`: of measured round trips, `by_trip` in their order."""

    tests: Mapping[Path, Sequence[Measurement]]
    ahead: Mapping[Path, int]
    levels: Mapping[Path, float]
    newest: Mapping[Path, float]
    leaving: Mapping[str, Sequence[Path]]
    arriving: Mapping[str, Sequence[Path]]
    trips: Mapping[Path, float]
    by_trip: Sequence[tuple[float, Path]]


# What a rung says of a path (None: nothing), given the path's measured round trip where there is one. Never
# looks at the path itself, nor at what a higher rung would have used: else no error could be learnt.
Say = Callable[[Known, Path, float | None], Said | None]


def known(history: History, federation: Federation, now: datetime) -> Known:
    """The measured paths, worked out once for a history."""
    key = ("known",)
    if key not in history.memo:
        history.memo[key] = _known(history, federation, now)
    return cast("Known", history.memo[key])


def evidence(
    history: History, federation: Federation, path: Path, rung: Rung, now: datetime
) -> Evidence | None:
    """What a rung says of a path that was not measured; None where it has nothing to say."""
    everything = known(history, federation, now)
    trip = round_trip(history, federation, *path, now)
    said = SAYS[rung](everything, path, math.log(trip.seconds) if trip.measured else None)
    if said is None:
        return None
    rates = [math.exp(everything.levels[one]) for one in said.by] or [math.exp(said.value)]
    spread = log_spread(rates, [1.0] * len(rates))
    error = _error(history, everything, rung)
    # errors were made with evidence that was new
    seen = said.seen or list(everything.tests)
    ages = [(now - everything.tests[one][0].started).total_seconds() for one in seen]
    rate = _with(error, LogSpread(math.exp(said.value), spread.below, spread.above), rung)
    return Evidence(
        rung,
        rate.widened(drift(median(ages)) if ages else 0.0),
        tuple(test for one in said.seen for test in everything.tests[one]),
        len(said.seen),
        error=error,
        ahead=sum(everything.ahead[one] for one in said.seen),
    )


def _with(error: RungError | None, said: LogSpread, rung: Rung) -> LogSpread:
    """A rung's rate with its error: what was learnt, and for what is missing to enough pairs what is assumed.

    Logarithms are averaged, of the medians and of the half-widths.
    """
    assumed = said.widened(WIDTH[rung])
    if error is None:
        return assumed.scaled(DISCOUNT[rung])
    share = min(error.pairs / ENOUGH_PAIRS, 1.0)
    learnt = error.ratio.at_least(FLOOR)
    below = learnt.below**share * assumed.below ** (1 - share)
    above = learnt.above**share * assumed.above ** (1 - share)
    factor = error.ratio.median**share * DISCOUNT[rung] ** (1 - share)
    return LogSpread(said.median * factor, below, above)


def _error(history: History, everything: Known, rung: Rung) -> RungError | None:
    """How wrong a rung is on the measured paths, worked out once for a history; None where it is silent."""
    key = ("rung error", rung)
    if key not in history.memo:
        errors = {
            path: newest - said.value
            for path, newest in everything.newest.items()
            if (said := SAYS[rung](everything, path, everything.trips.get(path))) is not None
        }
        history.memo[key] = _learnt(errors) if errors else None
    return cast("RungError | None", history.memo[key])


def _learnt(errors: Mapping[Path, float]) -> RungError:
    # the two directions of a path are hardly two witnesses
    pairs = len({frozenset(path) for path in errors})
    values, weights = list(errors.values()), [1.0] * len(errors)
    middle = median(values)
    high = quantile(values, weights, 0.9)
    low = quantile([-value for value in values], weights, 0.9)
    if high is None or low is None:
        # too few for a tail: the largest ones, and assumptions do the rest
        high, low = weighted_quantile(values, weights, 0.9), -weighted_quantile(values, weights, 0.1)
    return RungError(
        LogSpread(math.exp(middle), max(middle + low, 0.0), max(high - middle, 0.0)), len(errors), pairs
    )


def _known(history: History, federation: Federation, now: datetime) -> Known:
    found = {
        path: newest_alike_of(history, federation, *path, NEWEST, now)
        for path in history.paths(Kind.THROUGHPUT)
        if path[0] != path[1]
    }
    # paths whose tests were all held down say what those tests get: they count where there are no others
    plain = {path for path, (sort, some, _) in found.items() if some and sort.plain}
    tests = {path: some for path, (_, some, _) in found.items() if some and (path in plain or not plain)}
    newest = {path: list(levels(history, federation, some, now)) for path, some in tests.items()}
    leaving, arriving = defaultdict(list), defaultdict(list)
    for path in tests:
        leaving[path[0]].append(path)
        arriving[path[1]].append(path)
    trips = {
        path: math.log(trip.seconds)
        for path in tests
        if (trip := round_trip(history, federation, *path, now)).measured
    }
    return Known(
        tests,
        {path: ahead for path, (_, _, ahead) in found.items()},
        {path: median(values) for path, values in newest.items()},
        {path: values[0] for path, values in newest.items()},
        leaving,
        arriving,
        trips,
        sorted((trip, path) for path, trip in trips.items()),
    )


def _other_direction(everything: Known, path: Path, trip: float | None) -> Said | None:
    back = (path[1], path[0])
    return _by(everything, [back], [back]) if back in everything.levels else None


def _site_paths(everything: Known, path: Path, trip: float | None) -> Said | None:
    """Other paths out of the source and into the destination: the median of the slower side."""
    sides = [
        [one for one in side if one != path]
        for side in (everything.leaving.get(path[0], ()), everything.arriving.get(path[1], ()))
    ]
    seen = [one for side in sides for one in side]
    return min(
        (_by(everything, side, seen) for side in sides if side), key=lambda said: said.value, default=None
    )


def _round_trip(everything: Known, path: Path, trip: float | None) -> Said | None:
    """Paths of other sites whose round trip is like this one's; None unless this one's was measured."""
    if trip is None:
        return None
    near = math.log(SIMILAR_ROUND_TRIP)
    first = bisect_left(everything.by_trip, (trip - near,))
    last = bisect_right(everything.by_trip, trip + near, key=lambda one: one[0])
    back = (path[1], path[0])
    peers = [
        one
        for _, one in everything.by_trip[first:last]
        if one[0] != path[0] and one[1] != path[1] and one != back
    ]
    return _by(everything, peers, peers) if peers else None


def _distance(everything: Known, path: Path, trip: float | None) -> Said:
    return Said(math.log(DISTANCE_BITS_PER_SECOND), (), ())


def _by(everything: Known, by: Sequence[Path], seen: Sequence[Path]) -> Said:
    """Each path counts once, however many tests it has."""
    return Said(median(everything.levels[one] for one in by), by, seen)


# From the highest to the lowest, which always has something to say.
SAYS: Mapping[Rung, Say] = {
    Rung.OTHER_DIRECTION: _other_direction,
    Rung.SITE_PATHS: _site_paths,
    Rung.ROUND_TRIP: _round_trip,
    Rung.DISTANCE: _distance,
}
