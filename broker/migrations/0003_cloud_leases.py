"""The reservations that sessions get at the sites' clouds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0003"
down_revision = "broker_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cloud_leases",
        sa.Column(
            "session", sa.String(36), sa.ForeignKey("sessions.uuid", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked", UtcDateTime),
        sa.Column("lease", sa.JSON),
        sa.Column("moves", sa.Integer, nullable=False),
    )
    op.create_index("cloud_leases_state", "cloud_leases", ["state"])
