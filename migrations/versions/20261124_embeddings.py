"""Where embeddings are kept track of: models, which text a content has, what waits, how far datasets were looked at.

The vectors themselves stand in a table for each model, made at run time where the server has pgvector.

Revision ID: 20261124_embeddings
Revises: 20261124_retention
Create Date: 2026-11-24 00:10:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_embeddings"
down_revision = "20261124_retention"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "embedding_models",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=True, comment="known from the first answer on"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('filling', 'active', 'retired')", name=op.f("ck_embedding_models_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedding_models")),
        sa.UniqueConstraint("name", name=op.f("uq_embedding_models_name")),
    )
    op.create_index(
        "uq_embedding_models_active",
        "embedding_models",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "content_texts",
        sa.Column("content_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="of the text that is embedded"),
        sa.ForeignKeyConstraint(
            ["content_id"], ["contents.id"], name=op.f("fk_content_texts_content_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("content_id", name=op.f("pk_content_texts")),
    )
    op.create_index("ix_content_texts_hash", "content_texts", ["hash"])
    op.create_table(
        "embedding_queue",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "claimed_until",
            sa.DateTime(timezone=True),
            server_default=sa.text("'-infinity'"),
            nullable=False,
            comment="until then a worker is at it",
        ),
        sa.Column("failure", sa.Text(), nullable=True, comment="why the service does not take this text"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["embedding_models.id"], name=op.f("fk_embedding_queue_model_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "hash", name=op.f("pk_embedding_queue")),
    )
    op.create_index(
        "ix_embedding_queue_waiting",
        "embedding_queue",
        ["model_id", "claimed_until"],
        postgresql_where=sa.text("failure IS NULL"),
    )
    op.create_table(
        "embedding_sweeps",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column(
            "swept", sa.Integer(), server_default="0", nullable=False, comment="version up to which texts were queued"
        ),
        sa.Column("is_filled", sa.Boolean(), server_default="false", nullable=False, comment="was complete once"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["embedding_models.id"], name=op.f("fk_embedding_sweeps_model_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_embedding_sweeps_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "dataset_id", name=op.f("pk_embedding_sweeps")),
    )


def downgrade() -> None:
    op.execute(
        r"""
        DO $$
        DECLARE vectors text;
        BEGIN
            FOR vectors IN SELECT tablename FROM pg_tables
                WHERE schemaname = current_schema() AND tablename ~ '^embedding_vectors_[0-9]+$'
            LOOP
                EXECUTE format('DROP TABLE %I', vectors);
            END LOOP;
        END $$
        """
    )
    for table in ("embedding_sweeps", "embedding_queue", "content_texts", "embedding_models"):
        op.drop_table(table)
