"""What is asked of the archive, each answered by a walk along one index however large the archive is.

Successes and failures have an index each: (kind, source, destination, started, number). So the newest
successes of a path are found behind any number of failures, and the paths by jumping from one to the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, func, select

from netprobe.measurement import Kind
from netprobe.tables import measurements

FULL = list(measurements.c)
# All but the raw document, which may be large and which no forecast reads.
LIGHT = [column for column in FULL if column.name != "raw"]
_NEWEST_FIRST = (measurements.c.started.desc(), measurements.c.number.desc())


def newest_of_path(
    columns: list[Column[Any]],
    kind: Kind,
    path: tuple[str, str],
    *,
    failed: bool,
    since: datetime | None,
    limit: int,
) -> Select[Any]:
    """The newest successes, or failures, of one path."""
    conditions = [
        measurements.c.kind == kind.value,
        measurements.c.source == path[0],
        measurements.c.destination == path[1],
        _outcome(failed),
    ]
    if since is not None:
        conditions.append(measurements.c.started >= since)
    return select(*columns).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit)


def oldest_of_path(kind: Kind, path: tuple[str, str], *, failed: bool, before: datetime) -> Select[Any]:
    """The successes, or failures, of one path before an instant, oldest first."""
    conditions = [
        measurements.c.kind == kind.value,
        measurements.c.source == path[0],
        measurements.c.destination == path[1],
        _outcome(failed),
        measurements.c.started < before,
    ]
    return select(*LIGHT).where(*conditions).order_by(measurements.c.started, measurements.c.number)


def newest_of_kind(kind: Kind, since: datetime | None, limit: int, succeeded_only: bool) -> Select[Any]:
    """The newest of a kind, of all paths."""
    conditions = [measurements.c.kind == kind.value]
    if since is not None:
        conditions.append(measurements.c.started >= since)
    if succeeded_only:
        conditions.append(_outcome(False))
    return select(*FULL).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit)


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


def newest(
    connection: Connection,
    kind: Kind,
    paths: Iterable[tuple[str, str]],
    since: datetime | None,
    limit: int,
    outcomes: Sequence[bool] = (False, True),
) -> list[Row[Any]]:
    """The newest of all these paths together, newest first; `outcomes`: successes, failures, or both."""
    each = [
        connection.execute(newest_of_path(FULL, kind, path, failed=failed, since=since, limit=limit)).all()
        for path in paths
        for failed in outcomes
    ]
    newest_first = heapq.merge(*each, key=lambda row: (row.started, row.number), reverse=True)
    return list(islice(newest_first, limit))


def for_history(
    connection: Connection, kind: Kind, path: tuple[str, str], since: datetime | None, limit: int
) -> Iterator[Row[Any]]:
    """The newest successes of a path, and the failures since the first of them, as many at most."""
    good = connection.execute(newest_of_path(LIGHT, kind, path, failed=False, since=since, limit=limit)).all()
    if len(good) == limit:
        since = good[-1].started
    yield from good
    yield from connection.execute(newest_of_path(LIGHT, kind, path, failed=True, since=since, limit=limit))


def _outcome(failed: bool) -> ColumnElement[bool]:
    return measurements.c.error.is_not(None) if failed else measurements.c.error.is_(None)
