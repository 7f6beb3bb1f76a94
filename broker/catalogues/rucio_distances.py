"""Measured distances, written back to Rucio: it prefers sources that are near."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from broker.catalogues.rucio_client import Rucio

AT_ONCE = 8
# for one question
SECONDS = 30.0


@dataclass(frozen=True)
class Change:
    """A distance between two storage elements; `before` None: Rucio has none yet."""

    source: str
    destination: str
    before: float | None
    after: int


def changes(rucio: Rucio, wanted: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Those of `wanted` (as `netprobe.distances.for_rucio` makes them) that Rucio has otherwise. Raises
    RucioError, NotThereError for a storage element that this Rucio doesn't know."""

    def compared(one: Mapping[str, Any]) -> Change:
        source, destination = one["source"], one["destination"]
        before = rucio.distance(source, destination, time.monotonic() + SECONDS)
        return Change(source, destination, before, one["distance"])

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return [each for each in pool.map(compared, wanted) if each.before != each.after]


def write(rucio: Rucio, wanted: Sequence[Change], progress: Callable[[int], None]) -> None:
    """One after the other; `progress` gets how many are done. Raises RucioError, with the others written."""
    for number, one in enumerate(wanted, 1):
        new = one.before is None
        rucio.set_distance(one.source, one.destination, one.after, new, time.monotonic() + SECONDS)
        progress(number)
