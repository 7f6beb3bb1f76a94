"""The throughput forecast held against the archive: tests forecast by what was known before each."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Engine

from federation.sites import Federation
from netprobe import archive_queries as queries
from netprobe.archive_rows import built
from netprobe.backtest import replay as replay_one
from netprobe.history import History
from netprobe.measured import usable
from netprobe.measurement import Kind, Measurement

# Tests that are forecast again, and of how many paths: evenly chosen, for each takes ten milliseconds.
MOST_REPLAYED = 300
MOST_PATHS = 60
# What a forecast looks at of each kind, and how many tests it must know to count.
KNOWN = 100
FIRST = 16
_NOWHERE = Federation("backtest", {})
_KINDS = (Kind.THROUGHPUT, Kind.LATENCY, Kind.TRANSFER)

Path = tuple[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Replayed:
    """A test forecast by what was known before it. `log_error` is ln(actual / forecast), of the last test's
    rate `naive_log_error`; `inside`: the test was within the 80 % interval."""

    started: datetime
    source: str
    destination: str
    log_error: float
    inside: bool
    naive_log_error: float


def read(
    engine: Engine, since: datetime, until: datetime, sites: Collection[str] | None = None
) -> tuple[Replayed, ...]:
    """Tests from `since` until before `until`, at most MOST_REPLAYED of MOST_PATHS, oldest first. Blocks:
    some seconds."""
    with engine.connect() as connection:
        paths = queries.paths(connection, Kind.THROUGHPUT)
        if sites is not None:
            paths = [path for path in paths if {*path} <= {*sites}]
        paths = evenly(paths, MOST_PATHS)
        rows = [
            row
            for kind in _KINDS
            for row in queries.newest_of_each(
                connection,
                queries.LIGHT,
                kind,
                paths,
                failed=False,
                since=None,
                before=until,
                # as far back as the tests that are looked at need, of those that are tested often
                limit=3 * KNOWN,
            )
        ]
    return replay(History.of(map(built, rows)), since)


def replay(history: History, since: datetime) -> tuple[Replayed, ...]:
    """Every test of `history` from `since` on that has FIRST before it, or an even choice of them."""
    due = []
    for path in sorted(set(history.paths(Kind.THROUGHPUT))):
        tests = usable(history.path(Kind.THROUGHPUT, *path))[::-1]
        due += [(tests, n) for n in range(FIRST, len(tests)) if tests[n].started >= since]
    found = [_replayed(history, *one) for one in evenly(due, MOST_REPLAYED)]
    return tuple(sorted(found, key=lambda one: (one.started, one.source, one.destination)))


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly spaced."""
    if len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


def _replayed(history: History, tests: Sequence[Measurement], n: int) -> Replayed:
    test = tests[n]
    found = replay_one(history, _NOWHERE, test)
    rate = found.rate(_NOWHERE)
    actual, last = found.levels(_NOWHERE, test, tests[n - 1])
    inside = math.log(rate.p10) <= actual <= math.log(rate.p90)
    ends = test.source, test.destination
    return Replayed(test.started, *ends, actual - math.log(rate.p50), inside, actual - last)
