"""Access by OAuth 2.0: tokens of integrations, and sign-ins by a browser that have been begun.

Revision ID: 20261124_oauth
Revises: 20261124_mapping_versions
Create Date: 2026-11-24 00:05:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_oauth"
down_revision = "20261124_mapping_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "integrations",
        sa.Column(
            "needs_connection", sa.Text(), nullable=True, comment="why somebody has to sign in at the service (again)"
        ),
    )
    op.create_table(
        "oauth_tokens",
        sa.Column("integration_id", sa.Uuid(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False, comment="digest of what they are for"),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False, comment="raised by each new token"),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True, comment="null: there are none"),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("renew_at", sa.DateTime(timezone=True), nullable=True, comment="null: only when refused"),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["integrations.id"],
            name=op.f("fk_oauth_tokens_integration_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("integration_id", name=op.f("pk_oauth_tokens")),
    )
    op.create_table(
        "oauth_flows",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("integration_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_generation", sa.Integer(), nullable=False, comment="of the user, when he began"),
        sa.Column("application", sa.Text(), nullable=False, comment="digest of what it is for"),
        sa.Column("verifier", sa.LargeBinary(), nullable=False, comment="of PKCE, sealed"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name=op.f("fk_oauth_flows_integration_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_oauth_flows_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_oauth_flows")),
    )
    op.create_index(op.f("ix_oauth_flows_integration_id"), "oauth_flows", ["integration_id"], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("oauth_flows")
    op.drop_table("oauth_tokens")
    op.drop_column("integrations", "needs_connection")
