"""Reading the archive for a comparison: on all processors where there is much of it."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from sqlalchemy import Engine, func, select

from federation.database import connect
from netprobe import archive_queries
from netprobe.archive_queries import bare
from netprobe.archive_rows import json_value
from netprobe.measured import AHEAD
from netprobe.measurement import Kind, Origin
from netprobe.tables import measurements
from reports.compare.observed import FIGURES, Failures, Observed, Reading, Rows, seconds_of
from reports.compare.routes import routes
from reports.compare.ways import Quantity, Side, Way, way

SIDES: Mapping[str, Side] = {
    Origin.SCRIPTED.value: Side.SCRIPTED,
    Origin.PERFSONAR.value: Side.MESH,
    Origin.PSCHEDULER.value: Side.MESH,
}
_BATCH = 20_000
# Below this, starting processes takes longer than the work.
FEW_PATHS = 400


_NAN = math.nan
# the figures as one struct, which is read and laid out by the decoder itself
_Figures = msgspec.defstruct("_Figures", [(name, float, _NAN) for name in FIGURES])
_decode_figures = msgspec.json.Decoder(_Figures).decode


class _End(msgspec.Struct):
    processors_percent: float | None = None
    tcp_rmem: Any = None
    tcp_wmem: Any = None


class _Context(msgspec.Struct):
    """The part of a row's context that explains differences."""

    source: _End | None = None
    destination: _End | None = None
    beside: list[Any] | None = None
    clocks_disagree: bool = False
    path_mtu_bytes: float | None = None
    iperf3: str | None = None
    server_iperf3: str | None = None
    ping: str | None = None
    sender_congestion: str | None = None


_decode_context = msgspec.json.Decoder(_Context).decode


