"""Datasets, versions and runs know by which mapping they were made.

Revision ID: 20261124_mapping_versions
Revises: 20261124_embeddings
Create Date: 2026-11-24 00:40:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_mapping_versions"
down_revision = "20261124_embeddings"
branch_labels = None
depends_on = None

PHASES = "'starting', {remap}'fetching', 'comparing', 'ingesting', 'publishing', 'done'"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "datasets",
        sa.Column(
            "mapping_version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="of the mapping that made the head's contents; see ServiceDescription",
        ),
    )
    op.add_column(
        "versions",
        sa.Column(
            "mapping_version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="of the mapping it was made with",
        ),
    )
    op.add_column(
        "sync_runs",
        sa.Column("mapping_version", sa.Integer(), nullable=True, comment="of the mapping it was begun with"),
    )
    _allow_phases(PHASES.format(remap="'remapping', 'rewriting', "))


def downgrade() -> None:
    op.execute("UPDATE sync_runs SET phase = 'starting' WHERE phase IN ('remapping', 'rewriting')")
    _allow_phases(PHASES.format(remap=""))
    op.drop_column("sync_runs", "mapping_version")
    op.drop_column("versions", "mapping_version")
    op.drop_column("datasets", "mapping_version")


def _allow_phases(phases: str) -> None:
    op.drop_constraint("ck_sync_runs_phase", "sync_runs")
    op.create_check_constraint(op.f("ck_sync_runs_phase"), "sync_runs", f"phase IN ({phases})")
