"""What the network means: how long data of some sizes takes from every site to every other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import permutations

from federation.sites import Federation
from netprobe.archive import Archive
from netprobe.cost import seconds_for
from netprobe.evidence import Rung
from netprobe.forecast import forecast_from
from netprobe.history import History
from netprobe.quantiles import Quantiles
from reports.network.model import Ends
from reports.side_by_side import side_by_side

WEEK_SECONDS = 7 * 86_400.0
# Of each path so many of the newest tests make the forecast, and in a large federation fewer, but not less
# than these: from so many on a path's own errors make its interval.
TESTS, LEAST_TESTS, MOST_IN_ALL = 100, 16, 100_000
# Below this, starting processes takes longer than the work.
_FEW_PATHS = 200


@dataclass(frozen=True)
class Moving:
    """Seconds to move each of the sizes over one path, and what that forecast rests on. `measured`: on the
    path's own tests, not on other paths or the distance."""

    source: str
    destination: str
    seconds: tuple[Quantiles, ...]
    bits_per_second: Quantiles
    rung: Rung
    tests: int
    age_seconds: float | None
    transfers: int

    @property
    def ends(self) -> Ends:
        return self.source, self.destination

    @property
    def measured(self) -> bool:
        return self.rung is Rung.MEASURED


@dataclass(frozen=True)
class Moves:
    """All of them, by path; `sizes` in bytes; `tests` of a path at most were looked at. `prices`: what
    sites charge for a GiB that is brought to them, in the federation's own currency; without free ones."""

    sizes: tuple[int, ...]
    tests: int
    paths: dict[Ends, Moving]
    prices: Mapping[str, float] = field(default_factory=dict)


def known(archive: Archive, sites: int, until: datetime) -> tuple[History, int]:
    """What forecasts of so many sites rest on, as it was known at `until`, and how many tests of a path."""
    paths = max(sites * (sites - 1), 1)
    tests = min(max(MOST_IN_ALL // paths, LEAST_TESTS), TESTS)
    return archive.history(tests, before=until), tests


def moves(
    history: History,
    tests: int,
    federation: Federation,
    sites: Sequence[str],
    sizes: Sequence[int],
    until: datetime,
    progress: Callable[[float], None] = lambda share: None,
) -> Moves:
    """The forecast of every ordered pair of sites, by the broker's own forecast and model of a transfer: one
    file of that size in one stream. Blocks; on all processors where there are many paths."""
    every = list(permutations(sites, 2))

    def part(some: Sequence[Ends]) -> list[Moving]:
        return [_moving(history, federation, ends, sizes, until) for ends in some]

    found = side_by_side(part, every, _FEW_PATHS, progress)
    prices = {
        site: federation[site].tariff.per_gib_moved
        for site in sites
        if site in federation.sites and federation[site].tariff.per_gib_moved
    }
    return Moves(tuple(sizes), tests, {one.ends: one for one in found}, prices)


def _moving(
    history: History, federation: Federation, ends: Ends, sizes: Sequence[int], until: datetime
) -> Moving:
    path = forecast_from(history, federation, *ends, until)
    return Moving(
        *ends,
        tuple(seconds_for(path, size) for size in sizes),
        path.bits_per_second,
        path.rung,
        path.tests,
        path.newest_age_seconds,
        path.transfers,
    )
