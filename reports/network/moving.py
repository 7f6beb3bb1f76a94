"""What the network means: how long data of some sizes takes from every site to every other."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
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
    """All of them, by path; `sizes` in bytes; `tests` of a path at most were looked at."""

    sizes: tuple[int, ...]
    tests: int
    paths: dict[Ends, Moving]


def known(archive: Archive, sites: int, until: datetime) -> tuple[History, int]:
    """What forecasts of so many sites rest on, as it was known at `until`, and how many tests of a path."""
    paths = max(sites * (sites - 1), 1)
    tests = min(max(MOST_IN_ALL // paths, LEAST_TESTS), TESTS)
    return archive.history(tests, before=until), tests


# what the children of this process work on
_work: tuple[History, Federation, Sequence[int], datetime] | None = None


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
    global _work
    every = list(permutations(sites, 2))
    workers = len(os.sched_getaffinity(0))
    _work = history, federation, tuple(sizes), until
    found: list[Moving] = []
    try:
        if len(every) < _FEW_PATHS or workers < 2:
            found = _part(every)
        else:
            # by source: paths of one site learn from the same others
            size = -(-len(every) // (16 * workers))
            parts = [every[start : start + size] for start in range(0, len(every), size)]
            gc.freeze()
            with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
                for part in pool.map(_part, parts):
                    found += part
                    progress(len(found) / len(every))
    finally:
        gc.unfreeze()
        _work = None
    return Moves(tuple(sizes), tests, {one.ends: one for one in found})


def _part(every: Sequence[Ends]) -> list[Moving]:
    assert _work is not None
    history, federation, sizes, until = _work
    found = []
    for source, destination in every:
        path = forecast_from(history, federation, source, destination, until)
        found.append(
            Moving(
                source,
                destination,
                tuple(seconds_for(path, size) for size in sizes),
                path.bits_per_second,
                path.rung,
                path.tests,
                path.newest_age_seconds,
                path.transfers,
            )
        )
    return found
