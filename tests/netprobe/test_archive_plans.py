"""Every question that forecasts and reports ask is answered by a walk along an index, on both databases.

What the archive really sends is caught and explained by the database, on a table large enough for it to mind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from netprobe.archive import Archive
from netprobe.coverage import coverage
from netprobe.history import History
from netprobe.measurement import Kind, Measurement
from netprobe.meshes.psconfig import Expected
from netprobe.retention import Retention, prune
from tests.netprobe.test_archive import NOON, measurement

SITES = "abcd"
ROWS = 12_000
SINCE = NOON + timedelta(minutes=ROWS - 2000)


def mesh() -> Iterator[Measurement]:
    pairs = [(a, b) for a in SITES for b in SITES if a != b]
    for number in range(ROWS):
        kind = (Kind.THROUGHPUT, Kind.LATENCY)[number // len(pairs) % 2]
        error = "busy" if number % 9 == 0 else None
        raw = {"n": number} if number % 5 == 0 else None
        yield measurement(*pairs[number % len(pairs)], minutes=number, kind=kind, error=error, raw=raw)


QUESTIONS: dict[str, Callable[[Archive], Any]] = {
    "history": lambda archive: archive.history(per_path=5),
    "history since": lambda archive: archive.history(per_path=5, since=SINCE),
    "history after": lambda archive: archive.history_after(History({}), ROWS - 500, per_path=5),
    "last of every pair": lambda archive: archive.last_by_pair(Kind.LATENCY),
    "paths": lambda archive: archive.paths(Kind.THROUGHPUT),
    "newest of a path": lambda archive: archive.recent(Kind.THROUGHPUT, "a", "b", limit=5),
    "successes of a path": lambda archive: archive.recent(
        Kind.THROUGHPUT, "a", "b", SINCE, limit=5, succeeded_only=True
    ),
    "newest from a site": lambda archive: archive.recent(Kind.THROUGHPUT, "a", limit=5),
    "newest into a site": lambda archive: archive.recent(Kind.THROUGHPUT, destination="b", limit=5),
    "newest of a kind": lambda archive: archive.recent(Kind.THROUGHPUT, limit=5),
    "all": lambda archive: sum(1 for _ in archive.all()),
    "all of a kind": lambda archive: sum(1 for _ in archive.all(Kind.LATENCY)),
    "version": lambda archive: archive.version(),
    "known": lambda archive: archive.known([f"run-{number}" for number in range(20)]),
}


@pytest.fixture
def full(engine: sa.Engine) -> sa.Engine:
    Archive(engine).add(mesh())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE measurements")
    return engine


def test_no_question_reads_or_sorts_the_whole_table(full: sa.Engine) -> None:
    for name, question in QUESTIONS.items():
        asked = caught(full, partial(question, Archive(full)))
        assert asked, name
        for statement, parameters in asked.items():
            plan = explained(full, statement, parameters)
            assert all(is_a_walk(step) for step in plan), (name, statement, plan)


def test_what_is_old_is_found_along_an_index(full: sa.Engine) -> None:
    policy = Retention(raw_after=timedelta(0), thin_after=timedelta(0), remove_after=timedelta(minutes=20))
    now = NOON + timedelta(minutes=60)
    asked = caught(full, lambda: prune(full, policy, now))
    selects = {text: values for text, values in asked.items() if text.startswith("SELECT")}
    assert len(selects) > 3
    for statement, parameters in selects.items():
        plan = explained(full, statement, parameters)
        assert all(is_a_walk(step) for step in plan), (statement, plan)


def test_what_a_mesh_was_to_measure_is_counted_along_the_paths(full: sa.Engine) -> None:
    """Only the results of the time asked for are read, and sorted into groups."""
    expected = [
        Expected("task", test, *path, (), (), {}, 3600.0, None, path[0])
        for test, path in (("throughput", ("a", "b")), ("rtt", ("b", "c")))
    ]
    asked = caught(full, lambda: coverage(full, expected, SINCE, SINCE + timedelta(minutes=60)))
    assert len(asked) == 2
    for statement, parameters in asked.items():
        plan = explained(full, statement, parameters)
        assert not any(is_a_scan(step) for step in plan), (statement, plan)
        assert any("measurements_" in step for step in plan)


def caught(engine: sa.Engine, action: Callable[[], Any]) -> dict[str, Any]:
    """The different statements that the action sends, each with parameters of one time that it did."""
    found: dict[str, Any] = {}

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if "FROM measurements" in statement:
            found[statement] = parameters

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        action()
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return found


def explained(engine: sa.Engine, statement: str, parameters: Any) -> list[str]:
    """The steps of the plan, as the database words them."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return [row.detail for row in rows]
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
        document = json.loads(found) if isinstance(found, str) else found
        return list(steps(document[0]["Plan"]))


def steps(node: dict[str, Any]) -> Iterator[str]:
    yield f"{node['Node Type']} {node.get('Index Name', '')}".strip()
    for child in node.get("Plans", ()):
        yield from steps(child)


def is_a_walk(step: str) -> bool:
    """Neither a scan of the table nor a sort."""
    return not is_a_scan(step) and not step.startswith(("Sort", "Incremental Sort", "USE TEMP B-TREE"))


def is_a_scan(step: str) -> bool:
    """A walk from path to path scans what it has found itself, and a list of paths the list."""
    return step not in ("SCAN walk", "SCAN CONSTANT ROW", "SCAN each VIRTUAL TABLE INDEX 1:") and (
        step.startswith(("SCAN", "Seq Scan", "Parallel Seq Scan"))
        # the database's own, of all rows
        or "AUTOMATIC" in step
    )
