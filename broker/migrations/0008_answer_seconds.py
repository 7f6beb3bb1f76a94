"""How long requests took to be answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "broker_0008"
down_revision = "broker_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("offersets", sa.Column("answer_seconds", sa.Float))
