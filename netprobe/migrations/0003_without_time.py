"""No index by time alone: what is asked by time is asked path by path, and every index slows taking in."""

from __future__ import annotations

from alembic import op

revision = "netprobe_0003"
down_revision = "netprobe_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("measurements_by_time", "measurements")
