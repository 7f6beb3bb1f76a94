"""What a mesh was to measure against what the archive holds of it: which cells are filled, and how well."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from federation.sites import Federation
from netprobe.meshes.psconfig import Expected
from netprobe.meshes.rows import KINDS, ends
from netprobe.tables import measurements

# a result is overdue once so many times its interval has passed
LATE = 2


class State(StrEnum):
    """How a cell stands at the end of the time that is looked at."""

    OK = "ok"
    # nothing at all in that time
    MISSING = "missing"
    # the newest result is older than twice the interval, whatever it was
    STALE = "stale"
    # the newest result is a failure
    FAILED = "failed"


@dataclass(frozen=True)
class Cell:
    """One direction of one pair, one type of test. Ends by site id, else by host name.

    `ip_version` and `protocol` are None where the template leaves them open: then results of any count.
    """

    source: str
    destination: str
    test: str
    ip_version: int | None
    protocol: str | None
    tasks: tuple[str, ...]
    # the shortest interval of the tasks; None where none repeats
    repeat_seconds: float | None
    # results that the time should have given; a task without an interval should have given one
    expected: int
    succeeded: int
    failed: int
    newest: datetime | None
    state: State


@dataclass(frozen=True)
class Coverage:
    """A mesh from `since` until before `until`. `not_kept`: tests of types that no row has."""

    since: datetime
    until: datetime
    cells: tuple[Cell, ...]
    not_kept: dict[str, int]

    def count(self, state: State) -> int:
        """Cells in that state."""
        return sum(cell.state is state for cell in self.cells)


@dataclass(frozen=True)
class _Key:
    """What tells cells apart; the ends by all names that the archive may have them under."""

    test: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    ip_version: int | None
    protocol: str | None


@dataclass(frozen=True)
class _Held:
    """Results of one path in the archive that were measured in the same way."""

    test: str | None
    ip_version: int | None
    protocol: str | None
    failed: bool
    count: int
    newest: datetime


def coverage(
    engine: Engine,
    expected: Iterable[Expected],
    since: datetime,
    until: datetime,
    federation: Federation | None = None,
) -> Coverage:
    """How the archive in `engine` covers what is expected, by what started from `since` until before `until`.

    Results of perfSONAR count, those of our own tests don't: they have another type of test. The database is
    asked along its indexes, twice for each path.
    """
    tasks: dict[_Key, list[Expected]] = defaultdict(list)
    not_kept: Counter[str] = Counter()
    for one in expected:
        key = _key(one, federation)
        if key is None:
            not_kept[one.test] += 1
        else:
            tasks[key].append(one)
    held: dict[tuple[Any, ...], list[_Held]] = {}
    cells = []
    with engine.connect() as connection:
        for key, wanted in tasks.items():
            path = (KINDS[key.test], key.sources, key.destinations)
            if path not in held:
                held[path] = _held(connection, key, since, until)
            found = [row for row in held[path] if _belongs(row, key)]
            cells.append(_cell(key, wanted, found, since, until))
    return Coverage(since, until, tuple(cells), dict(not_kept))


def _key(one: Expected, federation: Federation | None) -> _Key | None:
    if one.test not in KINDS or one.destination is None:
        return None
    sources, destinations = (one.source, *one.source_names), (one.destination, *one.destination_names)
    named = ends(sources, destinations, federation)
    if named is None:
        return None
    return _Key(one.test, _all(named[0], sources), _all(named[1], destinations), one.ip_version, one.protocol)


def _all(best: str, names: Sequence[str]) -> tuple[str, ...]:
    """`best` first, then the others as the archive writes them."""
    known = [found[0] for name in names if (found := ends((name,), (name,), None)) is not None]
    return tuple(dict.fromkeys((best, *known)))


def _held(connection: Connection, key: _Key, since: datetime, until: datetime) -> list[_Held]:
    return [
        _Held(row.test, _version(row.ip_version), row.protocol, failed, row.rows, row.newest)
        for failed in (False, True)
        for row in _counted(connection, key, since, until, failed)
    ]


def _counted(
    connection: Connection, key: _Key, since: datetime, until: datetime, failed: bool
) -> Sequence[Row[Any]]:
    error, parameters = measurements.c.error, measurements.c.parameters
    how = [parameters[name].as_string().label(name) for name in ("test", "ip_version", "protocol")]
    rows = (
        select(measurements.c.started, *how)
        .where(
            measurements.c.kind == KINDS[key.test].value,
            measurements.c.source.in_(key.sources),
            measurements.c.destination.in_(key.destinations),
            measurements.c.started >= since,
            measurements.c.started < until,
            error.is_not(None) if failed else error.is_(None),
        )
        .subquery()
    )
    groups = (rows.c.test, rows.c.ip_version, rows.c.protocol)
    newest = func.max(rows.c.started, type_=rows.c.started.type)
    counted = select(*groups, func.count().label("rows"), newest.label("newest")).group_by(*groups)
    return connection.execute(counted).all()


def _version(value: Any) -> int | None:
    """4 or 6: JSON gives it as a number or as text, as the database has it."""
    return {"4": 4, "6": 6}.get(str(value))


def _belongs(row: _Held, key: _Key) -> bool:
    return (
        row.test == key.test
        and (key.ip_version is None or row.ip_version in (None, key.ip_version))
        and (key.protocol is None or row.protocol in (None, key.protocol))
    )


def _cell(
    key: _Key, wanted: Sequence[Expected], found: Sequence[_Held], since: datetime, until: datetime
) -> Cell:
    repeats = [one.repeat_seconds for one in wanted if one.repeat_seconds is not None]
    repeat = min(repeats, default=None)
    window = (until - since).total_seconds()
    newest = max(found, key=lambda row: row.newest, default=None)
    if newest is None:
        state = State.MISSING
    elif repeat is not None and until - newest.newest > timedelta(seconds=LATE * repeat):
        state = State.STALE
    else:
        state = State.FAILED if newest.failed else State.OK
    return Cell(
        source=key.sources[0],
        destination=key.destinations[0],
        test=key.test,
        ip_version=key.ip_version,
        protocol=key.protocol,
        tasks=tuple(dict.fromkeys(one.task for one in wanted)),
        repeat_seconds=repeat,
        expected=sum(int(window // each) for each in repeats) + len(wanted) - len(repeats),
        succeeded=sum(row.count for row in found if not row.failed),
        failed=sum(row.count for row in found if row.failed),
        newest=None if newest is None else newest.newest,
        state=state,
    )
