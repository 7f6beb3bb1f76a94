"""The record of the clouds' use, and of what was left in their purses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "reservations_0002"
down_revision = "reservations_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "space_use",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(128), primary_key=True),
        sa.Column("hour", UtcDateTime, primary_key=True),
        sa.Column("resource", sa.String(64), primary_key=True),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("taken", sa.BigInteger, nullable=False),
        sa.Column("ours", sa.BigInteger, nullable=False),
        sa.Column("sight", sa.String(8), nullable=False),
    )
    op.create_index("space_use_hour", "space_use", ["hour"])
    op.create_table(
        "space_purses",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("purse", sa.String(255), primary_key=True),
        sa.Column("hour", UtcDateTime, primary_key=True),
        sa.Column("remaining", sa.Float, nullable=False),
    )
    op.create_index("space_purses_hour", "space_purses", ["hour"])


def downgrade() -> None:
    for name in ("space_purses", "space_use"):
        op.drop_table(name)
