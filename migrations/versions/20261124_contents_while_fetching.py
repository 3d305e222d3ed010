"""A staged change names its content: contents are written while pages are fetched.

Only adds columns, so that workers of release 0.1 go on. What they alone write (the mapped columns of raw_records, and
staged_changes.seq) is dropped by the release after this one.

Revision ID: 20261124_contents_while_fetching
Revises: 20261124_oauth
Create Date: 2026-11-24 01:50:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_contents_while_fetching"
down_revision = "20261124_oauth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "staged_changes",
        sa.Column("content_id", sa.BigInteger(), nullable=True, comment="what it becomes; NULL for a removal"),
    )
    op.add_column("staged_changes", sa.Column("source_updated_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("staged_changes", sa.Column("source_created_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column in ("source_created_at", "source_updated_at", "content_id"):
        op.drop_column("staged_changes", column)
