"""The credit ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "reservations_0001"
down_revision = None
branch_labels = ("reservations",)
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "credit_purses",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("granted", sa.BigInteger, nullable=False),
        sa.Column("per_hour", sa.JSON, nullable=False),
        sa.Column("refuses_unnamed", sa.Boolean, nullable=False),
        sa.Column("start", UtcDateTime),
        sa.Column("end", UtcDateTime),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.UniqueConstraint("project", "name", name="credit_purses_project_name"),
    )
    op.create_table(
        "credit_bookings",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("lease", sa.String(64), unique=True),
        sa.Column("start", UtcDateTime, nullable=False),
        sa.Column("end", UtcDateTime, nullable=False),
        sa.Column("amounts", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.Column("changed", UtcDateTime, nullable=False),
        sa.Column("expires", UtcDateTime, nullable=False),
    )
    op.create_index("credit_bookings_project_state", "credit_bookings", ["project", "state"])
    op.create_table(
        "credit_charges",
        sa.Column(
            "booking", _NUMBER, sa.ForeignKey("credit_bookings.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("purse", _NUMBER, sa.ForeignKey("credit_purses.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_index("credit_charges_purse", "credit_charges", ["purse"])
    op.create_table(
        "credit_flavours",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("amounts", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    for name in ("credit_charges", "credit_bookings", "credit_purses", "credit_flavours"):
        op.drop_table(name)
