"""What is asked of the archive, each answered by a walk along one index however large the archive is.

Successes and failures have an index each: (kind, source, destination, started, number). So the newest
successes of a path are found behind any number of failures, and the paths by jumping from one to the next.
What is asked of many paths is one statement that goes from each of them to the few rows that are wanted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Text,
    cast,
    func,
    literal,
    select,
    true,
    type_coerce,
)

from netprobe.archive_rows import COLUMNS
from netprobe.measurement import Kind
from netprobe.tables import measurements

# The columns of which `archive_rows.built` makes a measurement; all but the raw document, which may be large
# and which no forecast reads, and all.
LIGHT = ("number", *(name for name in COLUMNS if name != "raw"))
FULL = (*LIGHT, "raw")
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_NEWEST_FIRST = (measurements.c.started.desc(), measurements.c.number.desc())


def bare(names: Iterable[str], table: FromClause = measurements) -> list[ColumnElement[Any]]:
    """These columns as the driver gives them, objects as JSON text: SQLAlchemy would take longer to make
    objects of them than the database to find them."""
    return [_bare(table.c[name]).label(name) for name in names]


def _bare(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, JSON):
        return cast(column, Text)
    return type_coerce(column, String) if column.key == "started" else column


def newest_of_each(
    connection: Connection,
    names: Sequence[str],
    kind: Kind,
    paths: Sequence[tuple[str, str]],
    *,
    failed: bool,
    since: datetime | None,
    before: datetime | None = None,
    limit: int,
    as_successes: bool = False,
) -> list[tuple[Any, ...]]:
    """The columns `names` of the newest successes, or failures, of each of these paths from `since` until
    before `before`, at most `limit` of each, in no order. `as_successes`: no failure older than the newest
    `limit` successes of its path."""
    sqlite = connection.dialect.name == "sqlite"
    each, source, destination = _listed(paths, sqlite)
    newest = select(*(measurements.c[name] for name in names)).where(
        *_of_path(measurements, kind, source, destination, failed=failed), *_within(since, before)
    )
    if as_successes:
        good = measurements.alias("good")
        oldest = select(good.c.started).where(*_of_path(good, kind, source, destination, failed=False))
        if before is not None:
            oldest = oldest.where(good.c.started < before)
        oldest = oldest.order_by(good.c.started.desc(), good.c.number.desc()).offset(limit - 1).limit(1)
        begun = func.coalesce(oldest.correlate(each).scalar_subquery(), literal(_LONG_AGO))
        newest = newest.where(measurements.c.started >= begun)
    newest = newest.order_by(*_NEWEST_FIRST).limit(limit)
    if sqlite:
        # which has no LATERAL: the numbers of each, and their rows by their numbers
        row = measurements.alias("row")
        numbers = newest.with_only_columns(measurements.c.number).correlate(each)
        found = select(*bare(names, row)).select_from(each.join(row, row.c.number.in_(numbers)))
    else:
        of_each = newest.lateral("of_each")
        found = select(*bare(names, of_each)).select_from(each.join(of_each, true()))
    return [tuple(row) for row in connection.execute(found)]


def _listed(
    paths: Sequence[tuple[str, str]], sqlite: bool
) -> tuple[FromClause, ColumnElement[str], ColumnElement[str]]:
    """These paths as a table of one parameter, so that the statement is the same for any number of them; its
    source and its destination."""
    text = literal(json.dumps(paths), Text)
    if sqlite:
        each = func.json_each(text).table_valued("value", name="each")
        return each, func.json_extract(each.c.value, "$[0]"), func.json_extract(each.c.value, "$[1]")
    each = func.json_array_elements(cast(text, JSON)).table_valued("value", name="each").render_derived()
    source, destination = (each.c.value.op("->>", return_type=Text())(place) for place in (0, 1))
    return each, source, destination


def of_path(
    kind: Kind,
    path: tuple[str, str],
    *,
    failed: bool,
    since: datetime | None = None,
    before: datetime | None = None,
) -> list[ColumnElement[bool]]:
    """The conditions of the successes, or failures, of one path from `since` until before `before`."""
    return [*_of_path(measurements, kind, *path, failed=failed), *_within(since, before)]


def count_of_each(
    connection: Connection,
    kind: Kind,
    paths: Sequence[tuple[str, str]],
    *,
    failed: bool,
    before: datetime,
) -> int:
    """How many successes, or failures, of these paths there are before an instant."""
    each, source, destination = _listed(paths, connection.dialect.name == "sqlite")
    of_one = select(func.count()).select_from(measurements)
    of_one = of_one.where(
        *_of_path(measurements, kind, source, destination, failed=failed), *_within(None, before)
    )
    count = select(of_one.correlate(each).scalar_subquery()).select_from(each)
    return sum(connection.execute(count).scalars())


def _within(since: datetime | None, before: datetime | None) -> list[ColumnElement[bool]]:
    conditions = []
    if since is not None:
        conditions.append(measurements.c.started >= since)
    if before is not None:
        conditions.append(measurements.c.started < before)
    return conditions


def _of_path(
    table: FromClause,
    kind: Kind,
    source: str | ColumnElement[str],
    destination: str | ColumnElement[str],
    *,
    failed: bool,
) -> list[ColumnElement[bool]]:
    return [
        table.c.kind == kind.value,
        table.c.source == source,
        table.c.destination == destination,
        table.c.error.is_not(None) if failed else table.c.error.is_(None),
    ]


def every_path(kind: Kind, *, failed: bool) -> Select[Any]:
    """Each (source, destination) of which there is a success, or a failure: from the first row of one path a
    jump to the first of the next, all in one question."""
    first = select(measurements.c.number).where(measurements.c.kind == kind.value, _outcome(failed))
    first = first.order_by(measurements.c.source, measurements.c.destination).limit(1)
    walk = select(first.scalar_subquery().label("number")).cte("walk", recursive=True)
    here, there = measurements.alias("here"), measurements.alias("there")
    error = there.c.error.is_not(None) if failed else there.c.error.is_(None)
    any_there = select(there.c.number).where(there.c.kind == kind.value, error)
    any_there = any_there.order_by(there.c.source, there.c.destination).limit(1).correlate(here)
    # one after the other: SQLite compares pairs by their first alone, and would read all rows of a source
    following = func.coalesce(
        any_there.where(
            there.c.source == here.c.source, there.c.destination > here.c.destination
        ).scalar_subquery(),
        any_there.where(there.c.source > here.c.source).scalar_subquery(),
    )
    walk = walk.union_all(select(following).select_from(walk.join(here, here.c.number == walk.c.number)))
    # not a join, which PostgreSQL may do by reading the whole table
    source, destination = (
        select(column).where(measurements.c.number == walk.c.number).correlate(walk).scalar_subquery()
        for column in (measurements.c.source, measurements.c.destination)
    )
    found = select(source.label("source"), destination.label("destination")).select_from(walk)
    return found.where(walk.c.number.is_not(None))


def by_kind_origin_and_archive() -> Select[Any]:
    """Count, first and last of each kind, origin and archive; reads one index whole."""
    groups = (measurements.c.kind, measurements.c.origin, measurements.c.archive)
    started = measurements.c.started
    counted = select(*groups, func.count().label("count"), func.min(started), func.max(started))
    return counted.group_by(*groups)


def paths(connection: Connection, kind: Kind) -> list[tuple[str, str]]:
    """Every (source, destination) with anything of that kind, in order: one step each, not one a row."""
    found = {
        (row.source, row.destination)
        for failed in (False, True)
        for row in connection.execute(every_path(kind, failed=failed))
    }
    return sorted(found)


def paths_added(
    connection: Connection, number: int, kinds: Iterable[Kind]
) -> dict[Kind, list[tuple[str, str]]]:
    """The paths of which something of these kinds was added after row `number`; reads the rows since then."""
    columns = (measurements.c.kind, measurements.c.source, measurements.c.destination)
    rows = connection.execute(select(*columns).where(measurements.c.number > number))
    found: dict[Kind, set[tuple[str, str]]] = {kind: set() for kind in kinds}
    for kind, source, destination in rows:
        if kind in found:
            found[Kind(kind)].add((source, destination))
    return {kind: sorted(paths) for kind, paths in found.items()}


def _outcome(failed: bool) -> ColumnElement[bool]:
    return measurements.c.error.is_not(None) if failed else measurements.c.error.is_(None)
