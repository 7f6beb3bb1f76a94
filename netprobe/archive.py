"""Where measurements are kept: one row each, in the federation's database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from federation.database import write
from netprobe import archive_queries as queries
from netprobe.archive_rows import built
from netprobe.history import History
from netprobe.ingest import insert
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tables import measurements

# Rows a statement, and a transaction of `ingest`: large enough to be fast, and over in half a second.
_BATCH = 10_000
# Rows read at once by `all`.
_PART = 1000
_HISTORY_KINDS = (Kind.THROUGHPUT, Kind.LATENCY, Kind.TRANSFER)


@dataclass(frozen=True)
class Holding:
    """How many measurements there are of a kind, an origin and an archive, and between which times."""

    kind: Kind
    origin: Origin
    archive: str | None
    count: int
    first: datetime
    last: datetime


class Archive:
    """The measurements in one database. Every call but `ingest` and `all` is one transaction; safe to share
    between threads.

    Calls block (milliseconds): from async code go through `asyncio.to_thread`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, found: Iterable[Measurement]) -> int:
        """Keep measurements, all or none; the number of new ones. An id that is known is left as it is."""
        waiting = iter(found)
        added = 0
        with write(self._engine) as connection:
            while batch := list(islice(waiting, _BATCH)):
                added += insert(connection, batch)
        return added

    def ingest(self, found: Iterable[Measurement]) -> Iterator[tuple[int, int]]:
        """Keep any number of measurements; yields (rows, new ones among them) after each batch.

        Each batch is a transaction of its own, so that others get to write in between: what was taken before
        a failure stays, and taking it again adds nothing.
        """
        waiting = iter(found)
        while batch := list(islice(waiting, _BATCH)):
            with write(self._engine) as connection:
                added = insert(connection, batch)
            yield len(batch), added

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
        with self._engine.connect() as connection:
            chosen = _chosen_paths(connection, kind, source, destination)
            times: list[tuple[Any, ...]] = []
            for failed in (False,) if succeeded_only else (False, True):
                times += queries.newest_of_each(
                    connection, ("started", "number"), kind, chosen, failed=failed, since=since, limit=limit
                )
            return _numbered(connection, [number for _, number in nlargest(limit, times)])

    def paths(self, kind: Kind) -> list[tuple[str, str]]:
        """Every (source, destination) of which there is anything of that kind, in order."""
        with self._engine.connect() as connection:
            return queries.paths(connection, kind)

    def last_by_pair(self, kind: Kind) -> dict[tuple[str, str], Measurement]:
        """The newest measurement of a kind, failed or not, of every (source, destination)."""
        with self._engine.connect() as connection:
            chosen = queries.paths(connection, kind)
            times: dict[tuple[str, str], list[Any]] = {}
            for failed in (False, True):
                for source, destination, *time in queries.newest_of_each(
                    connection,
                    ("source", "destination", "started", "number"),
                    kind,
                    chosen,
                    failed=failed,
                    since=None,
                    limit=1,
                ):
                    newest = times.get((source, destination), time)
                    times[source, destination] = max(time, newest)
            found = _numbered(connection, [number for _, number in times.values()])
        return {(one.source, one.destination): one for one in found}

    def history(
        self, per_path: int = 100, since: datetime | None = None, before: datetime | None = None
    ) -> History:
        """What forecasts look at, without `raw`: of every path the newest `per_path` throughput, latency and
        transfer measurements that succeeded, and the failures since then, at most as many again. `before`: as
        it was at that instant.

        So any number of failures in a row hides no success. Few questions for all paths together: what it
        costs depends on the number of paths, not on the size of the archive.
        """
        with self._engine.connect() as connection:
            paths = {kind: queries.paths(connection, kind) for kind in _HISTORY_KINDS}
            return _newest(connection, paths, per_path, since, before)

    def history_after(self, known: History, version: int, per_path: int = 100) -> History:
        """As `history`, by one that is `known` of the archive's `version`: only paths of which something was
        added since then are read."""
        with self._engine.connect() as connection:
            added = queries.paths_added(connection, version, _HISTORY_KINDS)
            return known.with_newer(_newest(connection, added, per_path, None, None))

    def all(self, kind: Kind | None = None) -> Iterator[Measurement]:
        """Every measurement, in the order in which they came; an archive of any size can be walked.

        What is added meanwhile is seen, too.
        """
        after = -1
        while True:
            query = select(*queries.bare(queries.FULL)).where(measurements.c.number > after)
            if kind is not None:
                # an expression, so that it is walked by number, not by the index of kinds and a sort
                query = query.where(measurements.c.kind.concat("") == kind.value)
            with self._engine.connect() as connection:
                rows = connection.execute(query.order_by(measurements.c.number).limit(_PART)).all()
            if not rows:
                return
            after = rows[-1].number
            yield from (built(row) for row in rows)

    def known(self, ids: Collection[str]) -> set[str]:
        """Those of `ids` that are kept here."""
        found: set[str] = set()
        waiting = iter(ids)
        with self._engine.connect() as connection:
            while batch := list(islice(waiting, _PART)):
                query = select(measurements.c.id).where(measurements.c.id.in_(batch))
                found.update(connection.execute(query).scalars())
        return found

    def version(self) -> int:
        """A number that grows whenever something was added: cheap to ask, 0 for an empty archive."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.max(measurements.c.number))).scalar() or 0

    def holdings(self) -> list[Holding]:
        """What there is, by kind, origin and archive. Reads an index whole: a second for 10 million."""
        with self._engine.connect() as connection:
            rows = connection.execute(queries.by_kind_origin_and_archive()).all()
        found = [Holding(Kind(row[0]), Origin(row[1]), *row[2:]) for row in rows]
        # the databases disagree on where nothing stands in an order
        return sorted(found, key=lambda one: (one.kind, one.origin, one.archive or ""))

    def size_bytes(self) -> int:
        """What the measurements take up with their indexes; in SQLite the whole file, others' tables too."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                pages = connection.execute(text("PRAGMA page_count")).scalar_one()
                return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())
            return int(connection.execute(text("SELECT pg_total_relation_size('measurements')")).scalar_one())


