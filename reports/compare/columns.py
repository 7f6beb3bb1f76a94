"""Rows of the archive as columns of numbers: batch by batch, so that their texts are never all in memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from netprobe.archive_rows import json_value
from netprobe.measurement import Kind, Origin
from reports.compare.observed import COLUMNS, FIGURES, Failures, Observed, Rows
from reports.compare.statistics import Floats
from reports.compare.ways import Quantity, Side, Way, way

SIDES: Mapping[str, Side] = {
    Origin.SCRIPTED.value: Side.SCRIPTED,
    Origin.PERFSONAR.value: Side.MESH,
    Origin.PSCHEDULER.value: Side.MESH,
}
OF_SUCCESSES = (
    *("source", "destination", "started", "seconds", "tool", "origin", "figures", "parameters", "context"),
    *("source_address", "destination_address"),
)
OF_FAILURES = ("source", "destination", "started", "origin", "error")
_NUMBERS = {origin: list(Side).index(side) for origin, side in SIDES.items()}
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
    path_mtu_bytes: float | None = None
    iperf3: str | None = None
    server_iperf3: str | None = None
    ping: str | None = None
    sender_congestion: str | None = None


_decode_context = msgspec.json.Decoder(_Context).decode
# of those, what tells ways apart
_TOLD = ("iperf3", "server_iperf3", "ping", "sender_congestion")
# what a context comes to: two processors, a buffer, whether others ran; and what tells ways apart
_Explained = tuple[tuple[float, float, float, float], tuple[str | None, ...]]
_UNEXPLAINED: _Explained = ((_NAN, _NAN, _NAN, 0.0), (None,) * len(_TOLD))


@dataclass(frozen=True)
class Part:
    """Some paths of a kind, in a form that goes quickly from one process to another. `spans`: path, side, and
    which of the `values` are theirs, in which ways; the column "way" counts through those."""

    paths: Sequence[tuple[str, str]]
    values: Floats
    spans: Sequence[tuple[int, Side, int, int, tuple[Way, ...]]]
    failures: Mapping[tuple[str, str], Mapping[Side, Failures]]
    addresses: Mapping[Side, Mapping[str, set[str]]]

    def observed(self) -> dict[tuple[str, str], Observed]:
        found = {path: Observed(*path) for path in self.paths}
        for number, side, start, end, ways in self.spans:
            found[self.paths[number]].rows[side] = Rows(self.values[start:end], ways)
        for path, sides in self.failures.items():
            found.setdefault(path, Observed(*path)).failures.update(sides)
        return found

    @property
    def size(self) -> int:
        failed = sum(len(one.times) for sides in self.failures.values() for one in sides.values())
        return len(self.values) + failed


def part(kind: Kind, successes: Iterable[Sequence[Any]], failures: Iterable[Sequence[Any]]) -> Part:
    """Of batches of rows, `OF_SUCCESSES` and `OF_FAILURES`, each path's oldest first."""
    made = _Maker(kind)
    for batch in successes:
        made.add(batch)
    values, spans = made.sorted()
    return Part(list(made.paths), values, spans, _failures(failures), made.addresses)


