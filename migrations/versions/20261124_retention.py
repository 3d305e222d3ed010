"""Versions can be pruned, and a dataset knows when that was last looked after.

Revision ID: 20261124_retention
Revises: 20261123_audit_append_only
Create Date: 2026-11-24 00:10:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_retention"
down_revision = "20261123_audit_append_only"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "datasets",
        sa.Column(
            "pruned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the daily pruning last began here",
        ),
    )
    op.drop_constraint("ck_versions_state", "versions")
    op.create_check_constraint(
        op.f("ck_versions_state"),
        "versions",
        "state IN ('building', 'published', 'held', 'abandoned', 'pruned')",
    )


def downgrade() -> None:
    op.execute("UPDATE versions SET state = 'abandoned' WHERE state = 'pruned'")
    op.drop_constraint("ck_versions_state", "versions")
    op.create_check_constraint(
        op.f("ck_versions_state"),
        "versions",
        "state IN ('building', 'published', 'held', 'abandoned')",
    )
    op.drop_column("datasets", "pruned_at")
