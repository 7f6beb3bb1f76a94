"""Ledgers of credits that a test may write in."""

import pytest

from federation.database import connect, upgrade
from tests.reservations.enforcement_support import World


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A database with its tables, made once."""
    path = tmp_path_factory.mktemp("ledger") / "fairlead.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def engine_here(template, tmp_path):
    path = tmp_path / "fairlead.db"
    path.write_bytes(template.read_bytes())
    engine = connect(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine_here):
    return World(engine_here)


@pytest.fixture
def seeing(engine_here):
    return World(engine_here, with_cloud=True)
