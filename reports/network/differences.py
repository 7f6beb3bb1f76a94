"""What surely differs: the two directions of a pair, and a path now from what it was.

Like is compared with like only: tests of one side, with as many streams, over the same IP. Each difference is
told where it is surely larger than a margin at a false discovery rate of 5 % over all that were compared, and
where the 95 % intervals of the two medians don't meet.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Generic, TypeVar

import numpy as np

from reports.compare import statistics
from reports.compare.mesh import SHARE_FALSE
from reports.compare.paths import LEAST_SECONDS
from reports.compare.statistics import LEAST, TRIM, Floats, Shift
from reports.compare.trend import Step, steps
from reports.compare.ways import Quantity
from reports.network.measured import lost_share
from reports.network.model import Ends, Figure, Like, Network, Sample

Found = TypeVar("Found")

# Rates and round trips that differ by no more are alike; and shares of lost packets.
MARGIN, LOSS_MARGIN = 0.1, 0.001


@dataclass(frozen=True)
class Level:
    """A median (of loss the mean) with its 95 % interval, by the block bootstrap (of loss Student's),
    of so many tests."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Difference:
    """Two levels that surely differ. `ratio` is second over first, of loss second less first; `low` and
    `high` are its 95 % interval (Zou and Donner 2008, from the intervals of both); `p` is adjusted."""

    first: Level
    second: Level
    ratio: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Asymmetry:
    """A pair whose two directions carry different rates; `slow` is the slower one, and the ratio fast over
    slow."""

    slow: Ends
    like: Like
    difference: Difference


@dataclass(frozen=True)
class Change:
    """A quantity of a path that is no more what it was in the same length of time before. `when`: the test
    with which the new level began, None where it came gradually or between the tests."""

    quantity: Quantity
    ends: Ends
    like: Like
    difference: Difference
    when: datetime | None

    @property
    def worse(self) -> bool:
        more = self.difference.second.value > self.difference.first.value
        return more != (self.quantity is Quantity.THROUGHPUT)


@dataclass(frozen=True)
class Compared(Generic[Found]):
    """What was found, of these paths or pairs that could be compared; of `too_few` there are too few tests of
    one kind for it."""

    found: tuple[Found, ...]
    ends: tuple[Ends, ...]
    too_few: int

    @property
    def compared(self) -> int:
        return len(self.ends)


def asymmetries(network: Network) -> Compared[Asymmetry]:
    """The pairs whose directions carry different rates, the largest ratio first."""
    pairs: list[tuple[Ends, Like, Sample, Sample]] = []
    too_few = 0
    begin, end = network.since.timestamp(), network.until.timestamp()
    figures = network.figures[Quantity.THROUGHPUT]
    for one, two in combinations(network.sites, 2):
        there, back = figures[one, two], figures[two, one]
        best = _most_alike(
            (like, there.like[like].between(begin, end), back.like[like].between(begin, end))
            for like in there.like
            if like in back.like
        )
        if best is not None:
            pairs.append(((one, two), *best))
        elif there.count or back.count:
            too_few += 1
    found = []
    adjusted = _adjusted([_p(Quantity.THROUGHPUT, there, back) for _, _, there, back in pairs])
    for (ends, like, *both), p in zip(pairs, adjusted, strict=True):
        slow, fast = sorted(both, key=lambda sample: statistics.median(sample.values))
        if slow is not both[0]:
            ends = ends[::-1]
        difference = _difference(Quantity.THROUGHPUT, ends, slow, fast, p)
        if difference is not None:
            found.append(Asymmetry(ends, like, difference))
    found.sort(key=lambda one: (-one.difference.ratio, one.slow))
    return Compared(tuple(found), tuple(ends for ends, *_ in pairs), too_few)


def changes(network: Network, quantity: Quantity) -> Compared[Change]:
    """The paths on which a quantity changed against the time before, the largest change first.

    Where a level has a date, what it was before is compared with what it is since then; else all tests of the
    time with all before.
    """
    paths: list[tuple[Figure, Like, Sample, Sample, Step | None]] = []
    too_few = 0
    before, begin, end = (when.timestamp() for when in (network.before, network.since, network.until))
    p = []
    for figure in network.figures[quantity].values():
        best = _most_alike(
            (like, sample.between(before, begin), sample.between(begin, end))
            for like, sample in figure.like.items()
        )
        if best is None:
            too_few += bool(figure.like)
            continue
        like, then, now = best
        plainly = _p(quantity, then, now)
        step = _last_step(quantity, figure.like[like].between(before, end))
        if step is not None:
            begun = step.when.timestamp()
            level = (then, now.between(begun, end)) if begun >= begin else (then.between(before, begun), now)
            # a step must be one, and its two levels apart: where tests depend on those before, levels wander.
            # Of two ways to find a change the surer one counts, and both were tried.
            dated = max(step.p, _p(quantity, *level))
            plainly = min(1.0, 2 * min(plainly, dated))
            then, now = level
        paths.append((figure, like, then, now, step))
        p.append(plainly)
    found = []
    for (figure, like, then, now, step), adjusted in zip(paths, _adjusted(p), strict=True):
        difference = _difference(quantity, figure.ends, then, now, adjusted)
        if difference is not None:
            up = difference.second.value > difference.first.value
            when = step.when if step is not None and (step.after > step.before) == up else None
            found.append(Change(quantity, figure.ends, like, difference, when))
    found.sort(key=lambda one: (-_size(one.difference, quantity), one.ends))
    return Compared(tuple(found), tuple(figure.ends for figure, *_ in paths), too_few)


def _last_step(quantity: Quantity, sample: Sample) -> Step | None:
    """The last change of level that is sure by itself."""
    if quantity is Quantity.LOSS:
        return None
    logarithms: Floats = np.log(sample.values)
    found = [one for one in steps(sample.times, sample.values, logarithms) if one.p < SHARE_FALSE]
    return found[-1] if found else None


def _most_alike(samples: Iterator[tuple[Like, Sample, Sample]]) -> tuple[Like, Sample, Sample] | None:
    """The two samples of one kind with the most tests on the side that has fewer; None under eight."""
    best = max(samples, key=lambda found: min(len(found[1]), len(found[2])), default=None)
    return None if best is None or min(len(best[1]), len(best[2])) < LEAST else best


def _p(quantity: Quantity, first: Sample, second: Sample) -> float:
    """Against "they differ by no more than the margin"."""
    shift = statistics.between(_centre(quantity, first), _centre(quantity, second))
    return shift.beyond(_margin(quantity, first))


def _adjusted(p: Sequence[float]) -> list[float]:
    return [float(one) for one in statistics.benjamini_hochberg(np.array(p))]


def _centre(quantity: Quantity, sample: Sample) -> Shift:
    """Of logarithms; of loss of the shares themselves, no surer than the packets that were counted allow."""
    if quantity is not Quantity.LOSS:
        return statistics.centre(np.log(sample.values), TRIM, sample.times)
    found = statistics.centre(sample.values, 0.0, sample.times)
    sent = float(sample.packets.sum()) if sample.packets is not None else 0.0
    return Shift(found.estimate, max(found.error, statistics.NONE_LOST / max(sent, 1.0)), found.freedom)


def _margin(quantity: Quantity, first: Sample) -> float:
    if quantity is Quantity.LOSS:
        return LOSS_MARGIN
    if quantity is Quantity.LATENCY:
        return max(math.log1p(MARGIN), math.log1p(LEAST_SECONDS / float(np.median(first.values))))
    return math.log1p(MARGIN)


def _difference(quantity: Quantity, ends: Ends, first: Sample, second: Sample, p: float) -> Difference | None:
    """None where that isn't sure, or the intervals of the two levels meet."""
    if p >= SHARE_FALSE:
        return None
    name = f"{quantity} {ends[0]} {ends[1]}"
    one, two = _level(quantity, f"{name} 1", first), _level(quantity, f"{name} 2", second)
    if one.low <= two.high and two.low <= one.high:
        return None
    plain = quantity is Quantity.LOSS
    scale = (lambda value: value) if plain else math.log
    unscaled = (lambda value: value) if plain else math.exp
    apart = scale(two.value) - scale(one.value)
    # Zou and Donner 2008: an interval of a difference from the intervals of both
    down = math.hypot(scale(two.value) - scale(two.low), scale(one.high) - scale(one.value))
    up = math.hypot(scale(two.high) - scale(two.value), scale(one.value) - scale(one.low))
    return Difference(one, two, unscaled(apart), unscaled(apart - down), unscaled(apart + up), p)


def _level(quantity: Quantity, name: str, sample: Sample) -> Level:
    if quantity is Quantity.LOSS:
        value = lost_share([sample])
        low, high = _centre(quantity, sample).interval(0.95)
        return Level(value, max(min(low, value), 0.0), max(high, value), len(sample))
    # chance is seeded by the path's name: the same data give the same report
    chance = np.random.default_rng(zlib.crc32(name.encode()))
    middle = statistics.median(sample.values)
    low, high = statistics.median_interval(sample.values, chance)
    return Level(middle, min(low, middle), max(high, middle), len(sample))


def _size(difference: Difference, quantity: Quantity) -> float:
    return abs(difference.ratio) if quantity is Quantity.LOSS else abs(math.log(difference.ratio))
