"""What explains a measurement, and where it was pulled from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "netprobe_0002"
down_revision = "netprobe_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("measurements", sa.Column("context", sa.JSON))
    op.add_column("measurements", sa.Column("archive", sa.String(255)))
    op.create_index("measurements_by_archive", "measurements", ["archive", "started"])
