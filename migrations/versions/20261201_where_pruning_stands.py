"""A dataset knows where the daily pruning stood when a run began: it goes on there.

Revision ID: 20261201_where_pruning_stands
Revises: 20261130_a_year_of_syncs
Create Date: 2026-12-01 00:10:00+00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261201_where_pruning_stands"
down_revision = "20261130_a_year_of_syncs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "datasets",
        sa.Column(
            "pruning",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="where a run that began has ended it: it goes on there",
        ),
    )


def downgrade() -> None:
    op.drop_column("datasets", "pruning")
