"""What a comparison looks at, as columns: a million results in some hundred megabytes."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprobe.measurement import Kind
from reports.compare.statistics import Floats
from reports.compare.ways import Side, Way

# of the figures, by the names that `Measurement` gives
FIGURES = (
    "bits_per_second",
    "sent_bits_per_second",
    "rtt_seconds",
    "rtt_seconds_min",
    "loss_ratio",
    "packets_sent",
    "packets_lost",
    "owd_seconds",
    "owd_seconds_min",
    "clock_error_seconds",
    "mss_bytes",
    "path_mtu_bytes",
    "cpu_percent_source",
    "cpu_percent_destination",
)
# of the context: use of all processors at both ends; what a buffer may grow to; whether others filled paths
CONTEXT = ("busy_source", "busy_destination", "buffer_bytes", "beside")
# `overlapped`: of throughput tests, how many others ran beside it (`reports.compare.overlaps`)
COLUMNS = ("started", "seconds", *FIGURES, *CONTEXT, "overlapped", "way")
_INDEX = {name: index for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Rows:
    """Successes of one path and side, oldest first: a row each, `COLUMNS` wide, NaN where not measured."""

    values: Floats
    ways: tuple[Way, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Floats:
        return self.values[:, _INDEX[name]]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
        """Those of the rows; itself where that is all of them."""
        if chosen.dtype == np.bool_ and chosen.all():
            return self
        return Rows(self.values[chosen], self.ways)

    def merged(self, other: Rows) -> Rows:
        """Both, oldest first."""
        if not len(self) or not len(other):
            return self if len(self) else other
        later = other.values.copy()
        later[:, -1] += len(self.ways)
        values = np.concatenate((self.values, later))
        return Rows(values[np.argsort(values[:, 0], kind="stable")], (*self.ways, *other.ways))

    def by_key(self) -> dict[tuple[str | None, int, int | None], Rows]:
        """The series: what was measured in ways that give comparable figures."""
        keys: dict[Any, list[int]] = defaultdict(list)
        for index, one in enumerate(self.ways):
            keys[one.key].append(index)
        if len(keys) == 1:
            return dict.fromkeys(keys, self) if len(self) else {}
        found = {key: self.where(np.isin(self["way"], codes)) for key, codes in keys.items()}
        return {key: rows for key, rows in found.items() if len(rows)}

    def usual_way(self) -> Way:
        """The way of most of the rows."""
        if len(self.ways) == 1:
            return self.ways[0]
        return self.ways[int(np.bincount(self["way"].astype(int)).argmax())]


NOTHING = Rows(np.empty((0, len(COLUMNS))), ())


@dataclass(frozen=True)
class Failures:
    """When tests of a path and side failed, and what the last of them said."""

    times: Floats = field(default_factory=lambda: np.empty(0))
    last: str = ""

    def merged(self, other: Failures) -> Failures:
        newest = max(self, other, key=lambda one: one.times[-1] if len(one.times) else -math.inf)
        return Failures(np.sort(np.concatenate((self.times, other.times))), newest.last)


_NO_FAILURES = Failures()


@dataclass
class Observed:
    """One direction of a pair, one kind: what both sides measured."""

    source: str
    destination: str
    rows: dict[Side, Rows] = field(default_factory=dict)
    failures: dict[Side, Failures] = field(default_factory=dict)

    def of(self, side: Side) -> Rows:
        return self.rows.get(side, NOTHING)

    def failed(self, side: Side) -> Failures:
        return self.failures.get(side, _NO_FAILURES)

    def merged(self, other: Observed) -> Observed:
        """What was measured of this path in two kinds of rows."""
        return Observed(
            self.source,
            self.destination,
            {side: self.of(side).merged(other.of(side)) for side in {*self.rows, *other.rows}},
            {
                side: self.failed(side).merged(other.failed(side))
                for side in {*self.failures, *other.failures}
            },
        )


@dataclass
class Reading:
    """All that a comparison looks at. `addresses`: under which addresses each end was measured, by side."""

    since: datetime
    until: datetime
    kinds: dict[Kind, dict[tuple[str, str], Observed]]
    # (time, routers) of each path, oldest first
    routes: dict[tuple[str, str], list[tuple[float, tuple[str, ...]]]]
    addresses: dict[Side, dict[str, set[str]]]
    # rows that are dated later than anything can be, by side
    ahead: dict[Side, int]
    rows: int

    def path(self, kind: Kind, source: str, destination: str) -> Observed:
        return self.kinds.get(kind, {}).get((source, destination)) or Observed(source, destination)

    def losses(self, source: str, destination: str) -> Observed:
        """What says how many packets were lost: tests of latency, and those of loss alone."""
        latency = self.path(Kind.LATENCY, source, destination)
        alone = self.kinds.get(Kind.LOSS, {}).get((source, destination))
        return latency if alone is None else latency.merged(alone)
