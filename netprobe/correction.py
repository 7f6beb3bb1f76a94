"""What real transfers teach: the ratio of actual to predicted seconds, per path, shrunk to everybody's.

A memory-to-memory test is not a transfer: the gap between them is learnt here. Where transfers are many
enough, how wrong these predictions were makes the interval of the next one (netprobe.conformal), rate and
all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import cast

from federation.sites import Federation
from netprobe.batch_model import PathModel, relative_noise
from netprobe.conformal import Interval, Miss, of_path
from netprobe.freed import Freed, freed
from netprobe.history import History
from netprobe.ladder import Evidence, Rung, round_trip, segment_bytes, track
from netprobe.likeness import PLAIN, Sort, sort_of
from netprobe.measured import usable_of, usual_error
from netprobe.measurement import Kind
from netprobe.modelled import modelled_seconds
from netprobe.parallel import stream_gain
from netprobe.pooled import HALF_LIFE_SECONDS, PRIOR, Pooled, Ratio, pooled
from netprobe.weights import LogSpread, age_weight, log_spread, weighted_quantile

# Paths differ in that factor by this much more (half-width) than those few do on which it is known.
ONE_MORE = 0.3
# How many new transfers what is assumed is worth against a path's own where its rate was not measured.
ASSUMED_COUNT = 3.0
# Two transfers over one path never take quite the same time.
FLOOR = 0.03
# A correction learnt from fewer transfers than this is no measure of those from more.
LEAST_KNOWN = 3


@dataclass(frozen=True)
class Correction:
    """Ratio actual / predicted seconds, the transfers of this path behind it, and how many anywhere. Its
    half-widths are those of a long transfer: `batch_model.relative_noise` says how much wider others are.

    `gain`: how many times the rate of one stream several reach together.

    `freed`: what transfers reach where the path's tests were all held down, at which rate the ratio counts.

    `interval`: whose errors made the ratio's quantiles. They then hold for the whole prediction, the rate's
    own error included. None: too few transfers of the path; the quantiles are the ratio's, and the rate's
    come on top, by `rate_counts` times their half-widths below and above (of the seconds).
    """

    ratio: LogSpread
    transfers: int
    anywhere: int
    interval: Interval | None = None
    gain: float = 1.0
    freed: Freed | None = None
    rate_counts: tuple[float, float] = (1.0, 1.0)


def learn(
    history: History,
    federation: Federation,
    source: str,
    destination: str,
    evidence: Evidence,
    now: datetime,
) -> Correction:
    """The ratio for a path. The median rate of `evidence` stands in where the path itself was not measured.

    Each transfer is compared with the model's seconds at the rate that the tests gave when it ran, not with
    what was predicted then: so the ratio means the same whatever was learnt in between.
    """
    measured = evidence.rung is Rung.MEASURED
    gain = stream_gain(history, source, destination, now)
    own = _ratios(history, federation, source, destination, None if measured else evidence.rate.median, now)
    if source == destination:
        # a copy within a site has nothing in common with paths between sites
        return Correction(_shrunk(own, now, PRIOR), len(own), len(own))
    if measured and not evidence.sort.plain:
        path, many = (source, destination), _unlike(history, federation, evidence.sort, now)
        rate = freed(history, federation, path, evidence.rate, many, now)
        return Correction(PRIOR, rate.transfers, rate.transfers, freed=rate)
    common, anywhere = _everywhere(history, federation, now)
    error = usual_error(history, federation, source, destination, now)
    if not measured or error is None:
        rung = _shrunk(own, now, PRIOR.scaled(math.exp(common.middle) / PRIOR.median))
        return Correction(rung.at_least(FLOOR), len(own), anywhere, gain=gain)
    ratio, rate_counts = common.ratio(own, error, now)
    interval = of_path(_misses(own, common))
    if interval is not None:
        ratio = interval.around(ratio.median).widened(evidence.drift)
    return Correction(ratio.at_least(FLOOR), len(own), anywhere, interval, gain, rate_counts=rate_counts)


def _everywhere(history: History, federation: Federation, now: datetime) -> tuple[Pooled, int]:
    """What the transfers of all paths say whose tests were made like transfers, and how many these are."""
    # weights fade by days
    key = ("transfers", int(now.timestamp() // 3600))
    if key not in history.memo:
        paths, errors = {}, {}
        for source, destination in history.paths(Kind.TRANSFER):
            # how far a test that is held down is from a transfer, and any other, are two things
            if source != destination and _sort(history, federation, source, destination, now).plain:
                error = usual_error(history, federation, source, destination, now)
                if error is not None:
                    paths[source, destination] = _ratios(history, federation, source, destination, None, now)
                    errors[source, destination] = error
        history.memo[key] = pooled(paths, errors, now), sum(len(some) for some in paths.values())
    return cast("tuple[Pooled, int]", history.memo[key])


def _sort(history: History, federation: Federation, source: str, destination: str, now: datetime) -> Sort:
    """What sort of tests the path's forecast rests on."""
    tests = track(history, federation, source, destination, now)
    return tests.sort if tests else PLAIN


