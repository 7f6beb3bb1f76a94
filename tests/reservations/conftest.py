"""Ledgers of credits that a test may write in."""

import pytest

from tests.databases import with_tables
from tests.reservations.enforcement_support import World


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A database with its tables, made once, for tests that only read it or copy it."""
    path = tmp_path_factory.mktemp("ledger") / "fairlead.db"
    with_tables(path).dispose()
    return path


@pytest.fixture
def engine_here(tmp_path):
    engine = with_tables(tmp_path / "fairlead.db")
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine_here):
    return World(engine_here)


@pytest.fixture
def seeing(engine_here):
    return World(engine_here, with_cloud=True)
