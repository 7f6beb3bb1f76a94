"""What all tests share: both databases, the marks of what a machine must have, and the watch over skips."""

from __future__ import annotations

import gc
import importlib.util
import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from broker.platforms.podman_cli import usable
from federation.database import connect, upgrade
from tests.cloud import environment as cloud_environment
from tests.databases import with_tables

pytest_plugins = ["tests.cloud.fixtures"]

# A machine that does something else, too, is no reason for a test to fail; and in CI the same commit gets the
# same verdict, while everybody's own runs go on looking for new cases.
hypothesis.settings.register_profile(
    "fairlead",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=os.environ.get("CI", "").lower() not in ("", "0", "false"),
)
hypothesis.settings.load_profile("fairlead")

# A run that a shell put into the background ignores Ctrl-C, and so would every command that a test starts and
# interrupts: what is ignored is inherited, what is handled is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a process of the tests may have this many files open at once, where the system lets it
OPEN_FILES, MANY_OPEN_FILES = 8192, 500
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
POSTGRESQL_SECONDS = 300.0

_skips: list[tuple[str, str]] = []


# Which tests share what takes long to make, and so run in one process, one after the other

# by the beginning of a file's name; what isn't here is by file. They take longest, and so begin first.
_TOGETHER = {
    "tests/cloud/": "cloud",
    "tests/reservations/openstack/": "cloud",
    "tests/story/": "cloud",
    "tests/slurm/": "slurm",
    "tests/rucio/": "rucio",
}


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return next((group for start, group in _TOGETHER.items() if file.startswith(start)), file)


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """One group after the other for each process that has nothing to do."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = list(dict.fromkeys(_TOGETHER.values()))
    places = {group: place for place, group in enumerate(groups)}
    items.sort(key=lambda item: places.get(_group(item.nodeid), len(groups)))


# How many files a process of the tests may have open


def pytest_configure() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Tell, while it can be told, when a process comes near to what it may have open, and by what."""
    files = _open_files()
    if len(files) > MANY_OPEN_FILES:
        kinds = Counter(re.sub(r"\d+", "N", str(file.resolve())) for file in files)
        gc.collect()
        left = len(_open_files())
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
        print(f"{nodeid}: {len(files)} files open, {left} by a collection: {shown}", file=sys.__stderr__)


def _open_files() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


# What a machine must have for the marked tests


@cache
def lab_is_impossible() -> str | None:
    """Why the lab can't run here, or None where it can."""
    if os.geteuid() != 0:
        return "the lab needs root"
    if not Path("/dev/net/tun").exists():
        return "the lab needs /dev/net/tun"
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"the lab needs the command {tool}"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, timeout=120)
    return None if made.returncode == 0 else "the lab may make no network namespaces here"


@cache
def podman_is_impossible() -> str | None:
    """Why podman can't run here, or None where it can."""
    return usable()


NEEDS: dict[str, Callable[[], str | None]] = {
    "lab": lab_is_impossible,
    "podman": podman_is_impossible,
    "cloud": cloud_environment.impossible,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, impossible in NEEDS.items():
        if item.get_closest_marker(mark) is not None:
            reason = impossible()
            if reason is not None:
                pytest.skip(reason)


# No skip goes unseen in CI


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        longrepr = report.longrepr
        text = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)
        _skips.append((report.nodeid, text.removeprefix("Skipped: ")))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _forbidden_skips() -> list[tuple[str, str]]:
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        return []
    lines = [line.strip() for line in ALLOWED_SKIPS.read_text().splitlines()]
    allowed = [line for line in lines if line and not line.startswith("#")]
    return [skip for skip in _skips if not any(reason in skip[1] for reason in allowed)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and _forbidden_skips():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    forbidden = _forbidden_skips()
    if forbidden:
        terminalreporter.section(f"skips that {ALLOWED_SKIPS.name} does not allow", red=True)
        for nodeid, reason in forbidden:
            terminalreporter.write_line(f"{nodeid}: {reason}")


# Both databases


def _postgresql_binaries() -> Path | None:
    """The directory with the server's binaries, where Debian puts them; the newest version of several."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def _postgresql_cluster(binaries: Path) -> Iterator[str]:
    """A private cluster that listens on a Unix socket alone; gives the socket's directory."""
    directory = Path(tempfile.mkdtemp(prefix="fairlead-pg-"))
    # the server refuses to run as root; setpriv becomes the server, so that its pid is the server's
    run = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(directory, user.pw_uid, user.pw_gid)
        run += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    data = str(directory / "data")
    initdb = ["-D", data, "-U", "postgres", "--auth=trust", "-N", "--encoding=UTF8", "--locale=C.UTF-8"]
    postgres = ["-D", data, "-k", str(directory), "-c", "listen_addresses=", "-c", "fsync=off"]
    server = None
    try:
        made = subprocess.run(
            [*run, str(binaries / "initdb"), *initdb],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=POSTGRESQL_SECONDS,
        )
        assert made.returncode == 0, f"initdb failed: {made.stderr}"
        with (directory / "log").open("w") as log:
            server = subprocess.Popen(
                [*run, str(binaries / "postgres"), *postgres],
                cwd=directory,
                stdout=log,
                stderr=log,
            )
        ready = [str(binaries / "pg_isready"), "-q", "-h", str(directory)]
        deadline = time.monotonic() + POSTGRESQL_SECONDS
        while subprocess.run(ready, timeout=POSTGRESQL_SECONDS).returncode != 0:
            alive = server.poll() is None and time.monotonic() < deadline
            assert alive, f"PostgreSQL doesn't start: {(directory / 'log').read_text()}"
            time.sleep(0.05)
        yield str(directory)
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.send_signal(signal.SIGQUIT)
                server.wait(POSTGRESQL_SECONDS)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_directory() -> Iterator[str]:
    """The socket directory of a PostgreSQL that is started once a session, and stopped at its end."""
    binaries = _postgresql_binaries()
    if binaries is None:
        pytest.skip("there are no PostgreSQL server binaries here")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("there is no psycopg here")
    with _postgresql_cluster(binaries) as directory:
        yield directory


@pytest.fixture(scope="session")
def postgresql_template(postgresql_directory: str) -> Iterator[str]:
    """The name of a database with the tables of all wings, from which others are copied."""
    with _postgresql_database(postgresql_directory) as url:
        engine = connect(url)
        upgrade(engine)
        engine.dispose()
        yield str(engine.url.database)


@contextmanager
def _postgresql_database(directory: str, template: str = "template1") -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    server = f"postgresql+psycopg://postgres@/{{}}?host={directory}"
    admin = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.format(name)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of this test's own, on each back-end in turn; empty, but beside `engine`."""
    whole = "engine" in request.fixturenames
    if request.param == "sqlite":
        path = tmp_path / "fairlead.db"
        if whole:
            with_tables(path).dispose()
        yield f"sqlite:///{path}"
        return
    template = request.getfixturevalue("postgresql_template") if whole else "template1"
    with _postgresql_database(request.getfixturevalue("postgresql_directory"), template) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database of this test's own with the tables of all wings, on each back-end in turn."""
    engine = connect(database_url)
    try:
        yield engine
    finally:
        engine.dispose()