def _unlike(history: History, federation: Federation, sort: Sort, now: datetime) -> LogSpread | None:
    """How many times the rate of tests of a sort that were held down plain ones give: by the paths on which
    both were made, of this very sort if it can be; None where these are too few."""
    key = ("unlike",)
    if key not in history.memo:
        history.memo[key] = list(_ratios_of_sorts(history, federation, now))
    found = cast("list[tuple[Sort, float]]", history.memo[key])
    same = [ratio for one, ratio in found if one == sort]
    ratios = same if len(same) >= LEAST_KNOWN else [ratio for _, ratio in found]
    if len(ratios) < LEAST_KNOWN:
        return None
    return log_spread(ratios, [1.0] * len(ratios)).widened(ONE_MORE)


def _ratios_of_sorts(history: History, federation: Federation, now: datetime) -> Iterator[tuple[Sort, float]]:
    """How many times the rate of its others a path's plain tests give, for each sort of each path."""
    for path in history.paths(Kind.THROUGHPUT):
        every, _ = usable_of(history, *path, now)
        trip = round_trip(history, federation, *path, now).seconds
        rates: dict[Sort, list[float]] = defaultdict(list)
        for test in every:
            rates[sort_of(test, trip)].append(test.figures["bits_per_second"])
        plain = rates.get(PLAIN)
        if plain:
            yield from (
                (sort, median(plain) / median(some)) for sort, some in rates.items() if not sort.plain
            )


def _misses(ratios: Sequence[Ratio], common: Pooled) -> list[Miss]:
    """How wrong each transfer's prediction would have been, as corrected by the path's other ones and by what
    all say; by the measure of a long transfer."""
    if len(ratios) <= LEAST_KNOWN:
        return []
    return [
        Miss(ratio.time, miss / ratio.noise)
        for ratio, miss in zip(ratios, common.misses(ratios), strict=True)
    ]


def _ratios(
    history: History,
    federation: Federation,
    source: str,
    destination: str,
    assumed: float | None,
    now: datetime,
) -> list[Ratio]:
    """The ratio of each successful transfer, oldest first; `assumed` None: only where the path was
    measured."""
    if assumed is not None:
        return _worked_out(history, federation, source, destination, assumed, now)
    key = ("ratios", source, destination)
    if key not in history.memo:
        history.memo[key] = _worked_out(history, federation, source, destination, None, now)
    return cast("list[Ratio]", history.memo[key])


def _worked_out(
    history: History,
    federation: Federation,
    source: str,
    destination: str,
    assumed: float | None,
    now: datetime,
) -> list[Ratio]:
    tests = track(history, federation, source, destination, now)
    segment = segment_bytes(history, source, destination)
    found = []
    for transfer in reversed(history.path(Kind.TRANSFER, source, destination)):
        size = transfer.figures.get("size_bytes", 0.0)
        actual = transfer.figures.get("seconds", 0.0)
        rate = tests.median(transfer.started) if tests else assumed
        if not transfer.succeeded or size <= 0 or actual <= 0 or rate is None:
            continue
        rtt = round_trip(history, federation, source, destination, transfer.started).seconds
        gain = stream_gain(history, source, destination, transfer.started)
        predicted = modelled_seconds(transfer, PathModel(rate, rtt, segment, gain))
        by_rate = min(size * 8 / (rate * gain) / predicted, 1.0)
        noise = relative_noise(predicted)
        found.append(Ratio(transfer.started.timestamp(), actual / predicted, noise, by_rate))
    return found


def _shrunk(own: Sequence[Ratio], now: datetime, towards: LogSpread) -> LogSpread:
    """Own ratios, of a path that was not measured, blended with what is known in general, which counts as
    ASSUMED_COUNT new transfers.

    Logarithms of the medians and squares of the half-widths are averaged. The sum of weights by age, not
    their number, says how much the own ratios count: they fade into the general with age.
    """
    if not own:
        return towards
    weights = [age_weight(now.timestamp() - ratio.time, HALF_LIFE_SECONDS) for ratio in own]
    middle = weighted_quantile([ratio.value for ratio in own], weights, 0.5)
    # as if all were long ones
    spread = log_spread([math.exp(math.log(ratio.value / middle) / ratio.noise) for ratio in own], weights)
    total = sum(weights)
    share = total / (total + ASSUMED_COUNT)
    median = math.exp(share * math.log(middle) + (1 - share) * math.log(towards.median))
    # one ratio has a median, but says nothing of how they are spread
    spreading = max(total - 1, 0.0)
    known = spreading / (spreading + ASSUMED_COUNT)
    below, above = (
        math.sqrt(known * mine**2 + (1 - known) * theirs**2)
        for mine, theirs in ((spread.below, towards.below), (spread.above, towards.above))
    )
    return LogSpread(median, below, above)
