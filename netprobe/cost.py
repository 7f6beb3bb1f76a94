"""What moving data costs: from sizes and forecasts to seconds, as quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from netprobe.batch_model import (
    PathModel,
    batch_seconds,
    likely_sizes,
    relative_noise,
    summed_seconds,
)
from netprobe.forecast import Forecast, ForecastPath, from_outside
from netprobe.latest import latest
from netprobe.quantiles import Quantiles
from netprobe.weights import LogSpread, combine

NOTHING = Quantiles(0.0, 0.0, 0.0)
# A thousand years: what takes longer is never there. It is added to instants, and a calendar ends in 9999.
LONGEST_SECONDS = 1000 * 365.25 * 86_400


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
    """Seconds to move `files` files of together `size_bytes`, each of a size that isn't known, over the path.

    The mover's model at the rate's quantiles (a fast path gives the small ones), times the correction learnt
    from real transfers, taken as independent of the rate; but where transfers are many, their ratio to the
    median's seconds is all there is to it. Wider for short transfers. Grows with size, falls with rate, never
    0, and no more than LONGEST_SECONDS.
    """
    if files < 1 or size_bytes < 0:
        raise ValueError(f"expected at least one file and no negative size, got {files} and {size_bytes}")
    return _corrected(forecast, lambda path: summed_seconds(size_bytes, files, path))


def seconds_of(forecast: Forecast, sizes: Sequence[float]) -> Quantiles:
    """The same of files of these sizes (bytes). No files take no time."""
    return _corrected(forecast, lambda path: batch_seconds(sizes, path)) if sizes else NOTHING


def _corrected(forecast: Forecast, model: Callable[[PathModel], float]) -> Quantiles:
    rate = forecast.moving
    same = forecast.rtt_seconds, forecast.mss_bytes, forecast.gain
    fast, middle, slow = (model(PathModel(each, *same)) for each in (rate.p90, rate.p50, rate.p10))
    # going through many files, a faster path may now and then be slower by a hair
    modelled = Quantiles(min(fast, middle), middle, max(middle, slow))
    noise, learnt = relative_noise(middle), forecast.correction
    ratio = LogSpread(
        learnt.p50, noise * math.log(learnt.p50 / learnt.p10), noise * math.log(learnt.p90 / learnt.p50)
    ).quantiles
    if forecast.correction_is_whole:
        return at_longest(Quantiles(middle * ratio.p10, middle * ratio.p50, middle * ratio.p90))
    below, above = forecast.rate_counts
    by_rate = LogSpread(
        middle, below * math.log(middle / modelled.p10), above * math.log(modelled.p90 / middle)
    ).quantiles
    return at_longest(combine(by_rate, ratio))


def at_longest(seconds: Quantiles) -> Quantiles:
    """The same, but LONGEST_SECONDS for what is longer."""
    return Quantiles(*(min(each, LONGEST_SECONDS) for each in (seconds.p10, seconds.p50, seconds.p90)))


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
    paths = _Paths(destination, forecast)
    moves = [_fastest(item, paths) for item in items]
    groups = grouped(moves)
    size_bytes = sum(move.size_bytes for move in moves)
    seconds = together(groups, link_bits_per_second)
    return Staging(destination, tuple(moves), seconds, size_bytes, groups)


def plan_files(files: Iterable[Item], destination: str, forecast: ForecastPath) -> tuple[Move, ...]:
    """A move for each of the files, in their order: those that lie at the same sites all come from the one
    that is fastest to bring them together, as if they were one item of `plan_staging`.

    So what was planned by such parts, when only their sums were known, is what is moved in the end.
    """
    paths = _Paths(destination, forecast)
    wanted = [(file, frozenset(source for _, source in file.replicas)) for file in files]
    alike: dict[frozenset[str | None], list[Item]] = {}
    for file, places in wanted:
        alike.setdefault(places, []).append(file)
    chosen = {}
    for places, some in alike.items():
        size_bytes, count = sum(file.size_bytes for file in some), sum(file.files for file in some)
        chosen[places] = _fastest(Item("", size_bytes, some[0].replicas, count), paths).source
    return tuple(
        next(_move(file, one, paths) for one in file.replicas if one[1] == chosen[places])
        for file, places in wanted
    )


class _Paths:
    """The forecasts of the paths to one destination, each asked for once."""

    def __init__(self, destination: str, forecast: ForecastPath) -> None:
        self.destination, self._forecast = destination, forecast
        self._known: dict[str | None, Forecast] = {None: from_outside(destination)}

    def __getitem__(self, source: str | None) -> Forecast:
        if source is not None and source not in self._known:
            self._known[source] = self._forecast(source, self.destination)
        return self._known[source]


def _move(item: Item, replica: tuple[str, str | None], paths: _Paths) -> Move:
    url, source = replica
    seconds = seconds_for(paths[source], item.size_bytes, item.files)
    return Move(item.key, url, source, paths.destination, item.size_bytes, seconds, paths[source], item.files)


def _fastest(item: Item, paths: _Paths) -> Move:
    if not item.replicas:
        raise ValueError(f"item {item.key!r} has no replica to bring it from")
    options: dict[str | None, tuple[str, str | None]] = {}
    for url, source in item.replicas:
        # of one place the first
        options.setdefault(source, (url, source))
    left = [options[source] for source in _worthwhile(list(options), paths)]
    if len(left) > 1:
        medians = [_median(item, paths[source]) for _, source in left]
        left = [one for one, median in zip(left, medians, strict=True) if median == min(medians)]
    return min((_move(item, one, paths) for one in left), key=lambda move: move.seconds.p90)


def _median(item: Item, forecast: Forecast) -> float:
    """The median of `seconds_for`, for a third of the work."""
    rate = forecast.moving.p50
    path = PathModel(rate, forecast.rtt_seconds, forecast.mss_bytes, forecast.gain)
    return summed_seconds(item.size_bytes, item.files, path) * forecast.correction.p50


def _worthwhile(sources: Sequence[str | None], paths: _Paths) -> list[str | None]:
    """Those than which no other is better in all that the seconds depend on: it is as fast as they get."""
    worse = {source: _worse(paths[source]) for source in sources}
    return [
        source
        for source in sources
        if not any(
            worse[other] != worse[source]
            and all(theirs <= mine for theirs, mine in zip(worse[other], worse[source], strict=True))
            for other in sources
        )
    ]


def _worse(forecast: Forecast) -> tuple[float, ...]:
    """What makes a median larger, the larger it is."""
    rate, correction = forecast.moving.p50, forecast.correction.p50
    return -rate, -rate * forecast.gain, forecast.rtt_seconds, -forecast.mss_bytes, correction


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
    # of the files of a folder only their sum is known
    sizes = [size for move in moves for size in likely_sizes(move.size_bytes, move.files)]
    return seconds_of(moves[0].forecast, sizes)


def together(groups: Sequence[Group], link_bits_per_second: float | None = None) -> Quantiles:
    """Seconds until the last of the groups is there, which all begin at once.

    Their errors are log-normal to either side of the median, and alike, as `netprobe.latest` has it. Where
    they want more than the link of the destination carries, they share it evenly, and all takes longer by
    that factor.
    """
    if not groups:
        return NOTHING
    found = [group.seconds for group in groups]
    seconds = found[0] if len(found) == 1 else latest(found)
    if link_bits_per_second is None:
        return seconds
    wanted = [(one.p50, group.size_bytes * 8 / one.p50) for one, group in zip(found, groups, strict=True)]
    longer = _shared(wanted, link_bits_per_second) / max(one.p50 for one in found)
    return at_longest(Quantiles(seconds.p10 * longer, seconds.p50 * longer, seconds.p90 * longer))


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
