"""The newest measurements of every path, in memory: what a forecast looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from netprobe.measurement import Kind, Measurement


@dataclass(frozen=True)
class History:
    """Measurements by (kind, source, destination), newest first, failed ones included."""

    by_path: Mapping[tuple[Kind, str, str], Sequence[Measurement]]
    # what forecasts have worked out from it, so that it is done once only
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> History:
        """Sort measurements, in any order, into their paths."""
        found: dict[tuple[Kind, str, str], list[Measurement]] = defaultdict(list)
        for measurement in measurements:
            found[measurement.kind, measurement.source, measurement.destination].append(measurement)
        for path in found.values():
            path.sort(key=lambda measurement: measurement.started, reverse=True)
        return cls(found)

    def with_newer(self, newer: History) -> History:
        """The same, but for the paths of `newer`; what was worked out is worked out again."""
        return History({**self.by_path, **newer.by_path})

    def before(self, when: datetime, path: tuple[str, str] | None = None, per_path: int = 100) -> History:
        """As `Archive.history` would have read it at `when`: what had begun by then, of one path or (None)
        of all."""
        found = {}
        for key, tests in self.by_path.items():
            if path is None or key[1:] == path:
                known = [one for one in tests if one.started < when]
                good = [one for one in known if one.succeeded][:per_path]
                least = good[-1].started if len(good) == per_path else None
                failed = [
                    one for one in known if not one.succeeded and (least is None or one.started >= least)
                ]
                newest = [*good, *failed[:per_path]]
                found[key] = sorted(newest, key=lambda one: one.started, reverse=True)
        return History(found)

    def path(self, kind: Kind, source: str, destination: str) -> Sequence[Measurement]:
        """What was measured of that kind from `source` to `destination`, newest first."""
        return self.by_path.get((kind, source, destination), ())

    def paths(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """Every (source, destination) of which there is anything of that kind."""
        # each forecast asks for it, and there may be ten thousand paths
        key = ("paths", kind)
        if key not in self.memo:
            self.memo[key] = [path for found, *path in self.by_path if found == kind]
        return ((source, destination) for source, destination in self.memo[key])
