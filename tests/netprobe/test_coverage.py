"""What was expected against what is there: the states of a mesh's cells, counted by the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event, text

from federation.sites import Federation, Place, Site
from netprobe.archive import Archive
from netprobe.coverage import Cell, State, coverage
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.meshes.psconfig import Expected

NOW = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=1)
WANTED = Expected(
    task="k",
    test="throughput",
    source="a.example.net",
    destination="b.example.net",
    source_names=("a",),
    destination_names=("b",),
    spec={},
    repeat_seconds=4 * 3600.0,
    ip_version=None,
    scheduled_by="a.example.net",
)


def row(hours_ago: float, error: str | None = None, **parameters: Any) -> Measurement:
    return Measurement(
        kind=Kind.THROUGHPUT,
        source="a.example.net",
        destination="b.example.net",
        started=NOW - timedelta(hours=hours_ago),
        seconds=10.0,
        tool="iperf3",
        origin=Origin.PERFSONAR,
        figures={} if error else {"bits_per_second": 1e9},
        parameters={"test": "throughput", "protocol": "tcp", "ip_version": 4, **parameters},
        error=error,
    )


def only(engine: Engine, *wanted: Expected, federation: Federation | None = None) -> Cell:
    (cell,) = coverage(engine, wanted or [WANTED], SINCE, NOW, federation).cells
    return cell


def test_the_state_of_a_cell(engine: Engine) -> None:
    cases: list[tuple[list[Measurement], State, int, int]] = [
        ([], State.MISSING, 0, 0),
        ([row(25)], State.MISSING, 0, 0),
        ([row(20), row(3)], State.OK, 2, 0),
        ([row(8)], State.OK, 1, 0),
        ([row(8.1)], State.STALE, 1, 0),
        ([row(5), row(1, "refused")], State.FAILED, 1, 1),
        ([row(5, "refused"), row(1)], State.OK, 1, 1),
        ([row(9, "refused")], State.STALE, 0, 1),
    ]
    for number, (rows, *_) in enumerate(cases):
        Archive(engine).add(replace(one, source=f"a{number}") for one in rows)
    wanted = [replace(WANTED, source=f"a{number}", source_names=()) for number in range(len(cases))]
    cells = coverage(engine, wanted, SINCE, NOW).cells
    assert [(cell.state, cell.succeeded, cell.failed) for cell in cells] == [case[1:] for case in cases]
    for cell, (rows, *_) in zip(cells, cases, strict=True):
        assert cell.expected == 6
        assert cell.newest == max((one.started for one in rows if one.started >= SINCE), default=None)


def test_results_of_other_tests_versions_and_protocols_are_not_of_this_cell(engine: Engine) -> None:
    Archive(engine).add([row(1, protocol="udp"), row(2, ip_version=6), row(3, test=None), row(4, test="x")])
    four = replace(WANTED, ip_version=4)
    assert only(engine, four).state is State.MISSING
    assert only(engine, replace(WANTED, ip_version=6)).succeeded == 1
    assert only(engine, replace(WANTED, spec={"udp": True})).succeeded == 1
    Archive(engine).add([row(5)])
    assert (only(engine, four).succeeded, only(engine).succeeded) == (1, 2)


def test_tasks_that_measure_the_same_share_a_cell(engine: Engine) -> None:
    often, once = replace(WANTED, task="o", repeat_seconds=3600.0), replace(WANTED, repeat_seconds=None)
    cell = only(engine, WANTED, often, replace(once, task="once"))
    assert cell.tasks == ("k", "o", "once")
    assert (cell.expected, cell.repeat_seconds) == (6 + 24 + 1, 3600.0)


def test_what_is_run_once_is_never_overdue(engine: Engine) -> None:
    Archive(engine).add([row(23)])
    cell = only(engine, replace(WANTED, repeat_seconds=None))
    assert (cell.state, cell.expected) == (State.OK, 1)


def test_ends_are_found_by_site_by_name_and_by_address(engine: Engine) -> None:
    sites = {
        key: Site(key, key.upper(), Place(0, 0), perfsonar_hosts=(f"{name}.example.net",))
        for key, name in (("perth", "a"), ("lausanne", "b"))
    }
    by_site = replace(row(1), source="perth", destination="lausanne", id="1")
    by_address = replace(row(2), source="192.0.2.1", destination="192.0.2.2", id="2")
    Archive(engine).add([by_site, by_address])
    cell = only(engine, federation=Federation("f", sites))
    assert (cell.source, cell.destination, cell.succeeded) == ("perth", "lausanne", 1)
    by_circuit = replace(WANTED, source="192.0.2.1", destination="192.0.2.2", source_names=("A.example.net",))
    assert only(engine, by_circuit).succeeded == 1


def test_the_other_direction_is_another_cell(engine: Engine) -> None:
    Archive(engine).add([row(1)])
    back = replace(WANTED, source="b.example.net", destination="a.example.net")
    back = replace(back, source_names=("b",), destination_names=("a",))
    found = coverage(engine, [WANTED, back], SINCE, NOW)
    assert [cell.state for cell in found.cells] == [State.OK, State.MISSING]
    assert (found.count(State.OK), found.count(State.STALE)) == (1, 0)


def test_tests_that_no_archive_keeps_are_counted(engine: Engine) -> None:
    dns = replace(WANTED, test="dns")
    snmp = replace(WANTED, test="snmpget", destination=None, destination_names=())
    found = coverage(engine, [dns, dns, snmp], SINCE, NOW)
    assert (found.cells, found.not_kept) == ((), {"dns": 2, "snmpget": 1})


def test_the_database_answers_by_its_indexes(engine: Engine) -> None:
    if engine.dialect.name == "postgresql":
        Archive(engine).add(replace(row(hours / 100), id=str(hours)) for hours in range(500))
        Archive(engine).add(
            replace(row(hours / 100), id=f"o{hours}", source=f"s{hours}") for hours in range(3000)
        )
        with engine.begin() as connection:
            connection.execute(text("ANALYZE measurements"))
    with explained(engine) as plans:
        only(engine)
    assert len(plans) == 2
    assert "measurements_succeeded" in plans[0], plans[0]
    assert "measurements_failed" in plans[1], plans[1]


@contextmanager
def explained(engine: Engine) -> Iterator[list[str]]:
    """The plans of the queries of the block, as the database tells them."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "FROM measurements" in statement and not statement.startswith("EXPLAIN"):
            seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    plans: list[str] = []
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        for statement, parameters in seen:
            rows = connection.exec_driver_sql(explain + statement, parameters).all()
            plans.append("\n".join(str(tuple(one)) for one in rows))
