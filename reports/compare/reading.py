"""Reading the archive for a comparison: on all processors where there is much of it."""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from federation.database import connect
from netprobe.archive_queries import bare
from netprobe.measured import AHEAD
from netprobe.measurement import Kind
from netprobe.tables import measurements
from reports.compare.columns import OF_FAILURES, OF_SUCCESSES, SIDES, Part, part
from reports.compare.observed import Reading
from reports.compare.overlaps import count_overlaps
from reports.compare.routes import routes
from reports.compare.ways import Side
from reports.side_by_side import side_by_side

_BATCH = 20_000
# Of fewer, starting processes takes longer than the work.
_FEW_SOURCES = 20
# A large mesh is read by so many parts a processor.
_PARTS = 4


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
    all), and the routes. Who asks for latency gets tests of loss alone, too. With `now`, rows that are dated
    later are counted: some clock is wrong. Blocks: seconds for a million rows."""
    found = Reading(since, until, {}, {}, {side: defaultdict(set) for side in Side}, {}, 0)
    for kind in dict.fromkeys([*kinds, *([Kind.LOSS] if Kind.LATENCY in kinds else [])]):
        paths = found.kinds[kind] = {}
        for one in _parts(engine, kind, since, until, sites):
            paths |= one.observed()
            for side, of_site in one.addresses.items():
                for site, known in of_site.items():
                    found.addresses[side][site] |= known
            found.rows += one.size
            progress(found.rows)
    count_overlaps(found.kinds.get(Kind.THROUGHPUT, {}))
    found.routes = routes(engine, since, until, sites)
    if now is not None:
        found.ahead = _ahead(engine, kinds, now + AHEAD)
    return found


def _parts(
    engine: Engine,
    kind: Kind,
    since: datetime,
    until: datetime,
    sites: Collection[str] | None,
) -> list[Part]:
    """The paths of a kind by parts: a large mesh is read on all processors, so many sources each."""
    url, here = engine.url.render_as_string(hide_password=False), os.getpid()

    def parts(sources: Sequence[str]) -> list[Part]:
        if os.getpid() == here:
            return [_part(engine, kind, since, until, sources, sites)]
        # in a process of its own, with a connection of its own; it makes nothing that refers to itself
        gc.disable()
        own = connect(url)
        try:
            return [_part(own, kind, since, until, sources, sites)]
        finally:
            own.dispose()

    with engine.connect() as connection:
        known = [one for one in _sources(connection, kind) if sites is None or one in sites]
    return side_by_side(parts, known, _FEW_SOURCES, parts=_PARTS) if known else []


def _sources(connection: Connection, kind: Kind) -> list[str]:
    """Every source with anything of that kind, in order: a step in an index each, not one a row or path."""
    table, found = measurements.c, set()
    for outcome in (table.error.is_(None), table.error.is_not(None)):
        first = select(table.source).where(table.kind == kind.value, outcome).order_by(table.source).limit(1)
        one = connection.execute(first).scalar()
        while one is not None:
            found.add(one)
            one = connection.execute(first.where(table.source > one)).scalar()
    return sorted(found)


def _part(
    engine: Engine,
    kind: Kind,
    since: datetime,
    until: datetime,
    sources: Sequence[str],
    sites: Collection[str] | None,
) -> Part:
    table = measurements.c
    conditions = [
        table.kind == kind.value,
        table.source >= sources[0],
        table.source <= sources[-1],
        table.started >= since,
        table.started < until,
        table.origin.in_(list(SIDES)),
    ]
    if sites is not None:
        conditions += [table.source.in_(sites), table.destination.in_(sites)]
    order = (table.source, table.destination, table.started, table.number)

    def batches(names: Sequence[str], condition: ColumnElement[bool]) -> Iterator[Sequence[Any]]:
        query = select(*bare(names)).where(condition, *conditions).order_by(*order)
        with engine.connect().execution_options(yield_per=_BATCH) as connection:
            yield from connection.execute(query).partitions()

    return part(
        kind,
        batches(OF_SUCCESSES, table.error.is_(None)),
        batches(OF_FAILURES, table.error.is_not(None)),
    )


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
