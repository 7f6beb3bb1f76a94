"""One database by URL, on both back-ends: migrations, transactions, instants."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.database import UtcDateTime, connect, upgrade, write
from federation.errors import InputError, OutsideError

METADATA = sa.MetaData()
INSTANTS = sa.Table(
    "test_instants",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime),
)
PARENTS = sa.Table("test_parents", METADATA, sa.Column("id", sa.Integer, primary_key=True))
CHILDREN = sa.Table(
    "test_children", METADATA, sa.Column("parent", sa.Integer, sa.ForeignKey("test_parents.id"))
)
COUNTERS = sa.Table("test_counters", METADATA, sa.Column("value", sa.Integer))


@pytest.fixture
def tables(database_url):
    engine = connect(database_url)
    with write(engine) as connection:
        METADATA.create_all(connection)
    yield engine
    engine.dispose()


def _versions(engine: sa.Engine) -> set[str]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    assert len(rows) == len(set(rows))
    return set(rows)


def test_upgrade_makes_the_tables_of_every_wing(engine):
    assert {"measurements", "offersets", "sessions", "holds", "identities", "credit_purses"} <= set(
        sa.inspect(engine).get_table_names()
    )


def test_the_tables_are_those_that_the_wings_declare(engine):
    """Migrations and Table objects are written twice; Alembic's own comparison finds no difference."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    import broker.tables
    import netprobe.tables
    import reports.tables
    import reservations.enforcement.tables
    import reservations.history.tables

    def metadata(module):
        return next(value.metadata for value in vars(module).values() if isinstance(value, sa.Table))

    modules = (
        netprobe.tables,
        reservations.enforcement.tables,
        reservations.history.tables,
        broker.tables,
        reports.tables,
    )
    wings = [metadata(wing) for wing in modules]
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, wings) == []


def test_upgrading_again_changes_nothing(engine):
    before = _versions(engine)
    with write(engine) as connection:
        METADATA.create_all(connection)
        connection.execute(PARENTS.insert().values(id=7))
    upgrade(engine)
    assert _versions(engine) == before
    with engine.connect() as connection:
        assert connection.execute(sa.select(PARENTS.c.id)).scalars().all() == [7]


def test_processes_that_upgrade_at_once_take_turns(database_url):
    code = (
        "import sys\nfrom federation.database import connect, upgrade\n"
        "print('ready', flush=True)\nsys.stdin.read()\nupgrade(connect(sys.argv[1]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            process.stdin.close()  # all have loaded; from here on they race
        for process in processes:
            assert process.wait(240) == 0, process.stderr.read().decode()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
    engine = connect(database_url)
    assert _versions(engine)
    engine.dispose()


def test_threads_that_upgrade_at_once_take_turns(database_url):
    engines = [connect(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, engines))
    assert _versions(engines[0])
    for engine in engines:
        engine.dispose()


def test_connections_that_open_a_new_database_at_once_take_turns(tmp_path):
    """Each of them finds the file in another journal mode than it wants, and only one may change it."""
    for number in range(30):
        url = f"sqlite:///{tmp_path}/{number}.db"
        start = threading.Barrier(8)

        def open_(url: str = url, start: threading.Barrier = start) -> None:
            engine = connect(url)
            start.wait(60)
            with engine.connect() as connection:
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            engine.dispose()

        with ThreadPoolExecutor(8) as pool:
            for opened in [pool.submit(open_) for _ in range(8)]:
                opened.result(60)


def test_a_database_of_a_later_version_is_refused(engine):
    with write(engine) as connection:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('from_the_future')")
    with pytest.raises(OutsideError, match=r"not of this version of Fairlead: .*from_the_future") as caught:
        upgrade(engine)
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(
    instants=st.lists(
        st.datetimes(
            min_value=datetime(1000, 1, 3),  # noqa: DTZ001  (hypothesis adds the zone)
            max_value=datetime(9999, 12, 29),  # noqa: DTZ001
            timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
                lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
            ),
        ),
        max_size=12,
    )
)
def test_instants_come_back_equal_in_utc_and_in_order(tables, instants):
    with write(tables) as connection:
        connection.execute(INSTANTS.delete())
        for number, instant in enumerate(instants):
            connection.execute(INSTANTS.insert().values(id=number, at=instant))
    with tables.connect() as connection:
        found = connection.execute(sa.select(INSTANTS.c.at).order_by(INSTANTS.c.at)).scalars().all()
        later = [
            connection.execute(
                sa.select(sa.func.count()).where(INSTANTS.c.at > instant).select_from(INSTANTS)
            ).scalar_one()
            for instant in instants
        ]
    assert found == sorted(instants)
    assert all(instant.tzinfo is UTC for instant in found)
    assert later == [sum(other > instant for other in instants) for instant in instants]


