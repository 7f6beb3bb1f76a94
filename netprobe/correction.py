"""What real transfers teach: the ratio of actual to predicted seconds, per path, shrunk to everybody's.

A memory-to-memory test is not a transfer: the gap between them is learnt here. Where transfers are many
enough, how wrong these predictions were makes the interval of the next one (netprobe.conformal), rate and
all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import cast

from federation.sites import Federation
from netprobe.batch_model import PathModel, batch_seconds, equal_seconds, relative_noise
from netprobe.conformal import Interval, Miss, calibrate
from netprobe.history import History
from netprobe.ladder import Evidence, Rung, round_trip, segment_bytes, track
from netprobe.measurement import Kind, Measurement
from netprobe.parallel import stream_gain
from netprobe.weights import LogSpread, age_weight, log_spread, weighted_quantile

# A mover's overheads change more slowly than a path's rate does.
HALF_LIFE_SECONDS = 24 * 3600.0
# Before any transfer was seen: on 434 real ones the ratio's quartiles were 1.00 and 1.04 around 1.02, with a
# tail to 1.26 (95 %). Slower than predicted is likelier than faster.
PRIOR = LogSpread(1.03, 0.06, 0.14)
# How many new transfers the prior is worth against the federation's, and those against a path's own.
PRIOR_COUNT = 3.0
FEDERATION_COUNT = 3.0
# Two transfers over one path never take quite the same time.
FLOOR = 0.03
# A correction learnt from fewer transfers than this is no measure of those from more.
LEAST_KNOWN = 3


@dataclass(frozen=True)
class Correction:
    """Ratio actual / predicted seconds, the transfers of this path behind it, and how many anywhere. Its
    half-widths are those of a long transfer: `batch_model.relative_noise` says how much wider others are.

    `gain`: how many times the rate of one stream several reach together.

    `interval`: whose errors made the ratio's quantiles. They then hold for the whole prediction, the rate's
    own error included. None: too few transfers; the quantiles are the ratio's, and the rate's come on top.
    """

    ratio: LogSpread
    transfers: int
    anywhere: int
    interval: Interval | None = None
    gain: float = 1.0


@dataclass(frozen=True)
class Ratio:
    """One transfer: when (seconds), actual / predicted seconds, and how noisy one of its length is."""

    time: float
    value: float
    noise: float = 1.0


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
        return Correction(_shrunk(own, now, PRIOR, FEDERATION_COUNT), len(own), len(own))
    others = {
        (start, end): _ratios(history, federation, start, end, None, now)
        for start, end in history.paths(Kind.TRANSFER)
        if start != end
    }
    everywhere = [ratio for path in others.values() for ratio in path]
    common = _shrunk(everywhere, now, PRIOR, PRIOR_COUNT)
    ratio = _shrunk(own, now, common, FEDERATION_COUNT)
    others.pop((source, destination), None)
    sites = {source, destination}
    interval = None
    if measured:
        interval = calibrate(
            _misses(own, common.median),
            lambda: [
                miss
                for path, found in others.items()
                if sites & set(path)
                for miss in _misses(found, common.median)
            ],
            lambda: [miss for found in others.values() for miss in _misses(found, common.median)],
        )
    if interval is not None:
        ratio = interval.around(ratio.median).widened(evidence.drift)
    return Correction(ratio.at_least(FLOOR), len(own), len(everywhere), interval, gain)


def _misses(ratios: Sequence[Ratio], general: float) -> list[Miss]:
    """How wrong each transfer's prediction would have been, as corrected by the path's other ones and by what
    is known in `general`; by the measure of a long transfer."""
    logs = [math.log(ratio.value) for ratio in ratios]
    others = len(logs) - 1
    if others < LEAST_KNOWN:
        return []
    share = others / (others + FEDERATION_COUNT)
    found = []
    for number, ratio in enumerate(ratios):
        middle = median(logs[:number] + logs[number + 1 :])
        expected = share * middle + (1 - share) * math.log(general)
        found.append(Miss(ratio.time, (logs[number] - expected) / ratio.noise))
    return found


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
        predicted = _modelled(transfer, PathModel(rate, rtt, segment, gain))
        noise = relative_noise(predicted)
        found.append(Ratio(transfer.started.timestamp(), actual / predicted, noise))
    return found


def _modelled(transfer: Measurement, path: PathModel) -> float:
    """What the model says of a transfer, by the sizes of its files where these were written down."""
    sizes = transfer.parameters.get("sizes")
    if sizes:
        return batch_seconds([size for count, size in sizes for _ in range(count)], path)
    files = max(int(transfer.figures.get("files", 1.0)), 1)
    return equal_seconds(transfer.figures["size_bytes"] / files, files, path)


def _shrunk(own: Sequence[Ratio], now: datetime, towards: LogSpread, count: float) -> LogSpread:
    """Own ratios blended with what is known in general, which counts as `count` new transfers.

    Logarithms of the medians and squares of the half-widths are averaged. The sum of weights by age, not
    their number, says how much the own ratios count: they fade into the general with age.
    """
    if not own:
        return towards
    weights = [age_weight(now.timestamp() - ratio.time, HALF_LIFE_SECONDS) for ratio in own]
    middle = weighted_quantile([ratio.value for ratio in own], weights, 0.5)
    # as if all were long ones
    spread = log_spread([math.exp(math.log(ratio.value / middle) / ratio.noise) for ratio in own], weights)
    share = sum(weights) / (sum(weights) + count)
    median = math.exp(share * math.log(middle) + (1 - share) * math.log(towards.median))
    below, above = (
        math.sqrt(share * mine**2 + (1 - share) * theirs**2)
        for mine, theirs in ((spread.below, towards.below), (spread.above, towards.above))
    )
    return LogSpread(median, below, above)
