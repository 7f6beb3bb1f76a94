"""Leases, connectors, outcomes, components by uuid, users by issuer and subject, the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0002"
down_revision = "broker_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("worker", sa.String(64)),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("connectors", sa.JSON),
        sa.Column("outcome", sa.JSON),
        sa.Column("ended", UtcDateTime),
        sa.Column("results_until", UtcDateTime),
    ):
        op.add_column("sessions", column)
    # when a session ended was not kept so far: it was changed last when it did
    op.execute(
        "UPDATE sessions SET ended = modified"
        " WHERE phase IN ('REJECTED', 'EXPIRED', 'COMPLETED', 'FAILED', 'CANCELLED')"
    )
    op.create_index("sessions_owner_created", "sessions", ["owner", "created"])
    op.create_index("sessions_ended", "sessions", ["ended"])
    op.create_index("sessions_worker", "sessions", ["worker"])
    op.create_index("offersets_owner_created", "offersets", ["owner", "created"])
    op.create_index("sessions_created", "sessions", ["created"])
    op.create_index("offersets_created", "offersets", ["created"])
    op.create_table(
        "components",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column(
            "session", sa.String(36), sa.ForeignKey("sessions.uuid", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("family", sa.String(16), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
    )
    op.create_index("components_session", "components", ["session"])
    _identities()
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("request_id", sa.String(64)),
        sa.Column("actor", sa.String(64)),
        sa.Column("username", sa.String(255)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(255)),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("address", sa.String(64)),
    )
    op.create_index("audit_time", "audit", ["time"])
    op.create_index("audit_actor_time", "audit", ["actor", "time"])


def _identities() -> None:
    """A new table under the old name: SQLite can't take a constraint from a table that exists."""
    op.create_table(
        "identities_new",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("username", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.UniqueConstraint("issuer", "subject", name="identities_issuer_subject"),
    )
    op.execute(
        "INSERT INTO identities_new (uuid, issuer, subject, username, password_hash, role, disabled, created)"
        " SELECT uuid, '', username, username, password_hash, 'user', false, created FROM identities"
    )
    op.drop_table("identities")
    op.rename_table("identities_new", "identities")
