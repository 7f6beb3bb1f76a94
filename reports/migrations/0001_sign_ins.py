"""Who is signed in to the pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from federation.database import UtcDateTime

revision = "reports_0001"
down_revision = None
branch_labels = ("reports",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("until", UtcDateTime, nullable=False),
        sa.Column("authorization", sa.LargeBinary, nullable=False),
    )
    op.create_index("sign_ins_until", "sign_ins", ["until"])
