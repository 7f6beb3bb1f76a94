"""What is kept for how long: raw documents, every row, one row a bucket, nothing.

Work is done in small transactions, so that others get to write in between; stopped halfway, it goes on where
it was when it is run again. Run again at once, there is nothing to do.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, delete, func, null, select, tuple_, update

from federation.database import write
from netprobe import archive_queries as queries
from netprobe.measurement import Kind
from netprobe.tables import measurements

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# So that there is an instant so long ago.
_LONGEST = timedelta(days=36_500)
# Rows a transaction.
_BATCH = 1000
# What is read of the rows that may be thinned out.
_READ = [
    measurements.c[name]
    for name in ("number", "started", "tool", "origin", "archive", "error", "figures", "parameters")
]
# The figure by which the middle one of a bucket is chosen: the first that there is.
_HEADLINES = {
    Kind.THROUGHPUT: ("bits_per_second", "sent_bits_per_second"),
    Kind.LATENCY: ("rtt_seconds", "owd_seconds", "rtt_seconds_min", "owd_seconds_min"),
    Kind.LOSS: ("loss_ratio", "packets_lost"),
    Kind.PATH: ("hops", "path_mtu_bytes"),
    Kind.TRANSFER: ("bits_per_second", "seconds"),
}
# What was measured in another way is no sample of the same thing. Of the parameters, these say so.
_WAYS = ("protocol", "udp", "streams", "parallel", "ip_version", "rate", "reverse", "bidirectional")


@dataclass(frozen=True)
class Retention:
    """How old something must be to be given up; None: it is kept."""

    # raw documents are dropped, the rows stay
    raw_after: timedelta | None = None
    # of each path, kind and way of measuring, one row a bucket stays
    thin_after: timedelta | None = None
    bucket: timedelta = timedelta(hours=1)
    # rows are removed
    remove_after: timedelta | None = None

    def __post_init__(self) -> None:
        """ValueError where an age or the bucket is of no use."""
        for name in ("raw_after", "thin_after", "remove_after"):
            age = getattr(self, name)
            if age is not None and not timedelta(0) <= age <= _LONGEST:
                raise ValueError(f"{name}: expected an age of 0 to {_LONGEST.days} days, got {age}")
        if not timedelta(0) < self.bucket <= _LONGEST:
            raise ValueError(f"bucket: expected more than 0, {_LONGEST.days} days at most, got {self.bucket}")


@dataclass(frozen=True)
class Pruned:
    """How many raw documents were dropped, rows removed for their age, and rows that another stands for."""

    raw: int
    removed: int
    thinned: int


def prune(engine: Engine, policy: Retention, now: datetime, *, dry_run: bool = False) -> Pruned:
    """Give up what the policy says; with `dry_run` only count it.

    Of the rows of a bucket that succeeded, the one of the median rate (delay, loss, hops) stays, with all its
    own figures and its id, and `samples` in its parameters says of how many it is the middle. Of those that
    failed the last stays, with the same. Buckets begin at whole multiples since 1970; only whole ones are
    thinned. What is newer than the policy's ages is never touched, nor is the row that came last: its number
    is what readers know the archive's state by.
    """
    with engine.connect() as connection:
        last = connection.execute(select(func.max(measurements.c.number))).scalar() or 0
    raw = removed = thinned = 0
    if policy.raw_after is not None:
        raw = _drop_raw(engine, now - policy.raw_after, dry_run)
    if policy.remove_after is not None:
        removed = _remove(engine, now - policy.remove_after, last, dry_run)
    if policy.thin_after is not None:
        oldest = None if policy.remove_after is None else now - policy.remove_after
        thinned = _thin(engine, policy.bucket, oldest, now - policy.thin_after, last, dry_run)
    return Pruned(raw, removed, thinned)


def _drop_raw(engine: Engine, before: datetime, dry_run: bool) -> int:
    chosen = (measurements.c.raw.is_not(null()), measurements.c.started < before)
    if dry_run:
        return _counted(engine, chosen)
    oldest = select(measurements.c.number).where(*chosen).order_by(measurements.c.started).limit(_BATCH)
    dropped = 0
    while True:
        with write(engine) as connection:
            numbers = list(connection.execute(oldest).scalars())
            connection.execute(
                update(measurements).where(measurements.c.number.in_(numbers)).values(raw=null())
            )
        dropped += len(numbers)
        if len(numbers) < _BATCH:
            return dropped


def _remove(engine: Engine, before: datetime, last: int, dry_run: bool) -> int:
    """Of all paths of a kind together, a few of each at a time."""
    removed = 0
    for kind in Kind:
        with engine.connect() as connection:
            paths = queries.paths(connection, kind)
        for failed in (False, True):
            if dry_run:
                with engine.connect() as connection:
                    removed += queries.count_of_each(connection, kind, paths, failed=failed, before=before)
                continue
            # one more than the one that always stays
            limit = 2 + _BATCH // max(len(paths), 1)
            while True:
                with write(engine) as connection:
                    found = queries.newest_of_each(
                        connection,
                        ("number",),
                        kind,
                        paths,
                        failed=failed,
                        since=None,
                        before=before,
                        limit=limit,
                    )
                    numbers = [number for (number,) in found if number != last]
                    if numbers:
                        connection.execute(delete(measurements).where(measurements.c.number.in_(numbers)))
                if not numbers:
                    break
                removed += len(numbers)
    if dry_run:
        with engine.connect() as connection:
            stays = (measurements.c.number == last, measurements.c.started < before)
            removed -= connection.execute(select(func.count()).where(*stays)).scalar_one()
    return removed


def _counted(engine: Engine, chosen: Sequence[ColumnElement[bool]]) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).where(*chosen)).scalar_one()


@dataclass(frozen=True)
class _Stand:
    """The row that stays for several, its parameters then, and the numbers of those that go."""

    number: int
    parameters: dict[str, Any]
    others: tuple[int, ...]


def _thin(
    engine: Engine, bucket: timedelta, oldest: datetime | None, before: datetime, last: int, dry_run: bool
) -> int:
    before = whole_buckets_before(before, bucket)
    thinned, waiting = 0, list[_Stand]()
    for kind in Kind:
        with engine.connect() as connection:
            paths = queries.paths(connection, kind)
        for path in paths:
            for failed in (False, True):
                rows = _old(engine, kind, path, failed, oldest, before)
                buckets = groupby(rows, key=lambda row: (row.started - _EPOCH) // bucket)
                for _, together in buckets:
                    waiting.extend(_stands(kind, list(together), last))
                    if sum(len(stand.others) for stand in waiting) >= _BATCH:
                        thinned += _written(engine, waiting, dry_run)
                        waiting.clear()
    return thinned + _written(engine, waiting, dry_run)


def whole_buckets_before(instant: datetime, bucket: timedelta) -> datetime:
    """The end of the last bucket that is over: a bucket of which a part is newer stays whole."""
    return _EPOCH + (instant - _EPOCH) // bucket * bucket


def _old(
    engine: Engine,
    kind: Kind,
    path: tuple[str, str],
    failed: bool,
    oldest: datetime | None,
    before: datetime,
) -> Iterator[Row[Any]]:
    """A path's rows from `oldest` until `before`, oldest first, read in parts along the index."""
    place = (measurements.c.started, measurements.c.number)
    after: tuple[Any, ...] | None = None
    while True:
        since = oldest if after is None else after[0]
        query = select(*_READ).where(*queries.of_path(kind, path, failed=failed, since=since, before=before))
        if after is not None:
            query = query.where(tuple_(*place) > tuple_(*after))
        query = query.order_by(*place)
        with engine.connect() as connection:
            rows = connection.execute(query.limit(_BATCH)).all()
        yield from rows
        if len(rows) < _BATCH:
            return
        after = (rows[-1].started, rows[-1].number)


