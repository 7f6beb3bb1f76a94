"""What a placement costs, what it is worth, and whether that keeps the request's limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from broker.model import Figure, Level, Limit, Note
from federation.sites import Site
from netprobe.cost import Move, Staging
from netprobe.quantiles import Quantiles

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


def moved(staging: Staging) -> list[Move]:
    """The moves that cross the network."""
    return [move for move in staging.moves if move.source != move.destination]


def costs(
    site: Site, cores: int, memory_gib: int, duration: timedelta, staging: Staging
) -> tuple[Figure, ...]:
    """What a session costs if it uses all of `duration`. Money is in the federation's own currency."""
    hours = duration.total_seconds() / 3600
    size_bytes = sum(move.size_bytes for move in moved(staging))
    tariff = site.tariff
    money = (
        tariff.per_core_hour * cores * hours
        + tariff.per_gib_hour * memory_gib * hours
        + tariff.per_gib_moved * size_bytes / GIB
    )
    kilowatt_hours = site.energy.watts_per_core * cores * hours / 1000
    carbon = kilowatt_hours * site.energy.grams_co2_per_kwh
    seconds = staging.seconds
    return (
        _exact(MONETARY, money, "Price of cores, memory and data moved, in the federation's currency"),
        _exact(ENERGY, kilowatt_hours, "Energy that the cores use, in kWh"),
        _exact(CARBON, carbon, "Carbon dioxide of that energy, in grams"),
        Figure(
            TRANSFER_SECONDS,
            seconds.p10,
            seconds.p90,
            "Seconds to bring the data to the site: 10 % and 90 % quantiles of the forecast",
        ),
        _exact(TRANSFER_BYTES, float(size_bytes), "Bytes that cross the network between sites"),
    )


def metrics(
    site: Site, staging: Staging, now: datetime, result: tuple[datetime, datetime]
) -> tuple[Figure, ...]:
    """What a session is worth. `result`: when it is expected to have ended, 10 % and 90 % quantiles."""
    figures: list[Figure] = []
    if site.platform is not None:
        score = site.platform.compute_performance
        figures.append(
            _exact(COMPUTE_PERFORMANCE, score, "Benchmark score that the site declares for one core")
        )
        rate = site.platform.options.get("io_throughput")
        if isinstance(rate, int | float):
            figures.append(
                _exact(IO_THROUGHPUT, float(rate), "Rate of the site's storage in MB/s, as declared")
            )
    slowest = slowest_path(staging)
    if slowest is not None:
        figures.append(
            Figure(
                PATH_THROUGHPUT,
                slowest.p10,
                slowest.p90,
                "Bits per second over the slowest path used: 10 % and 90 % quantiles of the forecast",
            )
        )
    first, last = ((instant - now).total_seconds() for instant in result)
    figures.append(
        Figure(
            SECONDS_TO_RESULT,
            first,
            last,
            "Seconds from now until the session has ended: 10 % and 90 % quantiles of the forecast",
        )
    )
    return tuple(figures)


def slowest_path(staging: Staging) -> Quantiles | None:
    """Throughput of the slowest path that is used (by its median), in bits per second."""
    rates = [move.forecast.bits_per_second for move in moved(staging)]
    return min(rates, key=lambda rate: rate.p50, default=None)


def broken_limits(limits: Iterable[Limit], figures: Sequence[Figure], path: str, place: str) -> list[Note]:
    """A note for each limit that `figures` don't keep, with the change that would do."""
    known = {figure.type: figure for figure in figures}
    return [
        note
        for limit in limits
        for note in [_broken(limit, known.get(limit.type), path, place)]
        if note is not None
    ]


def _broken(limit: Limit, figure: Figure | None, path: str, place: str) -> Note | None:
    values = {"site": place, "type": limit.type}
    if figure is None:
        text = "{site} states no {type}, so its limit can't be kept: leave that limit out"
        return Note("limit-unknown", text, values, Level.ERROR, path)
    if limit.maximum is not None and figure.maximum > limit.maximum:
        values |= {"value": _number(figure.maximum), "limit": _number(limit.maximum)}
        text = "{site}: {type} is up to {value}, more than the limit {limit}: raise the limit to {value}"
        return Note("limit-broken", text, values, Level.ERROR, path)
    if limit.minimum is not None and figure.minimum < limit.minimum:
        values |= {"value": _number(figure.minimum), "limit": _number(limit.minimum)}
        text = "{site}: {type} may be just {value}, less than the limit {limit}: lower the limit to {value}"
        return Note("limit-broken", text, values, Level.ERROR, path)
    return None


def _exact(type_: str, value: float, description: str) -> Figure:
    return Figure(type_, value, value, description)


def _number(value: float) -> str:
    return f"{value:.6g}"
