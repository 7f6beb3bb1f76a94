"""What a placement costs and what it is worth, as a whole and by component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker.model import Figure, Request
from broker.offers.checks import storage_gib
from broker.offers.images import Pull
from federation.sites import Site
from netprobe.cost import Move, Staging, grouped, together
from reservations.capacity import Capacity

MONETARY = "urn:ivoa:calycopis:cost:monetary"
ENERGY = "urn:ivoa:calycopis:cost:energy"
CARBON = "urn:ivoa:calycopis:cost:carbon"
TRANSFER_SECONDS = "urn:fairlead:cost:transfer-seconds"
TRANSFER_BYTES = "urn:fairlead:cost:transfer-bytes"
COMPUTE_PERFORMANCE = "urn:ivoa:calycopis:metric:compute-performance"
IO_THROUGHPUT = "urn:ivoa:calycopis:metric:io-throughput"
PATH_THROUGHPUT = "urn:fairlead:metric:path-throughput"
SECONDS_TO_RESULT = "urn:fairlead:metric:seconds-to-result"

GIB = 2**30
BYTES = "Bytes that cross the network between sites"
SUMMED = "Price of cores, memory, storage and data moved, in the federation's currency"


@dataclass(frozen=True)
class Bill:
    """Figures by component (keys as in `SessionRecord.component_uuid`), and those of the whole."""

    costs: tuple[Figure, ...]
    metrics: tuple[Figure, ...]
    component_costs: Mapping[str, tuple[Figure, ...]]
    component_metrics: Mapping[str, tuple[Figure, ...]]


def bill(
    site: Site,
    request: Request,
    size: Capacity,
    staging: Staging,
    result: tuple[float, float],
    credits: Figure | None = None,
    pull: Pull | None = None,
) -> Bill:
    """What a session of `size` costs if it uses all of its time, and what it is worth. `credits`: what is
    taken of the site's credits, where it has some. `pull`: the image, where it is brought there.

    Money is in the federation's own currency. `result`: seconds until it is expected to have ended, 10 % and
    90 % quantiles. Money, energy, carbon and bytes of the whole are the sums of its components'; seconds of
    moving are not, for quantiles don't add up.
    """
    costs = {"compute": _compute_costs(site, size, request.duration)}
    if credits is not None:
        costs["compute"] += (credits,)
    metrics = {"compute": _performance(site)}
    hours = _hours(request.duration)
    for place in request.storage:
        price = site.tariff.per_gib_stored_hour * storage_gib(request, place) * hours
        costs[place.uuid] = _money(price, "Price of keeping the storage for the duration")
        metrics[place.uuid] = _storage_rate(site)
    for key, moves in _by_item(staging).items():
        costs[key], metrics[key] = _data_costs(site, moves), _path_rate(moves)
    if pull is not None:
        costs["executable"] = _image_costs(site, pull)
    return _whole(costs, metrics, staging, result, _performance(site) + _storage_rate(site), pull)


def foreign_bill(
    site: Site,
    costs: Sequence[Figure],
    metrics: Sequence[Figure],
    staging: Staging,
    result: tuple[float, float],
) -> Bill:
    """The figures of the site's own broker, and ours for moving the data there."""
    ours = (SECONDS_TO_RESULT, PATH_THROUGHPUT)
    theirs = tuple(figure for figure in metrics if figure.type not in ours)
    items = _by_item(staging)
    parts = {key: _data_costs(site, moves) for key, moves in items.items()}
    rates = {key: _path_rate(moves) for key, moves in items.items()}
    computed = tuple(figure for figure in costs if figure.type not in (TRANSFER_SECONDS, TRANSFER_BYTES))
    return _whole({"compute": computed, **parts}, {"compute": theirs, **rates}, staging, result, theirs)


def moved(staging: Staging) -> list[Move]:
    """The moves that cross the network."""
    return [move for move in staging.moves if move.source != move.destination]


def _by_item(staging: Staging) -> dict[str, list[Move]]:
    """The moves of each data item: several, where it comes in parts."""
    found: dict[str, list[Move]] = {}
    for move in staging.moves:
        found.setdefault(move.key, []).append(move)
    return found


def _whole(
    costs: Mapping[str, tuple[Figure, ...]],
    metrics: Mapping[str, tuple[Figure, ...]],
    staging: Staging,
    result: tuple[float, float],
    worth: tuple[Figure, ...],
    pull: Pull | None = None,
) -> Bill:
    added = [_sum(figures) for figures in _by_type(costs).values()]
    seconds, what = staging.seconds, "the data"
    size_bytes = sum(move.size_bytes for move in moved(staging))
    if pull is not None:
        # one after the other
        seconds, what = seconds + pull.seconds, "data and image"
        size_bytes += pull.move.size_bytes if pull.crosses else 0
    moving = Figure(
        TRANSFER_SECONDS,
        seconds.p10,
        seconds.p90,
        f"Seconds to bring {what} to the site: 10 % and 90 % quantiles of the forecast",
    )
    whole = (*added, moving, _exact(TRANSFER_BYTES, float(size_bytes), BYTES))
    until = Figure(
        SECONDS_TO_RESULT,
        *result,
        "Seconds from now until the session has ended: 10 % and 90 % quantiles of the forecast",
    )
    return Bill(
        whole,
        (*worth, *_path_rate(staging.moves), until),
        {key: figures for key, figures in costs.items() if figures},
        {key: figures for key, figures in metrics.items() if figures},
    )


