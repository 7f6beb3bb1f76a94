"""What explains a measurement, and where it was pulled from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "netprobe_0002"
down_revision = "netprobe_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("measurements", sa.Column("context", sa.JSON))
    op.add_column("measurements", sa.Column("archive", sa.String(255)))
    op.create_table(
        "mesh_pulls",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("archive", sa.String(255), primary_key=True),
        sa.Column("through", UtcDateTime, nullable=False),
    )
    op.create_table(
        "plan_runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
    )
    op.create_index("plan_runs_by_plan", "plan_runs", ["plan", "started"])
    op.create_index("measurements_by_archive", "measurements", ["archive", "started", "kind", "origin"])
    op.drop_index("measurements_by_path", "measurements")
    op.drop_index("measurements_by_destination", "measurements")
    op.drop_index("measurements_by_time", "measurements")
    op.create_index("measurements_by_time", "measurements", ["kind", "started", "number"])
    path = ["kind", "source", "destination", "started", "number"]
    _partial_index("measurements_succeeded", path, "error IS NULL")
    _partial_index("measurements_failed", path, "error IS NOT NULL")
    _partial_index("measurements_with_raw", ["started"], "raw IS NOT NULL")


def _partial_index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "measurements", columns, sqlite_where=where, postgresql_where=where)
