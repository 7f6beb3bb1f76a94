"""Where measurements are kept: one row each, in the federation's database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, func, select
from sqlalchemy.dialects import postgresql, sqlite

from federation.database import write
from netprobe.history import History
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tables import measurements

# Rows per INSERT: 17 columns each, far under SQLite's 32,766 and PostgreSQL's 65,535 parameters.
_BATCH = 500
# All but the raw document, which may be large and which no forecast reads.
_LIGHT = [column for column in measurements.c if column.name not in ("number", "raw")]
_FULL = [column for column in measurements.c if column.name != "number"]


class Archive:
    """The measurements in one database. Every call is one transaction; safe to share between threads.

    Calls block (milliseconds): from async code go through `asyncio.to_thread`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, found: Iterable[Measurement]) -> int:
        """Keep measurements; the number of new ones. An id that is known is left as it is."""
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        waiting = iter(found)
        added = 0
        with write(self._engine) as connection:
            while batch := list(islice(waiting, _BATCH)):
                statement = insert(measurements).values([_row(measurement) for measurement in batch])
                statement = statement.on_conflict_do_nothing(index_elements=["id"])
                # counted by what comes back: not every driver knows the rows of such a statement
                added += len(connection.execute(statement.returning(measurements.c.id)).all())
        return added

    def recent(
        self,
        kind: Kind,
        source: str | None = None,
        destination: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
        *,
        succeeded_only: bool = False,
    ) -> list[Measurement]:
        """The newest measurements of a kind, newest first; None stands for any source, destination, time."""
        conditions = _conditions(kind, source, destination, since, succeeded_only)
        newest_first = (measurements.c.started.desc(), measurements.c.number.desc())
        query = select(*_FULL).where(*conditions).order_by(*newest_first).limit(limit)
        with self._engine.connect() as connection:
            return [_measurement(row) for row in connection.execute(query)]

    def last_by_pair(self, kind: Kind) -> dict[tuple[str, str], Measurement]:
        """The newest measurement of a kind, failed or not, of every (source, destination)."""
        return {(found.source, found.destination): found for found in self._newest([kind], 1, None)}

    def history(self, per_path: int = 100, since: datetime | None = None) -> History:
        """The newest throughput, latency and transfer measurements of every path, without their `raw`."""
        kinds = [Kind.THROUGHPUT, Kind.LATENCY, Kind.TRANSFER]
        return History.of(self._newest(kinds, per_path, since))

    def all(self, kind: Kind | None = None) -> Iterator[Measurement]:
        """Every measurement, oldest first; read in parts, so that an archive of any size can be walked."""
        after = -1
        while True:
            query = select(measurements.c.number, *_FULL).where(measurements.c.number > after)
            if kind is not None:
                query = query.where(measurements.c.kind == kind.value)
            with self._engine.connect() as connection:
                rows = connection.execute(query.order_by(measurements.c.number).limit(_BATCH)).all()
            if not rows:
                return
            after = rows[-1].number
            yield from (_measurement(row) for row in rows)

    def version(self) -> int:
        """A number that grows whenever something was added: cheap to ask, 0 for an empty archive."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.max(measurements.c.number))).scalar() or 0

    def _newest(self, kinds: Sequence[Kind], per_path: int, since: datetime | None) -> list[Measurement]:
        rank = func.row_number().over(
            partition_by=[measurements.c.kind, measurements.c.source, measurements.c.destination],
            order_by=[measurements.c.started.desc(), measurements.c.number.desc()],
        )
        ranked = select(*_LIGHT, rank.label("rank")).where(
            measurements.c.kind.in_([kind.value for kind in kinds])
        )
        if since is not None:
            ranked = ranked.where(measurements.c.started >= since)
        newest = ranked.subquery()
        with self._engine.connect() as connection:
            return [
                _measurement(row)
                for row in connection.execute(select(newest).where(newest.c.rank <= per_path))
            ]


def _conditions(
    kind: Kind, source: str | None, destination: str | None, since: datetime | None, succeeded_only: bool
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [measurements.c.kind == kind.value]
    if source is not None:
        conditions.append(measurements.c.source == source)
    if destination is not None:
        conditions.append(measurements.c.destination == destination)
    if since is not None:
        conditions.append(measurements.c.started >= since)
    if succeeded_only:
        conditions.append(measurements.c.error.is_(None))
    return conditions


def _row(measurement: Measurement) -> dict[str, Any]:
    return {
        "id": measurement.id,
        "kind": measurement.kind.value,
        "source": measurement.source,
        "destination": measurement.destination,
        "started": measurement.started,
        "seconds": measurement.seconds,
        "tool": measurement.tool,
        "origin": measurement.origin.value,
        # JSON has no infinity and no NaN: a figure that isn't a number was not measured
        "figures": {name: value for name, value in measurement.figures.items() if math.isfinite(value)},
        "parameters": dict(measurement.parameters),
        "source_address": measurement.source_address,
        "destination_address": measurement.destination_address,
        "error": measurement.error,
        "context": dict(measurement.context) or None,
        "archive": measurement.archive,
        "raw": None if measurement.raw is None else dict(measurement.raw),
    }


def _measurement(row: Row[Any]) -> Measurement:
    fields: dict[str, Any] = dict(row._mapping)
    return Measurement(
        kind=Kind(fields["kind"]),
        source=fields["source"],
        destination=fields["destination"],
        started=fields["started"],
        seconds=fields["seconds"],
        tool=fields["tool"],
        origin=Origin(fields["origin"]),
        figures=fields["figures"],
        parameters=fields["parameters"],
        source_address=fields["source_address"],
        destination_address=fields["destination_address"],
        error=fields["error"],
        context=fields["context"] or {},
        archive=fields["archive"],
        raw=fields.get("raw"),
        id=fields["id"],
    )