def _by_type(costs: Mapping[str, tuple[Figure, ...]]) -> dict[str, list[Figure]]:
    """What adds up, by its type."""
    found: dict[str, list[Figure]] = {}
    for figures in costs.values():
        for figure in figures:
            if figure.type not in (TRANSFER_SECONDS, TRANSFER_BYTES):
                found.setdefault(figure.type, []).append(figure)
    return found


def _sum(figures: Sequence[Figure]) -> Figure:
    least = _plain(sum(each.minimum for each in figures))
    most = _plain(sum(each.maximum for each in figures))
    description = SUMMED if figures[0].type == MONETARY else figures[0].description
    return Figure(figures[0].type, least, most, description)


def _hours(duration: timedelta) -> float:
    return duration.total_seconds() / 3600


def _compute_costs(site: Site, size: Capacity, duration: timedelta) -> tuple[Figure, ...]:
    hours, tariff = _hours(duration), site.tariff
    money = tariff.per_core_hour * size.cores * hours + tariff.per_gib_hour * size.memory_gib * hours
    kilowatt_hours = site.energy.watts_per_core * size.cores * hours / 1000
    carbon = kilowatt_hours * site.energy.grams_co2_per_kwh
    return (
        _exact(MONETARY, money, "Price of cores and memory for the duration, in the federation's currency"),
        _exact(ENERGY, kilowatt_hours, "Energy that the cores use, in kWh"),
        _exact(CARBON, carbon, "Carbon dioxide of that energy, in grams"),
    )


def _data_costs(site: Site, moves: Sequence[Move]) -> tuple[Figure, ...]:
    """Of one item. What lies at the site already crosses nothing, and has no price."""
    size_bytes = sum(move.size_bytes for move in moves if move.source != move.destination)
    seconds = together(grouped(moves))
    return (
        *_money(site.tariff.per_gib_moved * size_bytes / GIB, "Price of moving the data to the site"),
        Figure(
            TRANSFER_SECONDS,
            seconds.p10,
            seconds.p90,
            "Seconds to bring this to the site: 10 % and 90 % quantiles of the forecast",
        ),
        _exact(TRANSFER_BYTES, float(size_bytes), BYTES),
    )


def _image_costs(site: Site, pull: Pull) -> tuple[Figure, ...]:
    size_bytes = pull.move.size_bytes if pull.crosses else 0
    return (
        *_money(site.tariff.per_gib_moved * size_bytes / GIB, "Price of moving the image to the site"),
        Figure(
            TRANSFER_SECONDS,
            pull.seconds.p10,
            pull.seconds.p90,
            "Seconds to bring the image to the site: 10 % and 90 % quantiles of the forecast",
        ),
        _exact(TRANSFER_BYTES, float(size_bytes), BYTES),
    )


def _money(price: float, description: str) -> tuple[Figure, ...]:
    """Nothing where it costs nothing."""
    return (_exact(MONETARY, price, f"{description}, in the federation's currency"),) if price else ()


def _performance(site: Site) -> tuple[Figure, ...]:
    if site.platform is None:
        return ()
    score = site.platform.compute_performance
    return (_exact(COMPUTE_PERFORMANCE, score, "Benchmark score that the site declares for one core"),)


def _storage_rate(site: Site) -> tuple[Figure, ...]:
    rate = site.platform.options.get("io_throughput") if site.platform else None
    if not isinstance(rate, int | float):
        return ()
    return (_exact(IO_THROUGHPUT, float(rate), "Rate of the site's storage in MB/s, as declared"),)


def _path_rate(moves: Iterable[Move]) -> tuple[Figure, ...]:
    """Throughput of the slowest path that is used (by its median); nothing where none is."""
    rates = [move.forecast.moving for move in moves if move.source != move.destination]
    if not rates:
        return ()
    slowest = min(rates, key=lambda rate: rate.p50)
    text = "Bits per second over the slowest path used: 10 % and 90 % quantiles of the forecast"
    return (Figure(PATH_THROUGHPUT, _plain(slowest.p10), _plain(slowest.p90), text),)


def _exact(type_: str, value: float, description: str) -> Figure:
    plain = _plain(value)
    return Figure(type_, plain, plain, description)


def _plain(value: float) -> float:
    """Without what floating point adds: 8 x 0.1 is 0.8 on the wire, and keeps a limit of 0.8."""
    return float(f"{value:.15g}")