def test_no_instant_is_none_and_a_naive_one_is_refused(tables):
    with write(tables) as connection:
        connection.execute(INSTANTS.insert().values(id=1, at=None))
        assert connection.execute(sa.select(INSTANTS.c.at)).scalar_one() is None
    with pytest.raises(sa.exc.StatementError, match="timezone-aware"), write(tables) as connection:
        connection.execute(INSTANTS.insert().values(id=2, at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_foreign_keys_hold(tables):
    with pytest.raises(sa.exc.IntegrityError), write(tables) as connection:
        connection.execute(CHILDREN.insert().values(parent=99))


def test_an_exception_undoes_the_whole_transaction(tables):
    class Stop(Exception):  # noqa: N818
        pass

    def insert_and_stop() -> None:
        with write(tables) as connection:
            connection.execute(PARENTS.insert().values(id=1))
            raise Stop

    with pytest.raises(Stop):
        insert_and_stop()
    with tables.connect() as connection:
        assert connection.execute(sa.select(PARENTS.c.id)).all() == []


def test_sqlite_writers_that_read_first_queue_and_lose_no_update(tmp_path):
    """Without the lock at the start, a reader that turns writer is refused after another's write."""
    engine = connect(f"sqlite:///{tmp_path / 'x.db'}")
    with write(engine) as connection:
        METADATA.create_all(connection)
        connection.execute(COUNTERS.insert().values(value=0))
    start = threading.Barrier(4)

    def count(_: int) -> None:
        start.wait(30)
        for _ in range(25):
            with write(engine) as connection:
                value = connection.execute(sa.select(COUNTERS.c.value)).scalar_one()
                connection.execute(COUNTERS.update().values(value=value + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    with engine.connect() as connection:
        assert connection.execute(sa.select(COUNTERS.c.value)).scalar_one() == 100
    engine.dispose()


def test_sqlite_readers_do_not_wait_for_a_writer(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'x.db'}")
    with write(engine) as connection:
        METADATA.create_all(connection)
    with write(engine) as writer:
        writer.execute(PARENTS.insert().values(id=1))
        with engine.connect() as reader:
            assert reader.execute(sa.select(PARENTS.c.id)).all() == []
            assert reader.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


def test_the_directory_of_a_sqlite_file_is_made(tmp_path):
    path = tmp_path / "a %b" / "c" / "x.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    assert path.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", 'expected "sqlite:///PATH"'),
        ("mysql://u:secret@h/d", 'got "mysql://u:\\*\\*\\*@h/d"'),
        ("sqlite://", "expected a file"),
        ("sqlite:///:memory:", "expected a file"),
        ("postgresql://u@h:port/d", "something that is no URL"),
    ],
)
def test_a_url_of_no_use_is_refused_without_its_password(url, message):
    with pytest.raises(InputError, match=message) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_a_directory_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutsideError, match=r"file.* can't be made: "):
        connect(f"sqlite:///{tmp_path / 'file' / 'x.db'}")


def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path):
    engine = connect(f"postgresql://u:secret@/d?host={tmp_path}")
    with pytest.raises(OutsideError, match="database postgresql") as caught:
        upgrade(engine)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path):
    (tmp_path / "x.db").write_text("certainly not a database" * 100)
    engine = connect(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(OutsideError, match="not a database"):
        upgrade(engine)
    engine.dispose()
