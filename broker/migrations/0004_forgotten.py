"""Until when what was created may have been removed since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "broker_0004"
down_revision = "broker_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "forgotten",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created", UtcDateTime),
    )
    # there from the beginning, so that two processes never both add it
    op.bulk_insert(table, [{"number": 1, "created": None}])
