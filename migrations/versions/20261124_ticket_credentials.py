"""A ticket for a stream ends with the API key or the bearer token that it was asked for with.

Revision ID: 20261124_ticket_credentials
Revises: 20261124_schema_serves
Create Date: 2026-11-24 03:15:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_ticket_credentials"
down_revision = "20261124_schema_serves"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "stream_tickets",
        sa.Column("api_key_id", sa.Uuid(), nullable=True, comment="the key it was asked for with; it goes with it"),
    )
    op.add_column(
        "stream_tickets",
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the token ends that it was asked for with",
        ),
    )
    op.create_foreign_key(
        op.f("fk_stream_tickets_api_key_id_api_keys"),
        "stream_tickets",
        "api_keys",
        ["api_key_id"],
        ["id"],
        ondelete="CASCADE",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_stream_tickets_api_key_id_api_keys"), "stream_tickets", type_="foreignkey")
    op.drop_column("stream_tickets", "expires_at")
    op.drop_column("stream_tickets", "api_key_id")
