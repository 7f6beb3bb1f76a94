"""What replication rules took to bring data to sites."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0006"
down_revision = "broker_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "brought",
        sa.Column("session", sa.String(36), primary_key=True),
        sa.Column("item", sa.String(64), primary_key=True),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("rse", sa.Text, nullable=False),
        sa.Column("ended", UtcDateTime, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("forecast_seconds", sa.Float, nullable=False),
    )
    op.create_index("brought_ended", "brought", ["ended"])
