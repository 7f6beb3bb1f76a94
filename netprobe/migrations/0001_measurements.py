"""Measurements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "netprobe_0001"
down_revision = None
branch_labels = ("netprobe",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measurements",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("started", UtcDateTime, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("source_address", sa.String(255)),
        sa.Column("destination_address", sa.String(255)),
        sa.Column("error", sa.Text),
        sa.Column("raw", sa.JSON(none_as_null=True)),
    )
    op.create_index("measurements_by_path", "measurements", ["kind", "source", "destination", "started"])
    op.create_index("measurements_by_destination", "measurements", ["kind", "destination", "started"])
    op.create_index("measurements_by_time", "measurements", ["kind", "started"])


def downgrade() -> None:
    op.drop_table("measurements")