def read(
    engine: Engine,
    kinds: Collection[Kind],
    since: datetime,
    until: datetime,
    sites: Collection[str] | None = None,
    now: datetime | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Reading:
    """Everything of these kinds that started from `since` until before `until`, between these sites (None:
    all), and the routes. With `now`, rows that are dated later are counted: some clock is wrong. Blocks:
    seconds for a million rows."""
    found = Reading(since, until, {}, {}, {side: defaultdict(set) for side in Side}, {}, 0)
    url = engine.url.render_as_string(hide_password=False)
    for kind in kinds:
        paths = found.kinds[kind] = {}
        for part, addresses in _parts(engine, url, kind, since, until, sites):
            paths |= part
            for side, of_site in addresses.items():
                for site, known in of_site.items():
                    found.addresses[side][site] |= known
            found.rows += sum(_size(observed) for observed in part.values())
            progress(found.rows)
    found.routes = routes(engine, since, until, sites)
    if now is not None:
        found.ahead = _ahead(engine, kinds, now + AHEAD)
    return found


_Paths = dict[tuple[str, str], Observed]
_Addresses = dict[Side, dict[str, set[str]]]


def _parts(
    engine: Engine,
    url: str,
    kind: Kind,
    since: datetime,
    until: datetime,
    sites: Collection[str] | None,
) -> Iterator[tuple[_Paths, _Addresses]]:
    """The paths of a kind by parts: a large mesh is read on all processors, so many sources each."""
    with engine.connect() as connection:
        known = archive_queries.paths(connection, kind)
    if sites is not None:
        known = [path for path in known if {*path} <= {*sites}]
    sources = list(dict.fromkeys(source for source, _ in known))
    workers = len(os.sched_getaffinity(0))
    if len(known) < FEW_PATHS or workers < 2:
        if known:
            yield _part(engine, kind, since, until, sources, sites)
        return
    size = math.ceil(len(sources) / (4 * workers))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        waiting = [
            pool.submit(_part_of_url, url, kind, since, until, sources[start : start + size], sites)
            for start in range(0, len(sources), size)
        ]
        for one in waiting:
            yield one.result()


def _part_of_url(url: str, *arguments: Any) -> tuple[_Paths, _Addresses]:
    """In a process of its own, with a connection of its own."""
    engine = connect(url)
    try:
        return _part(engine, *arguments)
    finally:
        engine.dispose()


def _part(
    engine: Engine,
    kind: Kind,
    since: datetime,
    until: datetime,
    sources: Sequence[str],
    sites: Collection[str] | None,
) -> tuple[_Paths, _Addresses]:
    found: _Paths = {}
    addresses: _Addresses = {side: defaultdict(set) for side in Side}
    codes = _Codes(kind)
    for (source, destination), rows in _paths(engine, kind, since, until, sources, sites, failed=False):
        found[source, destination] = _observed(source, destination, rows, codes, addresses)
    for (source, destination), rows in _paths(engine, kind, since, until, sources, sites, failed=True):
        _add_failures(found.setdefault((source, destination), Observed(source, destination)), rows)
    return found, addresses


def _size(observed: Observed) -> int:
    failed = sum(len(one.times) for one in observed.failures.values())
    return failed + sum(len(rows) for rows in observed.rows.values())


class _Codes:
    """Ways by number, each made once for all rows whose parameters have the same text."""

    def __init__(self, kind: Kind) -> None:
        self._quantity = Quantity.THROUGHPUT if kind is Kind.THROUGHPUT else Quantity.LATENCY
        self._numbers: dict[Any, int] = {}
        self.ways: list[Way] = []

    def of(self, tool: str, parameters: str, context: _Context) -> int:
        told = (
            context.iperf3,
            context.server_iperf3,
            context.ping,
            context.sender_congestion,
        )
        number = self._numbers.get((tool, parameters, told))
        if number is None:
            names = ("iperf3", "server_iperf3", "ping", "sender_congestion")
            found = json_value(parameters)
            self.ways.append(way(self._quantity, tool, found, dict(zip(names, told, strict=True))))
            number = self._numbers[tool, parameters, told] = len(self.ways) - 1
        return number


_NO_CONTEXT = _Context()
_COLUMN_NAMES = (
    *("source", "destination", "started", "seconds", "tool", "origin", "figures", "parameters", "context"),
    *("source_address", "destination_address"),
)


def _paths(
    engine: Engine,
    kind: Kind,
    since: datetime,
    until: datetime,
    sources: Sequence[str],
    sites: Collection[str] | None,
    *,
    failed: bool,
) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """The rows of one path after the other, as an index has them."""
    table = measurements.c
    names = ("source", "destination", "started", "origin", "error") if failed else _COLUMN_NAMES
    query = select(*bare(names)).where(
        table.kind == kind.value,
        table.error.is_not(None) if failed else table.error.is_(None),
        table.source >= sources[0],
        table.source <= sources[-1],
        table.started >= since,
        table.started < until,
        table.origin.in_(list(SIDES)),
    )
    if sites is not None:
        query = query.where(table.source.in_(sites), table.destination.in_(sites))
    query = query.order_by(table.source, table.destination, table.started, table.number)
    with engine.connect().execution_options(yield_per=_BATCH) as connection:
        rows = (row for batch in connection.execute(query).partitions() for row in batch)
        for path, group in groupby(rows, key=lambda row: (row[0], row[1])):
            yield path, list(group)


def _observed(
    source: str,
    destination: str,
    rows: Sequence[Any],
    codes: _Codes,
    addresses: dict[Side, dict[str, set[str]]],
) -> Observed:
    sides: dict[Side, list[tuple[float, ...]]] = {side: [] for side in Side}
    for _, _, started, seconds, tool, origin, figures, parameters, context, _, _ in rows:
        explained = _context(context)
        sides[SIDES[origin]].append(
            (
                seconds_of(started),
                seconds,
                *astuple(_decode_figures(figures)),
                *_explained(explained),
                codes.of(tool, parameters, explained),
            )
        )
    for origin, *ends in {(row[5], row[9], row[10]) for row in rows}:
        for site, address in zip((source, destination), ends, strict=True):
            if address:
                addresses[SIDES[origin]][site].add(address)
    found = Observed(source, destination)
    ways = tuple(codes.ways)
    for side, values in sides.items():
        if values:
            array = np.array(values, dtype=np.float64)
            # only the ways that are met here
            used, numbers = np.unique(array[:, -1], return_inverse=True)
            array[:, -1] = numbers
            found.rows[side] = Rows(array, tuple(ways[int(code)] for code in used))
    return found


def _context(text: str | None) -> _Context:
    if not text or text == "null":
        return _NO_CONTEXT
    try:
        return _decode_context(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # somebody else's context: it explains nothing
        return _NO_CONTEXT


def _explained(context: _Context) -> tuple[float, float, float, float]:
    if context is _NO_CONTEXT:
        return _NAN, _NAN, _NAN, 0.0
    busy = [
        _NAN if end is None or end.processors_percent is None else end.processors_percent
        for end in (context.source, context.destination)
    ]
    buffers = [
        _largest(context.source.tcp_wmem if context.source else None),
        _largest(context.destination.tcp_rmem if context.destination else None),
    ]
    known = [one for one in buffers if one]
    return busy[0], busy[1], min(known, default=_NAN), float(bool(context.beside))


def _largest(setting: Any) -> float | None:
    """The last of tcp_rmem's three numbers: what a buffer may grow to."""
    last = setting[-1] if isinstance(setting, list) and setting else None
    return float(last) if isinstance(last, int | float) else None


def _add_failures(observed: Observed, rows: Sequence[Any]) -> None:
    for side in Side:
        own = [row for row in rows if SIDES[row[3]] is side]
        if own:
            times = np.array([seconds_of(row[2]) for row in own])
            observed.failures[side] = Failures(times, str(own[-1][4]))


def _ahead(engine: Engine, kinds: Collection[Kind], after: datetime) -> dict[Side, int]:
    """How many rows of each side start later than that."""
    table = measurements.c
    query = (
        select(table.origin, func.count())
        .where(
            table.kind.in_([kind.value for kind in kinds]),
            table.started > after,
            table.origin.in_(list(SIDES)),
        )
        .group_by(table.origin)
    )
    found: dict[Side, int] = defaultdict(int)
    with engine.connect() as connection:
        for origin, count in connection.execute(query):
            found[SIDES[origin]] += count
    return dict(found)
