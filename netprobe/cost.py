"""What moving data costs: from sizes and forecasts to seconds, as quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from netprobe.batch_model import PathModel, batch_seconds, equal_seconds, relative_noise
from netprobe.forecast import Forecast, ForecastPath, from_outside
from netprobe.quantiles import Quantiles
from netprobe.weights import LogSpread, combine

NOTHING = Quantiles(0.0, 0.0, 0.0)
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Item:
    """A file to bring somewhere, or `files` files of together `size_bytes`, which all come from one replica.
    `replicas` are (url, site id or None where no site is known to hold it)."""

    key: str
    size_bytes: int
    replicas: Sequence[tuple[str, str | None]]
    files: int = 1


@dataclass(frozen=True)
class Move:
    """One item over one path; `seconds` as if it were moved alone. `source` None: from outside the
    federation, where nothing was measured."""

    key: str
    url: str
    source: str | None
    destination: str
    size_bytes: int
    seconds: Quantiles
    forecast: Forecast
    files: int = 1


@dataclass(frozen=True)
class Group:
    """All files over one path, moved by a few workers at a time; `seconds` is of all of them."""

    source: str | None
    files: int
    size_bytes: int
    seconds: Quantiles


@dataclass(frozen=True)
class Staging:
    """Everything moved to one site for one session, all groups beside each other; `seconds` is of the whole.

    A move's own seconds are those that it would take alone.
    """

    destination: str
    moves: tuple[Move, ...]
    seconds: Quantiles
    size_bytes: int
    groups: tuple[Group, ...] = ()


def seconds_for(forecast: Forecast, size_bytes: float, files: int = 1) -> Quantiles:
    """Seconds to move `files` files of together `size_bytes`, all of one size, over the path.

    The mover's model at the rate's quantiles (a fast path gives the small ones), times the correction learnt
    from real transfers, taken as independent of the rate; but where transfers are many, their ratio to the
    median's seconds is all there is to it. Wider for short transfers. Grows with size, falls with rate, never
    0.
    """
    if files < 1 or size_bytes < 0:
        raise ValueError(f"expected at least one file and no negative size, got {files} and {size_bytes}")
    return _corrected(forecast, lambda path: equal_seconds(size_bytes / files, files, path))


def seconds_of(forecast: Forecast, sizes: Sequence[float]) -> Quantiles:
    """The same of files of these sizes (bytes). No files take no time."""
    return _corrected(forecast, lambda path: batch_seconds(sizes, path)) if sizes else NOTHING


def _corrected(forecast: Forecast, model: Callable[[PathModel], float]) -> Quantiles:
    rate = forecast.bits_per_second
    same = forecast.rtt_seconds, forecast.mss_bytes, forecast.gain
    fast, middle, slow = (model(PathModel(each, *same)) for each in (rate.p90, rate.p50, rate.p10))
    # going through many files, a faster path may now and then be slower by a hair
    modelled = Quantiles(min(fast, middle), middle, max(middle, slow))
    noise, learnt = relative_noise(middle), forecast.correction
    ratio = LogSpread(
        learnt.p50, noise * math.log(learnt.p50 / learnt.p10), noise * math.log(learnt.p90 / learnt.p50)
    ).quantiles
    if forecast.correction_is_whole:
        return Quantiles(middle * ratio.p10, middle * ratio.p50, middle * ratio.p90)
    return combine(modelled, ratio)


def plan_staging(
    items: Iterable[Item],
    destination: str,
    forecast: ForecastPath,
    link_bits_per_second: float | None = None,
) -> Staging:
    """Choose for every item the replica that is fastest to bring (smallest median, then p90), and forecast
    what all of them take together. `link_bits_per_second`: what the destination's own link carries, where it
    is known.

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
            seconds = seconds_for(path, item.size_bytes, item.files)
            options.append(
                Move(item.key, url, source, destination, item.size_bytes, seconds, path, item.files)
            )
        if not options:
            raise ValueError(f"item {item.key!r} has no replica to bring it from")
        moves.append(min(options, key=lambda move: (move.seconds.p50, move.seconds.p90)))
    groups = grouped(moves)
    size_bytes = sum(move.size_bytes for move in moves)
    seconds = together(groups, link_bits_per_second)
    return Staging(destination, tuple(moves), seconds, size_bytes, groups)


