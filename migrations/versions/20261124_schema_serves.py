"""The schema says whose code it serves, so that processes of a release go on while a later one is brought in.

Revision ID: 20261124_schema_serves
Revises: 20261124_contents_while_fetching
Create Date: 2026-11-24 03:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_schema_serves"
down_revision = "20261124_contents_while_fetching"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schema_serves",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_schema_serves")),
    )


def downgrade() -> None:
    op.drop_table("schema_serves")