def _newest(
    connection: Connection,
    paths: Mapping[Kind, Sequence[tuple[str, str]]],
    per_path: int,
    since: datetime | None,
    before: datetime | None,
) -> History:
    """What forecasts look at of these paths."""
    rows: list[tuple[Any, ...]] = []
    for kind, chosen in paths.items():
        for failed in (False, True):
            rows += queries.newest_of_each(
                connection,
                queries.LIGHT,
                kind,
                chosen,
                failed=failed,
                since=since,
                before=before,
                limit=per_path,
                as_successes=failed,
            )
    # of one instant, what came last is the newest
    rows.sort(key=itemgetter(0), reverse=True)
    return History.of(built(row) for row in rows)


def _chosen_paths(
    connection: Connection, kind: Kind, source: str | None, destination: str | None
) -> list[tuple[str, str]]:
    if source is not None and destination is not None:
        return [(source, destination)]
    return [
        path
        for path in queries.paths(connection, kind)
        if (source is None or path[0] == source) and (destination is None or path[1] == destination)
    ]


def _numbered(connection: Connection, numbers: Sequence[int]) -> list[Measurement]:
    """The measurements with these numbers, in their order."""
    found: dict[int, Measurement] = {}
    for start in range(0, len(numbers), _PART):
        part = measurements.c.number.in_(numbers[start : start + _PART])
        rows = connection.execute(select(*queries.bare(queries.FULL)).where(part))
        found |= {row.number: built(row) for row in rows}
    # what was given up meanwhile is no more there
    return [found[number] for number in numbers if number in found]
