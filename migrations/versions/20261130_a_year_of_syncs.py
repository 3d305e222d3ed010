"""What a year of syncs leaves behind is found by indexes: entries of the audit, old event logs, states of versions.

Only adds indexes, which code of earlier releases need not know. They are built beside the work.

Revision ID: 20261130_a_year_of_syncs
Revises: 20261124_ticket_credentials
Create Date: 2026-11-30 18:00:00+00:00
"""

from alembic import op

from integrations_api.db.indexes import build_index

revision = "20261130_a_year_of_syncs"
down_revision = "20261124_ticket_credentials"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_audit_entries_action": ("audit_entries", ["action", "id"]),
    "ix_audit_entries_actor": ("audit_entries", ["actor", "id"]),
    "ix_sync_events_at": ("sync_events", ["at"]),
    "ix_versions_state": ("versions", ["dataset_id", "state", "number"]),
}


def upgrade() -> None:
    for name, (table, columns) in _INDEXES.items():
        build_index(name, table, columns)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, (table, _) in reversed(_INDEXES.items()):
        op.drop_index(name, table_name=table)
