"""The archive through its own calls, on a real database."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, text

from federation.database import connect, write
from netprobe.archive import Archive, Holding
from netprobe.ingest import insert
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tables import measurements, metadata
from tests.netprobe.taking_in import endless
from tests.waiting import until

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def measurement(source: str = "a", destination: str = "b", minutes: float = 0, **more: Any) -> Measurement:
    one = Measurement(
        kind=Kind.THROUGHPUT,
        source=source,
        destination=destination,
        started=NOON + timedelta(minutes=minutes),
        seconds=5.0,
        tool="iperf3",
        origin=Origin.SCRIPTED,
        figures={"bits_per_second": 94.9e6},
    )
    return replace(one, **more)


def test_what_goes_in_comes_out_unchanged(engine: Engine) -> None:
    put = measurement(
        parameters={"duration": 5, "omit": "1 s"},
        source_address="10.77.1.2",
        destination_address="10.77.2.2",
        raw={"end": {"sum": [1, 2, None]}},
    )
    failed = measurement(minutes=1, figures={}, error="destination b: refused")
    archive = Archive(engine)
    assert archive.add([put, failed]) == 2
    assert archive.recent(Kind.THROUGHPUT, "a", "b") == [failed, put]


def test_the_same_result_twice_is_one_row(engine: Engine) -> None:
    archive, one = Archive(engine), measurement()
    assert archive.add([one, one]) == 1
    assert archive.add([replace(one, seconds=99.0), measurement(minutes=1)]) == 1
    assert [found.seconds for found in archive.all()] == [5.0, 5.0]


def test_adding_more_than_one_batch_counts_all(engine: Engine) -> None:
    archive = Archive(engine)
    assert archive.add(measurement(minutes=number) for number in range(1203)) == 1203
    assert sum(1 for _ in archive.all()) == 1203
    assert len(archive.recent(Kind.THROUGHPUT, "a", "b")) == 200


def test_nothing_to_add(engine: Engine) -> None:
    archive = Archive(engine)
    assert archive.add([]) == 0
    assert archive.version() == 0
    assert list(archive.all()) == []


def test_a_figure_that_is_no_number_was_not_measured(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add([measurement(figures={"bits_per_second": float("nan"), "rtt_seconds": 0.02})])
    assert archive.recent(Kind.THROUGHPUT, "a", "b")[0].figures == {"rtt_seconds": 0.02}


def test_recent_selects(engine: Engine) -> None:
    archive = Archive(engine)
    old, new = measurement(minutes=0), measurement(minutes=30)
    failed = measurement(minutes=20, error="source a: busy")
    other = measurement(source="c", minutes=10)
    ping = measurement(minutes=40, kind=Kind.LATENCY)
    archive.add([new, old, failed, other, ping])
    assert archive.recent(Kind.THROUGHPUT, "a", "b") == [new, failed, old]
    assert archive.recent(Kind.THROUGHPUT, "a", "b", succeeded_only=True) == [new, old]
    assert archive.recent(Kind.THROUGHPUT, "a", "b", since=NOON + timedelta(minutes=20)) == [new, failed]
    assert archive.recent(Kind.THROUGHPUT, "a", "b", limit=1) == [new]
    assert archive.recent(Kind.THROUGHPUT, destination="b") == [new, failed, other, old]
    assert archive.recent(Kind.THROUGHPUT, "b", "a") == []


def test_the_last_of_every_pair_also_when_it_failed(engine: Engine) -> None:
    archive = Archive(engine)
    first, failed = measurement(minutes=0), measurement(minutes=1, error="source a: busy")
    back = measurement("b", "a", minutes=-5)
    archive.add([failed, first, back, measurement(kind=Kind.LATENCY, minutes=9)])
    assert archive.last_by_pair(Kind.THROUGHPUT) == {("a", "b"): failed, ("b", "a"): back}


def test_history_holds_the_newest_of_every_path_without_raw(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(measurement(minutes=number, raw={"n": number}) for number in range(8))
    archive.add([measurement("b", "a", minutes=-60), measurement(kind=Kind.PATH)])
    history = archive.history(per_path=3)
    assert [found.started.minute for found in history.path(Kind.THROUGHPUT, "a", "b")] == [7, 6, 5]
    assert all(found.raw is None for found in history.path(Kind.THROUGHPUT, "a", "b"))
    assert len(history.path(Kind.THROUGHPUT, "b", "a")) == 1
    assert list(history.paths(Kind.PATH)) == []


def test_no_number_of_failures_hides_a_success(engine: Engine) -> None:
    archive = Archive(engine)
    good = [measurement(minutes=number) for number in range(5)]
    archive.add([*good, measurement(minutes=2.5, error="old")])
    archive.add(measurement(minutes=10 + number, figures={}, error="source a: busy") for number in range(250))
    path = archive.history(per_path=3).path(Kind.THROUGHPUT, "a", "b")
    assert [found for found in path if found.succeeded] == [good[4], good[3], good[2]]
    assert [found.started for found in path][:3] == [NOON + timedelta(minutes=10 + 249 - n) for n in range(3)]
    assert len(path) == 6
    assert archive.recent(Kind.THROUGHPUT, "a", "b", limit=2, succeeded_only=True) == [good[4], good[3]]
    # failures older than the oldest success that is looked at count no more
    few = archive.history(per_path=300).path(Kind.THROUGHPUT, "a", "b")
    assert [found.error for found in few if not found.succeeded][-1] == "old"
    archive.add(measurement(minutes=600 + number) for number in range(3))
    assert all(found.succeeded for found in archive.history(per_path=3).path(Kind.THROUGHPUT, "a", "b"))


def test_a_history_takes_a_few_questions_however_many_paths_there_are(engine: Engine) -> None:
    archive = Archive(engine)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *heard: asked.append(heard[2]))
    counts = []
    for sources in ("ab", "cdefgh"):
        archive.add(measurement(source, minutes=number) for source in sources for number in range(150))
        asked.clear()
        assert {len(path) for path in archive.history(per_path=20).by_path.values()} == {20}
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_of_one_instant_what_came_last_is_the_newest(engine: Engine) -> None:
    archive = Archive(engine)
    several = [measurement(seconds=float(number)) for number in range(5)]
    archive.add(several)
    assert archive.history(per_path=3).path(Kind.THROUGHPUT, "a", "b") == several[:1:-1]
    assert archive.recent(Kind.THROUGHPUT, limit=3) == several[:1:-1]


@pytest.fixture(scope="module")
def one_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path_factory.mktemp('history') / 'archive.db'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("xyz"),
            st.integers(0, 9),
            st.booleans(),
            st.sampled_from([Kind.THROUGHPUT, Kind.TRANSFER]),
        ),
        max_size=40,
    ),
    st.integers(1, 4),
    st.none() | st.integers(0, 9),
)
def test_a_history_is_what_its_words_say(
    one_database: Engine,
    found: list[tuple[str, str, int, bool, Kind]],
    per_path: int,
    since: int | None,
) -> None:
    """Against the plainest program that does the same."""
    rows = [
        measurement(source, destination, minutes, error="busy" if failed else None, kind=kind)
        for source, destination, minutes, failed, kind in found
    ]
    start = None if since is None else at(since)
    expected: dict[tuple[Kind, str, str], list[Measurement]] = {}
    for key in {(one.kind, one.source, one.destination) for one in rows}:
        newest = [one for one in reversed(rows) if (one.kind, one.source, one.destination) == key]
        newest.sort(key=lambda one: one.started, reverse=True)
        newest = [one for one in newest if start is None or one.started >= start]
        good = [one for one in newest if one.succeeded][:per_path]
        bad = [one for one in newest if not one.succeeded]
        if len(good) == per_path:
            bad = [one for one in bad if one.started >= good[-1].started]
        chosen = {one.id for one in (*good, *bad[:per_path])}
        if chosen:
            expected[key] = [one for one in newest if one.id in chosen]
    archive = Archive(one_database)
    with write(one_database) as connection:
        connection.execute(delete(measurements))
        insert(connection, rows[: len(rows) // 2])
    before, version = archive.history(per_path), archive.version()
    archive.add(rows[len(rows) // 2 :])
    assert archive.history(per_path, start).by_path == expected
    assert archive.history_after(before, version, per_path).by_path == archive.history(per_path).by_path


def test_the_paths_of_a_kind_also_where_all_failed(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(measurement(path[0], path[1], n) for path in ("ba", "ab", "ac") for n in range(3))
    archive.add([measurement("c", "d", error="busy"), measurement("x", "y", kind=Kind.PATH)])
    assert archive.paths(Kind.THROUGHPUT) == [("a", "b"), ("a", "c"), ("b", "a"), ("c", "d")]
    assert archive.paths(Kind.LOSS) == []


def test_much_is_taken_in_parts_and_again_adds_nothing(engine: Engine) -> None:
    archive = Archive(engine)
    found = [measurement(minutes=number, raw={"n": [number]}) for number in range(10_250)]
    assert list(archive.ingest(found)) == [(10_000, 10_000), (250, 250)]
    assert list(archive.ingest(found[9_990:])) == [(260, 0)]
    assert list(archive.all()) == found


def test_what_it_holds_by_kind_origin_and_archive(engine: Engine) -> None:
    archive = Archive(engine)
    assert archive.holdings() == []
    pulled = {"origin": Origin.PERFSONAR, "archive": "mesh"}
    archive.add([measurement(minutes=4), measurement(minutes=2), measurement(minutes=3, **pulled)])
    archive.add([measurement(minutes=5, origin=Origin.PERFSONAR)])
    assert archive.holdings() == [
        Holding(Kind.THROUGHPUT, Origin.PERFSONAR, None, 1, at(5), at(5)),
        Holding(Kind.THROUGHPUT, Origin.PERFSONAR, "mesh", 1, at(3), at(3)),
        Holding(Kind.THROUGHPUT, Origin.SCRIPTED, None, 2, at(2), at(4)),
    ]
    assert archive.size_bytes() > 0


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_a_tool_may_say_anything(engine: Engine) -> None:
    archive = Archive(engine)
    context = {"load": float("inf"), "seen": [float("nan"), 1.5]}
    parameters = {"text": "a\0b", "half": "\ud800", "large": 2**70, "small": -(2**70), "exact": 0.1}
    archive.add([measurement(error="a\0b\ud800", context=context, parameters=parameters)])
    (found,) = archive.all()
    assert found.error == "a\N{REPLACEMENT CHARACTER}b?"
    assert found.context == {"load": None, "seen": [None, 1.5]}
    assert found.parameters == parameters


def test_the_version_grows_only_with_new_rows(engine: Engine) -> None:
    archive, one = Archive(engine), measurement()
    archive.add([one])
    before = archive.version()
    archive.add([one])
    assert archive.version() == before
    archive.add([measurement(minutes=-500)])
    assert archive.version() > before


def test_numbers_are_seen_in_their_order(engine: Engine) -> None:
    """Who has seen a row misses none with a smaller number, whoever commits first."""
    archive, first, second = Archive(engine), measurement(minutes=0), measurement(minutes=1)
    ended = threading.Event()

    def other() -> None:
        archive.add([second])
        ended.set()

    with write(engine) as connection:
        insert(connection, [first])
        thread = threading.Thread(target=other)
        thread.start()
        # it waits, or it would have added what is seen now
        assert not ended.wait(0.2)
        assert archive.version() == 0
    thread.join()
    assert list(archive.all()) == [first, second]


def test_a_process_killed_while_it_takes_in_leaves_whole_batches(engine: Engine, database_url: str) -> None:
    """And taking all of it in again adds what is missing, nothing twice."""
    command = [sys.executable, "-m", "tests.netprobe.taking_in", database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "10000\n"
        # it is at the next batch now, or has done it
        process.kill()
    until(lambda: not _others(engine), "the end of what the database still does for it")
    archive = Archive(engine)
    kept = sum(1 for _ in archive.all())
    assert kept >= 10_000
    assert kept % 10_000 == 0
    total = kept + 20_000
    assert sum(added for _, added in archive.ingest(islice(endless(), total))) == 20_000
    assert [one.id for one in archive.all()] == [one.id for one in islice(endless(), total)]


def _others(engine: Engine) -> int:
    """How many other clients a server has on the database of `engine`; a file has none."""
    if engine.dialect.name == "sqlite":
        return 0
    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    counted = f"SELECT count(*) FROM pg_stat_activity WHERE {others}"
    with engine.connect() as connection:
        return int(connection.execute(text(counted)).scalar_one())


def test_the_migrations_make_the_tables_that_the_code_declares(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        found = [change for change in compare_metadata(context, metadata) if not _of_another_wing(change)]
    assert found == []


def _of_another_wing(change: object) -> bool:
    """A table or index that the other wings' migrations made is reported as one to remove."""
    if isinstance(change, tuple) and change[0] == "remove_table":
        return change[1].name not in metadata.tables
    if isinstance(change, tuple) and change[0] == "remove_index":
        return change[1].table.name not in metadata.tables
    return False
