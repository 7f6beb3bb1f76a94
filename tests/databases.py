"""Databases with the tables of all wings: made once a process, then copied, for migrations take longer than
most tests do."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from federation.database import connect, upgrade


@cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory(prefix="fairlead-tables-") as directory:
        path = Path(directory) / "fairlead.db"
        engine = connect(f"sqlite:///{path}")
        upgrade(engine)
        engine.dispose()
        return path.read_bytes()


def with_tables(path: Path) -> sa.Engine:
    """A new SQLite database at `path`, as `upgrade` would have made it."""
    path.write_bytes(_template())
    return connect(f"sqlite:///{path}")
