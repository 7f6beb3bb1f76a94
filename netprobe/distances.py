"""What was measured, for data managers: Rucio's integer distances, and links for FTS.

Rucio adds the distances of the hops of a path and prefers the smaller sum, so a distance has to add up: it is
the seconds that a reference transfer is forecast to take (median), rounded up. Never 0, which Rucio takes for
a copy of itself. A path that was never measured has the distance of its rung of the ladder, whose median is
lowered: it is never nearer for being unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from federation.sites import Federation
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast, ForecastPath
from netprobe.quantiles import Quantiles

# Large enough that the path's rate counts, and not what opening a file costs.
REFERENCE_BYTES = 10_000_000_000.0
# What one TCP connection usually has as its largest window (Linux: net.ipv4.tcp_wmem, tcp_rmem): with more
# than this on the way, more streams are needed.
WINDOW_BYTES = 6 * 2**20
MOST_STREAMS = 16
# Files at once between which FTS's optimiser chooses; a link that names none is fixed at two.
LEAST_ACTIVE, MOST_ACTIVE = 2, 60


@dataclass(frozen=True)
class Distance:
    """One ordered pair of sites: the reference transfer's seconds, and them as an integer from 1."""

    source: str
    destination: str
    distance: int
    seconds: Quantiles
    forecast: Forecast


def distances(
    federation: Federation, forecast: ForecastPath, size_bytes: float = REFERENCE_BYTES
) -> list[Distance]:
    """The distance of every ordered pair of different sites, for a reference transfer of one file."""
    found = []
    for source, destination in product(federation.sites, repeat=2):
        if source != destination:
            path = forecast(source, destination)
            seconds = seconds_for(path, size_bytes)
            found.append(Distance(source, destination, math.ceil(seconds.p50), seconds, path))
    return found


def for_rucio(found: list[Distance], federation: Federation) -> list[dict[str, Any]]:
    """A document for each ordered pair of storage elements: the arguments of Rucio's `add_distance` and
    `update_distance` (`source`, `destination`, `distance`). Sites that name no `rses` have none."""
    return [
        {"source": source, "destination": destination, "distance": one.distance}
        for one in found
        for source, destination in product(federation[one.source].rses, federation[one.destination].rses)
    ]


def for_fts(found: list[Distance], federation: Federation) -> list[dict[str, Any]]:
    """A document for each ordered pair of storages: a link as FTS's `/config/links` takes it, one a request.

    `nostreams` is what the round trip asks for at the forecast rate; how many files at once is left to FTS's
    optimiser, within wide limits. Sites that serve no data (`data_hosts`) have none.
    """
    return [
        {
            "symbolicname": f"{source}-to-{destination}",
            "source": f"https://{source}",
            "destination": f"https://{destination}",
            "min_active": LEAST_ACTIVE,
            "max_active": MOST_ACTIVE,
            "nostreams": streams(one.forecast),
        }
        for one in found
        for source, destination in _storages(one, federation)
    ]


def streams(forecast: Forecast) -> int:
    """TCP connections that keep a path full: what is on the way, over one connection's window."""
    on_the_way = forecast.moving.p50 / 8 * forecast.rtt_seconds
    return min(max(math.ceil(on_the_way / WINDOW_BYTES), 1), MOST_STREAMS)


def _storages(one: Distance, federation: Federation) -> Iterator[tuple[str, str]]:
    """The storage hosts of both sites; patterns name no host."""
    ends = (federation[one.source].data_hosts, federation[one.destination].data_hosts)
    named = [[host for host in hosts if "*" not in host] for hosts in ends]
    yield from product(*named)
