"""What the archive holds for a comparison, as columns: a million rows in some hundred megabytes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from sqlalchemy import Engine, func, select

from netprobe.archive_queries import bare
from netprobe.archive_rows import json_value
from netprobe.measured import AHEAD
from netprobe.measurement import Kind, Origin
from netprobe.tables import measurements
from reports.compare.statistics import Floats
from reports.compare.ways import Quantity, Side, Way, way

SIDES: Mapping[str, Side] = {
    Origin.SCRIPTED.value: Side.SCRIPTED,
    Origin.PERFSONAR.value: Side.MESH,
    Origin.PSCHEDULER.value: Side.MESH,
}
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
COLUMNS = ("started", "seconds", *FIGURES, *CONTEXT, "way")
_INDEX = {name: index for index, name in enumerate(COLUMNS)}
_BATCH = 20_000


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


@dataclass(frozen=True)
class Rows:
    """Successes of one path and side, oldest first: a row each, `COLUMNS` wide, NaN where not measured."""

    values: Floats
    ways: tuple[Way, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Floats:
        return self.values[:, _INDEX[name]]

    def where(self, chosen: Any) -> Rows:
        return Rows(self.values[chosen], self.ways)

    def by_key(self) -> dict[tuple[str | None, int, int | None], Rows]:
        """The series: what was measured in ways that give comparable figures."""
        keys: dict[Any, list[int]] = defaultdict(list)
        for index, one in enumerate(self.ways):
            keys[one.key].append(index)
        found = {key: self.where(np.isin(self["way"], codes)) for key, codes in keys.items()}
        return {key: rows for key, rows in found.items() if len(rows)}

    def usual_way(self) -> Way:
        """The way of most of the rows."""
        codes, counts = np.unique(self["way"], return_counts=True)
        return self.ways[int(codes[counts.argmax()])]


NOTHING = Rows(np.empty((0, len(COLUMNS))), ())


@dataclass(frozen=True)
class Failures:
    """When tests of a path and side failed, and what the last of them said."""

    times: Floats = field(default_factory=lambda: np.empty(0))
    last: str = ""


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
        return self.failures.get(side, Failures())


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
    for kind in kinds:
        paths: dict[tuple[str, str], Observed] = {}
        codes = _Codes(kind)
        for (source, destination), rows in _paths(engine, kind, since, until, sites, failed=False):
            paths[source, destination] = _observed(source, destination, rows, codes, found.addresses)
            found.rows += len(rows)
            progress(found.rows)
        for (source, destination), rows in _paths(engine, kind, since, until, sites, failed=True):
            observed = paths.setdefault((source, destination), Observed(source, destination))
            _add_failures(observed, rows)
            found.rows += len(rows)
        found.kinds[kind] = paths
    found.routes = _routes(engine, since, until, sites)
    if now is not None:
        found.ahead = _ahead(engine, kinds, now + AHEAD)
    return found


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


def _seconds(started: Any) -> float:
    """Since 1970: SQLite gives text in UTC."""
    if isinstance(started, str):
        return datetime.fromisoformat(started + "+00:00").timestamp()
    return float(started.astimezone(UTC).timestamp())


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
                _seconds(started),
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
            times = np.array([_seconds(row[2]) for row in own])
            observed.failures[side] = Failures(times, str(own[-1][4]))


def _routes(
    engine: Engine, since: datetime, until: datetime, sites: Collection[str] | None
) -> dict[tuple[str, str], list[tuple[float, tuple[str, ...]]]]:
    table = measurements.c
    query = (
        select(*bare(("source", "destination", "started", "raw")))
        .where(
            table.kind == Kind.PATH.value,
            table.error.is_(None),
            table.started >= since,
            table.started < until,
        )
        .order_by(table.source, table.destination, table.started, table.number)
    )
    if sites is not None:
        query = query.where(table.source.in_(sites), table.destination.in_(sites))
    found: dict[tuple[str, str], list[tuple[float, tuple[str, ...]]]] = defaultdict(list)
    with engine.connect().execution_options(yield_per=_BATCH) as connection:
        for source, destination, started, raw in connection.execute(query):
            if raw and (routers := route(json_value(raw))):
                found[source, destination].append((_seconds(started), routers))
    return dict(found)


def route(raw: Any) -> tuple[str, ...]:
    """The routers of a raw document: of our traceroute, of a pScheduler's run, or of a perfSONAR archive.

    Those that keep silent are left out: that they do says nothing of the path.
    """
    document = raw if isinstance(raw, dict) else {}
    hops = document.get("hops") or document.get("json")
    if hops is None and isinstance(paths := document.get("paths"), list) and paths:
        hops = paths[0]
    found = []
    for hop in hops if isinstance(hops, list) else []:
        if isinstance(hop, dict):
            routers = hop.get("routers")
            first = routers[0] if isinstance(routers, list) and routers else hop
            address = first.get("address") or first.get("ip") if isinstance(first, dict) else None
            if isinstance(address, str):
                found.append(address)
    return tuple(found)


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
