"""Offer sets, sessions, holds, identities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0001"
down_revision = None
branch_labels = ("broker",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "offersets",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("direct", sa.Boolean, nullable=False),
        sa.Column("yes", sa.Boolean, nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.Column("modified", UtcDateTime, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("request", sa.JSON),
        sa.Column("notes", sa.JSON, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column(
            "offerset", sa.String(36), sa.ForeignKey("offersets.uuid", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.Column("modified", UtcDateTime, nullable=False),
        sa.Column("expires", UtcDateTime),
        sa.Column("placement", sa.JSON),
        sa.Column("notes", sa.JSON, nullable=False),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("occupies_platform", sa.Boolean, nullable=False),
    )
    op.create_index("sessions_offerset", "sessions", ["offerset"])
    op.create_index("sessions_phase", "sessions", ["phase"])
    op.create_index("sessions_occupies_platform", "sessions", ["occupies_platform"])
    op.create_table(
        "holds",
        sa.Column(
            "session", sa.String(36), sa.ForeignKey("sessions.uuid", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("storage_start", UtcDateTime, nullable=False),
        sa.Column("start", UtcDateTime, nullable=False),
        sa.Column("end", UtcDateTime, nullable=False),
        sa.Column("cores", sa.Integer, nullable=False),
        sa.Column("memory_gib", sa.Integer, nullable=False),
        sa.Column("storage_gib", sa.Integer, nullable=False),
        sa.Column("expires", UtcDateTime),
    )
    op.create_index("holds_site_end", "holds", ["site", "end"])
    op.create_table(
        "identities",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("username", sa.String(255), nullable=False, unique=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
    )


def downgrade() -> None:
    for table in ("identities", "holds", "sessions", "offersets"):
        op.drop_table(table)