class _Maker:
    def __init__(self, kind: Kind) -> None:
        self.paths: dict[tuple[str, str], int] = {}
        self.addresses: dict[Side, dict[str, set[str]]] = {side: defaultdict(set) for side in Side}
        self._quantity = Quantity.THROUGHPUT if kind is Kind.THROUGHPUT else Quantity.LATENCY
        self._ways: list[Way] = []
        self._codes: dict[Any, int] = {}
        self._batches: list[Floats] = []
        self._keys: list[NDArray[np.int64]] = []

    def add(self, batch: Sequence[Any]) -> None:
        sources, destinations, started, seconds, tools, origins, figures, parameters, contexts, *ends = zip(
            *batch, strict=True
        )
        known: dict[str | None, _Explained] = {}
        explained = [known.get(text) or known.setdefault(text, _explained(text)) for text in contexts]
        values = np.empty((len(batch), len(COLUMNS)))
        values[:, 0] = seconds_of(started)
        values[:, 1] = seconds
        # number by number: numpy takes twice as long to find out that a list of rows is a table
        numbers = chain.from_iterable(astuple(_decode_figures(text)) for text in figures)
        values[:, 2 : 2 + len(FIGURES)] = np.fromiter(numbers, float).reshape(len(batch), len(FIGURES))
        values[:, 2 + len(FIGURES) : -2] = [given for given, _ in explained]
        values[:, -2] = 0.0
        values[:, -1] = [
            self._code(tool, text, told)
            for tool, text, (_, told) in zip(tools, parameters, explained, strict=True)
        ]
        self._batches.append(values)
        paths = self.paths
        places = [paths.setdefault(path, len(paths)) for path in zip(sources, destinations, strict=True)]
        sides = [_NUMBERS[origin] for origin in origins]
        self._keys.append(np.array(places) * len(Side) + np.array(sides))
        for sites, addresses in ((sources, ends[0]), (destinations, ends[1])):
            for origin, site, address in {*zip(origins, sites, addresses, strict=True)}:
                if address:
                    self.addresses[SIDES[origin]][site].add(address)

    def _code(self, tool: str, parameters: str, told: tuple[str | None, ...]) -> int:
        """Ways by number, each made once for all rows whose parameters have the same text."""
        key = (tool, parameters, told)
        number = self._codes.get(key)
        if number is None:
            context = dict(zip(_TOLD, told, strict=True))
            self._ways.append(way(self._quantity, tool, json_value(parameters), context))
            number = self._codes[key] = len(self._ways) - 1
        return number

    def sorted(self) -> tuple[Floats, list[tuple[int, Side, int, int, tuple[Way, ...]]]]:
        """All values, those of one path and side together, and which are whose."""
        if not self._batches:
            return np.empty((0, len(COLUMNS))), []
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], np.concatenate(self._batches)[order]
        self._batches.clear()
        sides = list(Side)
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        spans = []
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=True):
            number, side = divmod(int(keys[start]), len(sides))
            # only the ways that are met here
            codes = values[start:end, -1]
            met = codes.tolist()
            used = {code: place for place, code in enumerate(sorted({*met}))}
            codes[:] = [used[code] for code in met] if len(used) > 1 else 0
            spans.append((number, sides[side], start, end, tuple(self._ways[int(code)] for code in used)))
        return values, spans


def _failures(batches: Iterable[Sequence[Any]]) -> dict[tuple[str, str], dict[Side, Failures]]:
    times: dict[tuple[str, str], dict[Side, list[Any]]] = defaultdict(lambda: defaultdict(list))
    last: dict[tuple[str, str, Side], str] = {}
    for batch in batches:
        for source, destination, started, origin, error in batch:
            side = SIDES[origin]
            times[source, destination][side].append(started)
            last[source, destination, side] = str(error)
    return {
        path: {side: Failures(seconds_of(found), last[*path, side]) for side, found in sides.items()}
        for path, sides in times.items()
    }


def seconds_of(started: Sequence[Any]) -> Floats:
    """Since 1970: SQLite gives text in UTC, PostgreSQL instants."""
    if started and isinstance(started[0], str):
        found: Floats = np.array(started, dtype="datetime64[us]").astype(np.int64) / 1e6
        return found
    return np.array([one.timestamp() for one in started], dtype=np.float64)


def _explained(text: str | None) -> _Explained:
    if not text or text == "null":
        return _UNEXPLAINED
    try:
        context = _decode_context(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # somebody else's context: it explains nothing
        return _UNEXPLAINED
    source, destination = context.source or _End(), context.destination or _End()
    busy = [
        _NAN if end.processors_percent is None else end.processors_percent for end in (source, destination)
    ]
    buffers = [one for one in (_largest(source.tcp_wmem), _largest(destination.tcp_rmem)) if one]
    numbers = (busy[0], busy[1], min(buffers, default=_NAN), float(bool(context.beside)))
    return numbers, tuple(getattr(context, name) for name in _TOLD)


def _largest(setting: Any) -> float | None:
    """The last of tcp_rmem's three numbers: what a buffer may grow to."""
    last = setting[-1] if isinstance(setting, list) and setting else None
    return float(last) if isinstance(last, int | float) else None
