"""What real transfers teach: the ratio of actual to predicted seconds, per path, shrunk to everybody's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from federation.sites import Federation
from netprobe.history import History
from netprobe.ladder import measured, round_trip, segment_bytes
from netprobe.measurement import Kind, Measurement
from netprobe.transfer_model import file_seconds
from netprobe.weights import LogSpread, age_weight, log_spread

# A mover's overheads change more slowly than a path's rate does.
HALF_LIFE_SECONDS = 24 * 3600.0
# Before any transfer was seen: on 434 real ones the ratio's quartiles were 1.00 and 1.04 around 1.02, with a
# tail to 1.26 (95 %). Slower than predicted is likelier than faster.
PRIOR = LogSpread(1.02, 0.06, 0.14)
# How many new transfers the prior is worth against the federation's, and those against a path's own.
PRIOR_COUNT = 3.0
FEDERATION_COUNT = 3.0
# Two transfers over one path never take quite the same time.
FLOOR = 0.03


@dataclass(frozen=True)
class Correction:
    """Ratio actual / predicted seconds, the transfers of this path behind it, and how many anywhere."""

    ratio: LogSpread
    transfers: int
    anywhere: int


def learn(
    history: History,
    federation: Federation,
    source: str,
    destination: str,
    assumed_rate: float,
    now: datetime,
) -> Correction:
    """The ratio for a path. `assumed_rate` (bit/s) stands in where the path itself was not measured.

    Each transfer is compared with the model's seconds at the rate that the tests gave when it ran, not with
    what was predicted then: so the ratio means the same whatever was learnt in between.
    """
    own = _ratios(history, federation, source, destination, assumed_rate, now)
    if source == destination:
        # a copy within a site has nothing in common with paths between sites
        return Correction(_shrunk(own, PRIOR, FEDERATION_COUNT), len(own), len(own))
    everywhere = [
        ratio
        for start, end in history.paths(Kind.TRANSFER)
        if start != end and history.path(Kind.THROUGHPUT, start, end)
        for ratio in _ratios(history, federation, start, end, None, now)
    ]
    common = _shrunk(everywhere, PRIOR, PRIOR_COUNT)
    return Correction(_shrunk(own, common, FEDERATION_COUNT).at_least(FLOOR), len(own), len(everywhere))


def _ratios(
    history: History,
    federation: Federation,
    source: str,
    destination: str,
    assumed: float | None,
    now: datetime,
) -> list[tuple[float, float]]:
    """(ratio, weight) of each successful transfer; `assumed` None: only where the path was measured."""
    found = []
    for transfer in history.path(Kind.TRANSFER, source, destination):
        size = transfer.figures.get("size_bytes", 0.0)
        actual = transfer.figures.get("seconds", 0.0)
        if not transfer.succeeded or size <= 0 or actual <= 0:
            continue
        rtt = round_trip(history, federation, source, destination, transfer.started).seconds
        rate = _rate_then(history, transfer, rtt) or assumed
        if rate is None:
            continue
        files = max(transfer.figures.get("files", 1.0), 1.0)
        segment = segment_bytes(history, source, destination)
        predicted = files * file_seconds(size / files, rate, rtt, segment)
        age = (now - transfer.started).total_seconds()
        found.append((actual / predicted, age_weight(age, HALF_LIFE_SECONDS)))
    return found


def _rate_then(history: History, transfer: Measurement, rtt_seconds: float) -> float | None:
    """The path's median rate by the tests before the transfer, or by those that there are."""
    source, destination = transfer.source, transfer.destination
    tests = history.path(Kind.THROUGHPUT, source, destination)
    before = [test for test in tests if test.started <= transfer.started]
    for known in (before, tests):
        past = History({(Kind.THROUGHPUT, source, destination): known})
        evidence = measured(past, source, destination, rtt_seconds, transfer.started)
        if evidence is not None:
            return evidence.rate.median
    return None


def _shrunk(own: Sequence[tuple[float, float]], towards: LogSpread, count: float) -> LogSpread:
    """Own ratios blended with what is known in general, which counts as `count` new transfers.

    Logarithms of the medians and squares of the half-widths are averaged. The sum of weights, not their
    number, says how much the own ratios count: they fade into the general with age.
    """
    if not own:
        return towards
    values, weights = zip(*own, strict=True)
    spread = log_spread(values, weights)
    share = sum(weights) / (sum(weights) + count)
    median = math.exp(share * math.log(spread.median) + (1 - share) * math.log(towards.median))
    below, above = (
        math.sqrt(share * mine**2 + (1 - share) * theirs**2)
        for mine, theirs in ((spread.below, towards.below), (spread.above, towards.above))
    )
    return LogSpread(median, below, above)
