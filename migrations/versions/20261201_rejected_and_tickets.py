"""Rejected records are found by dataset and incident, tickets by their run: what deletes them read all of them.

Only adds indexes, which code of earlier releases need not know. They are built beside the work.

Revision ID: 20261201_rejected_and_tickets
Revises: 20261201_where_pruning_stands
Create Date: 2026-12-01 00:30:00+00:00
"""

from alembic import op

from integrations_api.db.indexes import build_index

revision = "20261201_rejected_and_tickets"
down_revision = "20261201_where_pruning_stands"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_rejected_records_document", "rejected_records", ["dataset_id", "external_id"])
    build_index("ix_stream_tickets_run", "stream_tickets", ["run_id"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_stream_tickets_run", table_name="stream_tickets")
    op.drop_index("ix_rejected_records_document", table_name="rejected_records")
