"""One database by URL: SQLite with nothing to set up, PostgreSQL when a second process or host needs it.

The engine is synchronous; asynchronous code calls it through `asyncio.to_thread`. Tables belong to the wings;
this module opens the database, begins transactions, stores instants, and applies every wing's migrations.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from federation.errors import InputError, OutsideError, one_line

MIGRATIONS_GROUP = "fairlead.migrations"
BUSY_SECONDS = 30.0
A_URL = '"sqlite:///PATH" or "postgresql://USER@HOST/NAME"'
# Any number that nobody else locks in the same database; "fairlead" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"fairlead", "big")
_WRITE = "fairlead_write"
# PostgreSQL: what one process may use of the 100 connections that a server has by default. Transactions that
# wait for a lock keep theirs, and those that only read must not wait for them.
_CONNECTIONS, _MORE_CONNECTIONS = 16, 32
# SQLite by default keeps 2 MiB in memory and copies the log into the file at every 4 MiB: much that comes at
# once would be written many times over. Every commit is on disk all the same.
_CACHE_KIB, _LOG_PAGES = 65_536, 16_384
# Who waits for SQLite's write lock sleeps and looks again, longer each time, and may be passed by others for
# seconds. The writers of one process take turns here instead, and wait without a connection.
_turns: WeakKeyDictionary[sa.Engine, AbstractContextManager[Any]] = WeakKeyDictionary()
# Alembic keeps the running migration in a global of its own, so a process upgrades one database at a time.
_upgrading = threading.Lock()


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An instant: timezone-aware in, UTC out.

    PostgreSQL keeps it as `timestamptz`; SQLite as text of fixed width without an offset, so that the order
    of the text is the order of time. A naive datetime is a ValueError (which SQLAlchemy wraps in a
    StatementError).
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant must be timezone-aware")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def connect(url: str) -> sa.Engine:
    """An engine for `url`: "sqlite:///PATH" or "postgresql://USER@HOST/NAME". Opens no connection yet.

    The directory of a SQLite file is made. InputError where the URL is of no use, OutsideError where the
    directory can't be made.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # not shown: there may be a password in it, and nothing to find it by
        raise InputError(f"database URL: expected {A_URL}, got something that is no URL") from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, shown)
    if parsed.get_backend_name() != "postgresql":
        raise InputError(f'database URL: expected {A_URL}, got "{shown}"')
    try:
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            # errors don't repeat what was to be stored: there are credentials in it
            hide_parameters=True,
        )
    except (ImportError, NoSuchModuleError):
        raise InputError(
            f'database URL: "{shown}" needs the PostgreSQL driver: install fairlead[postgresql]'
        ) from None


def _sqlite(url: sa.URL, shown: str) -> sa.Engine:
    if url.database in (None, "", ":memory:"):
        raise InputError(
            f'database URL: expected a file, as in "sqlite:///PATH", got "{shown}": '
            "a database in memory is another one in every thread"
        )
    parent = Path(str(url.database)).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutsideError(f"database: the directory {parent} can't be made: {error.strerror}") from error
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    _turns[engine] = threading.RLock()

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # The driver would begin transactions when it thinks best; SQLAlchemy's own "begin" decides instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        with _one_at_a_time(parent):
            # The mode is a property of the file: setting it again would only ask for a lock.
            if cursor.execute("PRAGMA journal_mode").fetchone()[0].lower() != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Turns, among the processes and threads that open a SQLite file in `directory`.

    SQLite changes the journal mode by raising a read lock to an exclusive one, and there it never waits,
    whatever busy_timeout says: two that do it at once, or one that only reads the mode meanwhile, and one
    is told "database is locked". The lock is on the directory, because closing a second descriptor of the
    file itself would drop the locks that SQLite has on it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def write(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that means to write; committed at the end, rolled back on an exception.

    SQLite takes its one write lock at the start: a transaction that reads first and writes later would be
    refused (not queued) when another has written in between. PostgreSQL begins as always.
    """
    with (
        _turns.get(engine, nullcontext()),
        engine.connect().execution_options(**{_WRITE: True}) as connection,
        connection.begin(),
    ):
        yield connection


def _version_locations() -> list[str]:
    """The directories with the wings' migrations, by the entry points of the group `fairlead.migrations`."""
    locations: list[str] = []
    for entry in sorted(entry_points(group=MIGRATIONS_GROUP), key=lambda entry: entry.name):
        package = importlib.import_module(entry.value)
        locations.extend(str(path) for path in package.__path__)
    return locations


def _config(connection: sa.Connection) -> Config:
    config = Config()
    escaped = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", escaped)
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(_version_locations()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables of all wings up to date, in one transaction: all of it, or none.

    Harmless when there is nothing to do, and when several processes do it at once: they take turns.
    OutsideError where the database can't be reached or is newer than this program.
    """
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with _upgrading, write(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            command.upgrade(_config(connection), "heads")
    except CommandError as error:
        raise OutsideError(
            f"database {shown}: its tables are not of this version of Fairlead: {one_line(error)}"
        ) from error
    except OperationalError as error:
        raise OutsideError(f"database {shown}: {one_line(error.orig or error)}") from error
    except DBAPIError as error:
        raise OutsideError(
            f"database {shown}: upgrading its tables failed: {one_line(error.orig)}"
        ) from error
