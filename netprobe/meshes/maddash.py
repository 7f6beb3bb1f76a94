"""MaDDash, the dashboard of perfSONAR 4: which cells its grids have, and how each stands.

It gives averages and verdicts, no single results: something to compare an archive with, not to fill it from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from federation.errors import OutsideError
from netprobe.meshes import Access
from netprobe.meshes.fetching import Fetcher
from netprobe.meshes.values import items, mapping, number, text

PATH = "/maddash"


class State(StrEnum):
    """What MaDDash says of a check."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    # the check ran and found no data, or couldn't tell
    UNKNOWN = "unknown"
    # it hasn't run yet
    NOT_RUN = "not run"
    # it is down for maintenance
    DOWN = "down"
    # a state of this dashboard's own: see `Check.label`
    OTHER = "other"


_STATES: Mapping[int, State] = {
    0: State.OK,
    1: State.WARNING,
    2: State.CRITICAL,
    3: State.UNKNOWN,
    4: State.NOT_RUN,
    5: State.DOWN,
}


@dataclass(frozen=True)
class Check:
    """One check of one cell. `source` and `destination` are the names in the grid, lower case.

    A cell has a check for each direction: from row to column, and from column to row where the name of the
    check says "reverse".
    """

    name: str
    row: str
    column: str
    source: str
    destination: str
    state: State
    # what the dashboard calls the state, and what the check said
    label: str
    message: str


@dataclass(frozen=True)
class Grid:
    """A grid with its checks, row by row. `problems`: what could not be understood, one line each."""

    name: str
    updated: datetime | None
    checks: tuple[Check, ...]
    problems: tuple[str, ...]


def grids(access: Access, sleep: Callable[[float], None] = time.sleep) -> Iterator[Grid]:
    """Every grid of the dashboard at https://HOST/ or https://HOST/maddash. Blocks while its server answers.

    Raises OutsideError where that doesn't, or is no MaDDash.
    """
    base = access.url.rstrip("/")
    if not urlsplit(base).path:
        base += PATH
    with Fetcher(access, sleep) as fetcher:
        url = f"{base}/grids"
        listed = mapping(fetcher.json(url)).get("grids")
        if not isinstance(listed, list):
            raise OutsideError(f"{url}: expected the grids of a MaDDash, got JSON of another shape")
        names = (text(mapping(one).get("name")) for one in listed)
        for name in dict.fromkeys(name for name in names if name is not None):
            # by its name, not by the address that the list gives: nobody is sent elsewhere
            yield read_grid(name, fetcher.json(f"{url}/{quote(name, safe='')}"))


def read_grid(name: str, document: Any) -> Grid:
    """A grid from its document. What isn't understood is a problem of the grid; the rest is read."""
    document = mapping(document)
    problems: list[str] = []
    rows = [text(mapping(row).get("name")) for row in items(document.get("rows"))]
    columns = [text(column) for column in items(document.get("columnNames"))]
    names = [text(check) for check in items(document.get("checkNames"))]
    labels = [text(label) for label in items(document.get("statusLabels"))]
    found = []
    lines = document.get("grid")
    if not isinstance(lines, list):
        problems.append(f"{name}: expected a grid of cells, got none")
    for row_number, line in enumerate(items(lines)):
        for column_number, cell in enumerate(items(line)):
            # null: the grid has no such cell, a host with itself for one
            for number_, check in enumerate(items(cell)):
                if check is None:
                    continue
                where = f"{name}: row {row_number}, column {column_number}, check {number_}"
                row, column, title = _at(rows, row_number), _at(columns, column_number), _at(names, number_)
                status = number(mapping(check).get("status"))
                if row is None or column is None or title is None:
                    problems.append(f"{where}: no such row, column or check is named")
                elif status is None or not status.is_integer():
                    problems.append(f"{where}: expected a status, got {mapping(check).get('status')!r}"[:200])
                else:
                    said = text(mapping(check).get("message")) or ""
                    found.append(_check(title, row, column, int(status), _at(labels, int(status)), said))
    return Grid(name, _updated(document.get("lastUpdateTime")), tuple(found), tuple(problems))


def _check(name: str, row: str, column: str, status: int, label: str | None, message: str) -> Check:
    source, destination = row.lower(), column.lower()
    if "reverse" in name.lower():
        source, destination = destination, source
    state = _STATES.get(status, State.OTHER)
    shown = label or (state.value if state is not State.OTHER else f"status {status}")
    return Check(name, row, column, source, destination, state, shown, message)


def _at(names: list[str | None], place: int) -> str | None:
    return names[place] if 0 <= place < len(names) else None


def _updated(value: Any) -> datetime | None:
    since_1970 = number(value)
    try:
        return None if since_1970 is None else datetime.fromtimestamp(since_1970, UTC)
    except (OverflowError, OSError, ValueError):
        return None
