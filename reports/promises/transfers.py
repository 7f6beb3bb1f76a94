"""Real transfers with what was forecast before them, as the archive has them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from netprobe import archive_queries as queries
from netprobe.archive_rows import built
from netprobe.evidence import Rung
from netprobe.measured import AHEAD, usable
from netprobe.measurement import Kind, Measurement
from netprobe.quantiles import Quantiles
from netprobe.tables import measurements

# how long before a transfer a test of its path is looked for, and how many tests of a path are read at most
TESTS_BEFORE = timedelta(days=30)
MOST_TESTS = 10_000

Path = tuple[str, str]


@dataclass(frozen=True)
class Transfer:
    """One transfer, done or failed. Sizes in bytes, times in seconds, rates in bit/s.

    `forecast`: the seconds that were forecast before it; None where nothing was, or nothing that can be.
    `rung` and `tests_age_seconds`: what the forecast rested on, where that was kept. `last_rate` is of the
    newest usable test that had begun before the transfer, `last_age_seconds` before; `next_rate` of the first
    test after it. `beside`: other transfers to or from its sites that ran at the same time.
    """

    started: datetime
    source: str
    destination: str
    size_bytes: float
    files: int
    seconds: float
    forecast: Quantiles | None = None
    error: str | None = None
    rung: Rung | None = None
    tests_age_seconds: float | None = None
    last_rate: float | None = None
    last_age_seconds: float | None = None
    next_rate: float | None = None
    beside: int = 0

    @property
    def path(self) -> Path:
        return self.source, self.destination

    @property
    def judged(self) -> bool:
        """Whether there is a forecast to be held against what came."""
        return self.error is None and self.forecast is not None and self.seconds > 0

    @property
    def log_error(self) -> float:
        """ln(actual / forecast), of one that is `judged`."""
        assert self.forecast is not None
        return math.log(self.seconds / self.forecast.p50)

    @property
    def inside(self) -> bool:
        assert self.forecast is not None
        return self.forecast.p10 <= self.seconds <= self.forecast.p90

    @property
    def naive_log_error(self) -> float | None:
        """The same of bytes / last test; None where there was no test."""
        if not self.last_rate or self.size_bytes <= 0:
            return None
        return math.log(self.seconds / (self.size_bytes * 8 / self.last_rate))


@dataclass(frozen=True)
class Transfers:
    """`found` in the order in which they began. `ahead`: how many more are dated in the future."""

    found: tuple[Transfer, ...]
    ahead: int = 0


def read(
    engine: Engine,
    since: datetime,
    until: datetime,
    sites: Collection[str] | None = None,
    now: datetime | None = None,
) -> Transfers:
    """The transfers that began from `since` until before `until`, between these sites (None: all). With
    `now`, those that are dated later are counted: some clock is wrong. Blocks."""
    within = (
        measurements.c.kind == Kind.TRANSFER.value,
        measurements.c.started >= since,
        measurements.c.started < until,
    )
    columns = queries.bare(queries.LIGHT)
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(*within)).all()
        found = [built(row) for row in rows]
        if sites is not None:
            found = [one for one in found if {one.source, one.destination} <= {*sites}]
        paths = sorted({(one.source, one.destination) for one in found})
        tests = queries.newest_of_each(
            connection,
            queries.LIGHT,
            Kind.THROUGHPUT,
            paths,
            failed=False,
            since=since - TESTS_BEFORE,
            before=until,
            limit=MOST_TESTS,
        )
        ahead = 0
        if now is not None:
            later = (measurements.c.kind == Kind.TRANSFER.value, measurements.c.started > now + AHEAD)
            ahead = connection.execute(select(func.count()).where(*later)).scalar_one()
    return Transfers(tuple(_beside(_with_tests(found, [built(row) for row in tests]))), ahead)


def of_measurement(one: Measurement) -> Transfer:
    """Without what other measurements say of it."""
    figures, grounds = one.figures, one.context.get("forecast")
    grounds = grounds if isinstance(grounds, Mapping) else {}
    rung = grounds.get("rung")
    return Transfer(
        one.started,
        one.source,
        one.destination,
        figures.get("size_bytes", 0.0),
        int(figures.get("files", 1.0)),
        figures.get("seconds", one.seconds),
        _forecast(figures),
        one.error,
        Rung(rung) if rung in set(Rung) else None,
        _number(grounds.get("newest_age_seconds")),
    )


def _forecast(figures: Mapping[str, float]) -> Quantiles | None:
    middle = figures.get("predicted_seconds", math.nan)
    low, high = (figures.get(f"predicted_seconds_{name}", middle) for name in ("p10", "p90"))
    return Quantiles(low, middle, high) if 0 < low <= middle <= high < math.inf else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _with_tests(found: Sequence[Measurement], tests: Sequence[Measurement]) -> list[Transfer]:
    """Oldest first, each with the tests of its path around it."""
    of_path: dict[Path, list[Measurement]] = defaultdict(list)
    for test in sorted(tests, key=lambda one: one.started):
        of_path[test.source, test.destination].append(test)
    known = {path: usable(some) for path, some in of_path.items()}
    times = {path: [test.started for test in some] for path, some in known.items()}
    transfers = []
    for one in sorted(map(of_measurement, found), key=lambda one: (one.started, one.path, one.size_bytes)):
        some, when = known.get(one.path, []), times.get(one.path, [])
        before = bisect_left(when, one.started)
        after = bisect_left(when, one.started + timedelta(seconds=max(one.seconds, 0.0)))
        if before:
            one = replace(
                one,
                last_rate=some[before - 1].figures["bits_per_second"],
                last_age_seconds=(one.started - when[before - 1]).total_seconds(),
            )
        if after < len(some):
            one = replace(one, next_rate=some[after].figures["bits_per_second"])
        transfers.append(one)
    return transfers


def _beside(found: Sequence[Transfer]) -> list[Transfer]:
    """With how many others ran at the same time at one of the sites; `found` oldest first."""
    counts, running = [0] * len(found), list[int]()
    for number, one in enumerate(found):
        running = [other for other in running if _end(found[other]) > one.started]
        for other in running:
            if {*one.path} & {*found[other].path}:
                counts[number] += 1
                counts[other] += 1
        running.append(number)
    return [replace(one, beside=count) for one, count in zip(found, counts, strict=True)]


def _end(one: Transfer) -> datetime:
    return one.started + timedelta(seconds=max(one.seconds, 0.0))
