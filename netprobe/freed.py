"""What transfers reach on a path whose tests were all held down, as by a small window.

Such tests say that the path carries at least so much, and hardly more: a transfer may be as fast, or fifty
times. How many times as slow transfers are as predicted says little either, for that depends on how large
they are. So their seconds are held against the model's at each rate that there may be (Bayes on a grid). What
is known before a path's own transfers: how many times as much plain tests gave on paths that have both sorts;
else what such paths carried by their transfers, beside what is assumed of a path that was never measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import cast

from federation.sites import Federation
from netprobe.batch_model import PathModel, relative_noise
from netprobe.history import History
from netprobe.measured import Track, track
from netprobe.measurement import Kind, Measurement
from netprobe.modelled import modelled_seconds
from netprobe.quantiles import Quantiles
from netprobe.round_trips import round_trip, segment_bytes
from netprobe.weights import LogSpread, age_weight

# Natural logarithms of the factors that are looked at: from half of what the tests gave to some 700 times ...
FACTORS = tuple(-0.7 + 0.1 * n for n in range(73))
# ... of which every so many-th is gone through by the model. Between two of these that are so far apart, and
# come as near to what was measured (natural logarithms of seconds), the middle one is, too, and so on down to
# neighbours of so many steps; the others lie between.
EVERY, LEAST_APART, NEAR, FINEST = 24, 0.1, 0.5, 6
# A path's newest transfers: older ones add nothing.
MOST = 5
HALF_LIFE_SECONDS = 24 * 3600.0
# Other paths say what paths are like: more than these, and more transfers of each, say nothing new.
MOST_PATHS, MOST_OF_OTHERS = 40, 3
# Standard deviation of a long transfer's error (natural logarithm), with Student's tails of so many degrees.
ERROR, DEGREES = 0.15, 4.0
# How much longer transfers take than the model says, as in `netprobe.correction`.
USUAL = math.log(1.03)
# A path that nobody measured: 5 to 500 Mbit/s, as on the lowest rung; worth so many that are known.
ASSUMED = (math.log(50e6), 2.3 / NormalDist().inv_cdf(0.9))
ASSUMED_COUNT = 2.0


@dataclass(frozen=True)
class Freed:
    """The rate (bit/s) that transfers reach; by so many transfers of the path, and transfers of so many other
    paths, or what plain tests give of other paths (`by_tests`)."""

    rate: LogSpread
    transfers: int
    paths: int
    by_tests: bool = False

    @property
    def quantiles(self) -> Quantiles:
        return self.rate.quantiles


def freed(
    history: History,
    federation: Federation,
    path: tuple[str, str],
    held: LogSpread,
    learnt: LogSpread | None,
    now: datetime,
) -> Freed:
    """`held`: what the path's tests, which were held down, let one expect of the next test. `learnt`: how
    many times as much plain tests give, where other paths say so."""
    likely, transfers = _likely(history, federation, path, MOST, now)
    if learnt is not None:
        paths = 0
        before = [_normal(each, math.log(learnt.median), max(learnt.below, learnt.above)) for each in FACTORS]
    else:
        others = _others(history, federation, path, now)
        paths = len(others)
        middle, deviation = _population(others)
        level = math.log(held.median)
        # below what the tests gave it isn't, but for their error and the model's
        before = [_normal(level + each, middle, deviation) + min(0.0, each / ERROR) for each in FACTORS]
    found = _quantiles([one + other for one, other in zip(before, likely, strict=True)])
    p10, p50, p90 = (math.exp(each) for each in found)
    rate = LogSpread(held.median * p50, math.log(p50 / p10), math.log(p90 / p50))
    return Freed(rate, transfers, paths, learnt is not None)


def _likely(
    history: History, federation: Federation, path: tuple[str, str], most: int, now: datetime
) -> tuple[Sequence[float], int]:
    """Logarithm of the likelihood of each factor by the path's newest transfers, and how many these are;
    worked out once for a history."""
    key = ("freed", most, *path)
    if key not in history.memo:
        history.memo[key] = _worked_out(history, federation, path, most, now)
    return cast("tuple[Sequence[float], int]", history.memo[key])


def _worked_out(
    history: History, federation: Federation, path: tuple[str, str], most: int, now: datetime
) -> tuple[Sequence[float], int]:
    tests = track(history, federation, *path, now)
    total, count = [0.0] * len(FACTORS), 0
    for transfer in history.path(Kind.TRANSFER, *path) if tests else ():
        if count == most or tests is None:
            break
        actual = transfer.figures.get("seconds", 0.0)
        if not transfer.succeeded or actual <= 0 or transfer.figures.get("size_bytes", 0.0) <= 0:
            continue
        count += 1
        weight = age_weight((now - transfer.started).total_seconds(), HALF_LIFE_SECONDS)
        deviation = ERROR * relative_noise(actual)
        took = math.log(actual) - USUAL
        for n, expected in enumerate(_expected(history, federation, tests, transfer, took)):
            off = (took - expected) / deviation
            total[n] -= weight * (DEGREES + 1) / 2 * math.log1p(off * off / DEGREES)
    return total, count


def _expected(
    history: History, federation: Federation, tests: Track, transfer: Measurement, took: float
) -> list[float]:
    """Logarithm of the seconds that the transfer takes by the model, at each factor; the more exact, the
    nearer to what it took."""
    ends = transfer.source, transfer.destination
    trip = round_trip(history, federation, *ends, transfer.started).seconds
    rate, segment = tests.median(transfer.started), segment_bytes(history, *ends)

    def modelled(n: int) -> float:
        path = PathModel(rate * math.exp(FACTORS[n]), trip, segment)
        return math.log(modelled_seconds(transfer, path))

    found = [modelled(0)]
    waiting = [(n, modelled(n)) for n in range(len(FACTORS) - 1, 0, -EVERY)]
    while waiting:
        # the nearest above what is there
        n, value = waiting[-1]
        last, apart = len(found) - 1, found[-1] - value
        if n - last > FINEST and apart > LEAST_APART and value - NEAR < took < found[-1] + NEAR:
            middle = (n + last) // 2
            waiting.append((middle, modelled(middle)))
        else:
            waiting.pop()
            found += [found[last] - apart * part / (n - last) for part in range(1, n - last + 1)]
    return found


def _others(
    history: History, federation: Federation, path: tuple[str, str], now: datetime
) -> list[tuple[float, float]]:
    """Of other paths that were held down and have transfers: mean and variance of the logarithm of the rate
    that these reached, before anything else is known."""
    found = list[tuple[float, float]]()
    for other in history.paths(Kind.TRANSFER):
        if len(found) == MOST_PATHS:
            break
        if other == path or other[0] == other[1]:
            continue
        tests = track(history, federation, *other, now)
        if tests is None or tests.sort.plain:
            continue
        likely, count = _likely(history, federation, other, MOST_OF_OTHERS, now)
        if count:
            level = tests.at(now).value
            middle, deviation = ASSUMED
            weights = _weights(
                [
                    one + _normal(level + each, middle, deviation)
                    for one, each in zip(likely, FACTORS, strict=True)
                ]
            )
            mean = math.fsum(weight * each for weight, each in zip(weights, FACTORS, strict=True))
            variance = math.fsum(
                weight * (each - mean) ** 2 for weight, each in zip(weights, FACTORS, strict=True)
            )
            found.append((level + mean, variance))
    return found


def _population(others: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm of what paths carry, of which these are some: what is
    assumed counts as ASSUMED_COUNT of them, and those that say little as less than one."""
    middle, deviation = ASSUMED
    known = [(mean, max(1 - variance / deviation**2, 0.0), variance) for mean, variance in others]
    count = ASSUMED_COUNT + math.fsum(weight for _, weight, _ in known)
    mean = (ASSUMED_COUNT * middle + math.fsum(weight * each for each, weight, _ in known)) / count
    spread = ASSUMED_COUNT * (deviation**2 + (middle - mean) ** 2) + math.fsum(
        weight * ((each - mean) ** 2 + variance) for each, weight, variance in known
    )
    return mean, math.sqrt(spread / count * (1 + 1 / count))


def _normal(value: float, middle: float, deviation: float) -> float:
    return -((value - middle) ** 2) / (2 * deviation**2)


def _weights(logarithms: Sequence[float]) -> list[float]:
    """Probabilities that are to each other as these say."""
    largest = max(logarithms)
    found = [math.exp(each - largest) for each in logarithms]
    together = math.fsum(found)
    return [each / together for each in found]


def _quantiles(logarithms: Sequence[float]) -> list[float]:
    """The factors (natural logarithm) below which 10, 50 and 90 % lie; each stands for what is about it."""
    step, below, found = FACTORS[1] - FACTORS[0], 0.0, list[float]()
    wanted = [0.1, 0.5, 0.9]
    for weight, factor in zip(_weights(logarithms), FACTORS, strict=True):
        while wanted and below + weight >= wanted[0]:
            found.append(factor + step * ((wanted.pop(0) - below) / weight - 0.5))
        below += weight
    return found + [FACTORS[-1]] * len(wanted)
