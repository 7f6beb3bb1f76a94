"""How long sites took to have images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0007"
down_revision = "broker_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pulls",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("registry", sa.Text, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("ended", UtcDateTime, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("layers", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_index("pulls_site_ended", "pulls", ["site", "ended"])