def _stands(kind: Kind, bucket: Sequence[Row[Any]], last: int) -> Iterator[_Stand]:
    """Which rows of a path's bucket stay for which others."""
    groups: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in bucket:
        if row.number != last:
            ways = [row.parameters.get(name) for name in _WAYS]
            # an archive's rows are that archive's: a test seen by two is two samples of neither
            groups[json.dumps([row.tool, row.origin, row.archive, ways], sort_keys=True)].append(row)
    for group in groups.values():
        if len(group) > 1:
            middle = group[-1] if group[-1].error is not None else _median(kind, group)
            samples = sum(_samples(row) for row in group)
            others = tuple(row.number for row in group if row.number != middle.number)
            yield _Stand(middle.number, {**middle.parameters, "samples": samples}, others)


def _median(kind: Kind, group: Sequence[Row[Any]]) -> Row[Any]:
    """The lower median by the kind's figure, each row counting as often as it has samples."""
    ordered = sorted(group, key=lambda row: (_headline(kind, row), row.started, row.number))
    half, seen = sum(_samples(row) for row in ordered) / 2, 0
    for row in ordered:
        seen += _samples(row)
        if seen >= half:
            return row
    raise AssertionError("a group has a middle")


def _headline(kind: Kind, row: Row[Any]) -> float:
    """Rows without any such figure come first."""
    return next((row.figures[name] for name in _HEADLINES[kind] if name in row.figures), float("-inf"))


def _samples(row: Row[Any]) -> int:
    found = row.parameters.get("samples")
    return found if isinstance(found, int) and found > 0 else 1


def _written(engine: Engine, stands: Sequence[_Stand], dry_run: bool) -> int:
    """The number of rows that go. Each row that stays, and those for which it does, in one transaction."""
    if stands and not dry_run:
        with write(engine) as connection:
            for stand in stands:
                stays = update(measurements).where(measurements.c.number == stand.number)
                connection.execute(stays.values(parameters=stand.parameters))
                for start in range(0, len(stand.others), _BATCH):
                    some = stand.others[start : start + _BATCH]
                    connection.execute(delete(measurements).where(measurements.c.number.in_(some)))
    return sum(len(stand.others) for stand in stands)
