"""What moving data costs: from sizes and forecasts to seconds, as quantiles."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netprobe.forecast import Forecast, ForecastPath, from_outside
from netprobe.quantiles import Quantiles
from netprobe.transfer_model import file_seconds
from netprobe.weights import combine

NOTHING = Quantiles(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Item:
    """A file to bring somewhere. `replicas` are (url, site id or None where no site is known to hold it)."""

    key: str
    size_bytes: int
    replicas: Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Move:
    """One file over one path. `source` None: from outside the federation, where nothing was measured."""

    key: str
    url: str
    source: str | None
    destination: str
    size_bytes: int
    seconds: Quantiles
    forecast: Forecast


@dataclass(frozen=True)
class Staging:
    """Everything moved to one site for one session, one file after the other; `seconds` is of the whole."""

    destination: str
    moves: tuple[Move, ...]
    seconds: Quantiles
    size_bytes: int


def seconds_for(forecast: Forecast, size_bytes: float, files: int = 1) -> Quantiles:
    """Seconds to move `files` files of together `size_bytes` over the path, one after the other.

    The model's seconds at the rate's quantiles (a fast path gives the small ones), times the correction
    learnt from real transfers, taken as independent of the rate; but where transfers are many, their ratio to
    the median's seconds is all there is to it. Grows with size, falls with rate, never 0.
    """
    if files < 1 or size_bytes < 0:
        raise ValueError(f"expected at least one file and no negative size, got {files} and {size_bytes}")
    rate = forecast.bits_per_second
    fast, middle, slow = (
        files * file_seconds(size_bytes / files, each, forecast.rtt_seconds, forecast.mss_bytes)
        for each in (rate.p90, rate.p50, rate.p10)
    )
    if forecast.correction_is_whole:
        ratio = forecast.correction
        return Quantiles(middle * ratio.p10, middle * ratio.p50, middle * ratio.p90)
    return combine(Quantiles(fast, middle, slow), forecast.correction)


def plan_staging(items: Iterable[Item], destination: str, forecast: ForecastPath) -> Staging:
    """Choose for every item the replica that is fastest to bring (smallest median, then p90), and add up.

    An item without replicas raises ValueError: there is nothing to move it from.
    """
    outside = from_outside(destination)
    known: dict[str, Forecast] = {}
    moves = []
    for item in items:
        options = []
        for url, source in item.replicas:
            if source is not None and source not in known:
                known[source] = forecast(source, destination)
            path = outside if source is None else known[source]
            seconds = seconds_for(path, item.size_bytes)
            options.append(Move(item.key, url, source, destination, item.size_bytes, seconds, path))
        if not options:
            raise ValueError(f"item {item.key!r} has no replica to bring it from")
        moves.append(min(options, key=lambda move: (move.seconds.p50, move.seconds.p90)))
    size_bytes = sum(move.size_bytes for move in moves)
    return Staging(destination, tuple(moves), total_seconds(moves), size_bytes)


def total_seconds(moves: Iterable[Move]) -> Quantiles:
    """Seconds of moves made one after the other.

    Medians add. The distances from the median to the 10 % and 90 % quantiles add as they are among files over
    the same path, whose rate is right or wrong for all of them together, and as squares between paths, which
    err independently. The truth lies between (files over one path also have errors of their own), so the
    interval is a little too wide rather than too narrow.
    """
    middle = 0.0
    below: dict[str | None, float] = defaultdict(float)
    above: dict[str | None, float] = defaultdict(float)
    for move in moves:
        middle += move.seconds.p50
        below[move.source] += move.seconds.p50 - move.seconds.p10
        above[move.source] += move.seconds.p90 - move.seconds.p50
    if middle == 0.0:
        return NOTHING
    return Quantiles(middle - math.hypot(*below.values()), middle, middle + math.hypot(*above.values()))
