"""A sign-in at a service ends with the API key that it was begun with.

Revision ID: 20261201_sign_ins_of_keys
Revises: 20261201_rejected_and_tickets
Create Date: 2026-12-01 00:25:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261201_sign_ins_of_keys"
down_revision = "20261201_rejected_and_tickets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "oauth_flows",
        sa.Column("api_key_id", sa.Uuid(), nullable=True, comment="the key it was begun with; it goes with it"),
    )
    op.create_foreign_key(
        op.f("fk_oauth_flows_api_key_id_api_keys"),
        "oauth_flows",
        "api_keys",
        ["api_key_id"],
        ["id"],
        ondelete="CASCADE",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_oauth_flows_api_key_id_api_keys"), "oauth_flows", type_="foreignkey")
    op.drop_column("oauth_flows", "api_key_id")
