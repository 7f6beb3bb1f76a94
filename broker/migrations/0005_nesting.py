"""Which containers can be made inside of a site's containers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0005"
down_revision = "broker_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nesting",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("tried", UtcDateTime, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("plain", sa.JSON, nullable=False),
        sa.Column("privileged", sa.JSON, nullable=False),
    )