def grouped(moves: Iterable[Move]) -> tuple[Group, ...]:
    """The moves by their sources, in the order in which these come."""
    found: dict[str | None, list[Move]] = {}
    for move in moves:
        found.setdefault(move.source, []).append(move)
    return tuple(
        Group(
            source,
            sum(move.files for move in some),
            sum(move.size_bytes for move in some),
            _moved_seconds(some),
        )
        for source, some in found.items()
    )


def _moved_seconds(moves: Sequence[Move]) -> Quantiles:
    if len(moves) == 1:
        return moves[0].seconds
    # of the files of a folder only their mean is known
    sizes = [move.size_bytes / move.files for move in moves for _ in range(move.files)]
    return seconds_of(moves[0].forecast, sizes)


def together(groups: Sequence[Group], link_bits_per_second: float | None = None) -> Quantiles:
    """Seconds until the last of the groups is there, which all begin at once.

    Their errors are taken as independent, each log-normal to either side of its median. Where they want more
    than the link of the destination carries, they share it evenly, and all takes longer by that factor.
    """
    if not groups:
        return NOTHING
    found = [group.seconds for group in groups]
    seconds = found[0] if len(found) == 1 else _latest(found)
    if link_bits_per_second is None:
        return seconds
    wanted = [(one.p50, group.size_bytes * 8 / one.p50) for one, group in zip(found, groups, strict=True)]
    longer = _shared(wanted, link_bits_per_second) / max(one.p50 for one in found)
    return Quantiles(seconds.p10 * longer, seconds.p50 * longer, seconds.p90 * longer)


def _latest(found: Sequence[Quantiles]) -> Quantiles:
    """The quantiles of the largest of independent times: the product of their distributions."""

    def below(seconds: float) -> float:
        return math.prod(_probability(one, seconds) for one in found)

    def quantile(probability: float) -> float:
        # a bracket that holds it: all of them are surely below the upper end
        low = math.log(min(one.p10 for one in found)) - 1
        high = max(math.log(one.p50) + 4 * math.log(one.p90 / one.p50) for one in found) + 1e-9
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if below(math.exp(middle)) < probability else (low, middle)
        return math.exp(high)

    return Quantiles(quantile(0.1), quantile(0.5), quantile(0.9))


def _probability(one: Quantiles, seconds: float) -> float:
    """That it takes at most `seconds`."""
    far = math.log(seconds / one.p50)
    width = math.log(one.p90 / one.p50) if far > 0 else math.log(one.p50 / one.p10)
    if width == 0:
        return 1.0 if far >= 0 else 0.0
    return _NORMAL.cdf(far / width * _NORMAL.inv_cdf(0.9))


def _shared(wanted: Sequence[tuple[float, float]], link_bits_per_second: float) -> float:
    """Seconds until all is there that would take (seconds, at bits per second) alone, over one link, which is
    shared max-min fairly."""
    left = [(seconds, rate) for seconds, rate in wanted if rate > 0]
    passed = max((seconds for seconds, rate in wanted if rate <= 0), default=0.0)
    now = 0.0
    while left:
        shares, free = [], link_bits_per_second
        left.sort(key=lambda one: one[1])
        for number, (_, rate) in enumerate(left):
            shares.append(min(rate, free / (len(left) - number)))
            free -= shares[-1]
        speeds = [share / rate for share, (_, rate) in zip(shares, left, strict=True)]
        step = min(seconds / speed for speed, (seconds, _) in zip(speeds, left, strict=True))
        now += step
        left = [
            (seconds - step * speed, rate)
            for speed, (seconds, rate) in zip(speeds, left, strict=True)
            if seconds - step * speed > 1e-9 * seconds
        ]
    return max(now, passed)
