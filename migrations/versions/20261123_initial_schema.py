"""The first schema: access, audit, integrations, queue, sync, knowledge, and PgQueuer's own tables.

Revision ID: 20261123_initial
Revises:
Create Date: 2026-11-23 22:38:42.377332+00:00
"""

import sqlalchemy as sa
from alembic import op
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from sqlalchemy.dialects import postgresql

revision = "20261123_initial"
down_revision = None
branch_labels = None
depends_on = None


def run_script(script: str) -> None:
    """Runs several statements at once, which only the driver itself can do; the transaction is open already."""
    adapted = op.get_bind().connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(script))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False, comment="e-mail of the user, or the process that acted"),
        sa.Column(
            "credential", sa.Text(), nullable=True, comment="token:<id>, key:<id> or ticket:<hash>, never the thing"
        ),
        sa.Column("action", sa.Text(), nullable=False, comment="integration.create, sync.start, …"),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_at", "audit_entries", ["at"], unique=False)
    op.create_index("ix_audit_entries_object", "audit_entries", ["object_type", "object_id"], unique=False)
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3, …"),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False, comment="SHA-256 of each entry, in the order of the ids"),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="of the Merkle tree over the leaves"),
        sa.Column("previous", sa.LargeBinary(), nullable=False, comment="SHA-256 of the seal before"),
        sa.Column("key_id", sa.Text(), nullable=False, comment="of ENCRYPTION_KEYS"),
        sa.Column("mac", sa.LargeBinary(), nullable=False, comment="HMAC-SHA-256 over all of the above"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_seals")),
    )
    op.create_table(
        "audit_unsealed",
        sa.Column("entry_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_unsealed")),
    )
    op.create_table(
        "integrations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("auth_type", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="the creator; kept when the user goes"),
        sa.Column("config_revision", sa.Integer(), server_default="1", nullable=False, comment="raised by edits only"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="moves with edits and syncs",
        ),
        sa.Column("last_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sync_status", sa.Text(), nullable=True),
        sa.Column("last_sync_error", sa.Text(), nullable=True),
        sa.Column(
            "shown_last_synced", sa.DateTime(timezone=True), nullable=True, comment="config.lastSynced, as it is shown"
        ),
        sa.Column(
            "watermark", sa.DateTime(timezone=True), nullable=True, comment="source time the dataset is complete up to"
        ),
        sa.Column("fingerprint", sa.Text(), nullable=True, comment="of the source the watermark belongs to"),
        sa.Column(
            "needs_full", sa.Boolean(), server_default="false", nullable=False, comment="the next run reads everything"
        ),
        sa.Column("schedule_cron", sa.Text(), nullable=True),
        sa.Column("schedule_zone", sa.Text(), nullable=True),
        sa.Column("next_sync_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("failures_in_a_row", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "auth_type IN ('basic_auth', 'api_token', 'oauth2')", name=op.f("ck_integrations_auth_type")
        ),
        sa.CheckConstraint("last_sync_status IN ('success', 'error')", name=op.f("ck_integrations_last_sync_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integrations")),
    )
    op.create_index("ix_integrations_created", "integrations", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_integrations_next_sync_at",
        "integrations",
        ["next_sync_at"],
        unique=False,
        postgresql_where="next_sync_at IS NOT NULL",
    )
    op.create_table(
        "rate_buckets",
        sa.Column("key", sa.Text(), nullable=False, comment="allowance and user"),
        sa.Column("full_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_buckets")),
    )
    op.create_table(
        "raw_records",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="order of arrival; the last one counts"),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(collation="C"), nullable=True),
        sa.Column("source_updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source_created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("rejection", sa.Text(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=False, comment="JSON as text: jsonb could not hold every character"),
        sa.PrimaryKeyConstraint("run_id", "external_id", "seq", name=op.f("pk_raw_records")),
    )
    op.create_index("ix_raw_records_document", "raw_records", ["dataset_id", "external_id"], unique=False)
    op.create_table(
        "rejected_records",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source_updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source_created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("resolved", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "external_id", name=op.f("pk_rejected_records")),
    )
    op.create_index(
        "ix_rejected_records_open", "rejected_records", ["dataset_id"], unique=False, postgresql_where="NOT resolved"
    )
    op.create_table(
        "sign_in_counters",
        sa.Column("key", sa.Text(), nullable=False, comment="kind and hash: names nobody"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_counters")),
    )
    op.create_table(
        "staged_changes",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("number", sa.Text(collation="C"), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True, comment="of the raw record it comes from"),
        sa.PrimaryKeyConstraint("run_id", "ordinal", name=op.f("pk_staged_changes")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="lower case"),
        sa.Column("password_hash", sa.Text(), nullable=True, comment="null until an invitation is accepted"),
        sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "token_generation",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="tokens of an older one are void",
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "busy_with",
            postgresql.ARRAY(sa.Uuid()),
            server_default="{}",
            nullable=False,
            comment="runs it is working on",
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True, comment="to within five minutes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], unique=False)
    op.create_table(
        "datasets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("integration_id", sa.Uuid(), nullable=True),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("head", sa.Integer(), nullable=True, comment="number of the version that readers see"),
        sa.Column(
            "last_version", sa.Integer(), server_default="0", nullable=False, comment="numbers are never used again"
        ),
        sa.Column("documents", sa.Integer(), server_default="0", nullable=False, comment="live at the head"),
        sa.Column("tombstones", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "partial_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the first sync was told to begin here, and no full one has run since: older records are missing",
        ),
        sa.Column("verdict", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name=op.f("fk_datasets_integration_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("integration_id", name=op.f("uq_datasets_integration_id")),
    )
    op.create_table(
        "integration_secrets",
        sa.Column("integration_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["integrations.id"],
            name=op.f("fk_integration_secrets_integration_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("integration_id", "path", name=op.f("pk_integration_secrets")),
    )
    op.create_table(
        "known_addresses",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False, comment="an IPv4 address, or the /64 of an IPv6 one"),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_known_addresses_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "address", name=op.f("pk_known_addresses")),
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("integration_id", sa.Uuid(), nullable=True),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False, comment="manual, schedule, …"),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("phase", sa.Text(), server_default="starting", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "step",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="committed transactions of the engine; tells a retry that it was done",
        ),
        sa.Column(
            "handovers",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="attempts that ended by giving the run back",
        ),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "progress_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="of the last committed step; in the future while the source makes us wait",
        ),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column(
            "reads_from",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="an incremental run's lower bound, source time",
        ),
        sa.Column("next_watermark", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "source_started_at", sa.DateTime(timezone=True), nullable=True, comment="source time when the run began"
        ),
        sa.Column(
            "fetch_state",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="cursors by lane",
        ),
        sa.Column("warnings", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("pages", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fetched", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "planned", sa.Integer(), server_default="0", nullable=False, comment="new and changed records to ingest"
        ),
        sa.Column("ingested", sa.Integer(), server_default="0", nullable=False, comment="position in staged_changes"),
        sa.Column("added", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rejected", sa.Integer(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("verdict", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.Column("last_event", sa.Integer(), server_default="0", nullable=False, comment="seq of the newest event"),
        sa.CheckConstraint("mode IN ('incremental', 'full')", name=op.f("ck_sync_runs_mode")),
        sa.CheckConstraint(
            "phase IN ('starting', 'fetching', 'comparing', 'ingesting', 'publishing', 'done')",
            name=op.f("ck_sync_runs_phase"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'held')",
            name=op.f("ck_sync_runs_state"),
        ),
        sa.ForeignKeyConstraint(
            ["integration_id"], ["integrations.id"], name=op.f("fk_sync_runs_integration_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
    )
    op.create_index("ix_sync_runs_dataset", "sync_runs", ["dataset_id", "created_at", "id"], unique=False)
    op.create_index("ix_sync_runs_integration", "sync_runs", ["integration_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_sync_runs_unfinished",
        "sync_runs",
        ["created_at"],
        unique=False,
        postgresql_where="state IN ('queued', 'running')",
    )
    op.create_index(
        "uq_sync_runs_active",
        "sync_runs",
        ["integration_id"],
        unique=True,
        postgresql_where="state IN ('queued', 'running')",
    )
    op.create_table(
        "user_links",
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="a new link replaces the one before"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("purpose IN ('invite', 'reset')", name=op.f("ck_user_links_purpose")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_links_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_links")),
        sa.UniqueConstraint("hash", name=op.f("uq_user_links_hash")),
    )
    op.create_table(
        "contents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column(
            "hash", sa.LargeBinary(), nullable=False, comment="of the mapped document, see knowledge/documents.py"
        ),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("tsv", postgresql.TSVECTOR(), nullable=False, comment="see knowledge/terms.py"),
        sa.Column("words", sa.Integer(), server_default="0", nullable=False, comment="length of tsv, in words"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_contents_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contents")),
    )
    op.create_index("ix_contents_tsv", "contents", ["tsv"], unique=False, postgresql_using="gin")
    op.create_index("uq_contents_hash", "contents", ["dataset_id", "hash"], unique=True)
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source_created_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_documents_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    op.create_index("uq_documents_external_id", "documents", ["dataset_id", "external_id"], unique=True)
    op.create_table(
        "stream_tickets",
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the ticket"),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_generation", sa.Integer(), nullable=False, comment="of the user when it was given out"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True, comment="first use; later ones are reconnects"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["sync_runs.id"], name=op.f("fk_stream_tickets_run_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_stream_tickets_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_stream_tickets")),
    )
    op.create_table(
        "sync_events",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["sync_runs.id"], name=op.f("fk_sync_events_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_sync_events")),
    )
    op.create_table(
        "term_counts",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_term_counts_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "term", "version", name=op.f("pk_term_counts")),
    )
    op.create_table(
        "versions",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("parent", sa.Integer(), nullable=True, comment="the head it was built upon"),
        sa.Column("source_version", sa.Integer(), nullable=True, comment="of a rollback: the version it equals"),
        sa.Column("added", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("documents", sa.Integer(), server_default="0", nullable=False, comment="live in it, once published"),
        sa.Column(
            "words", sa.BigInteger(), server_default="0", nullable=False, comment="in the texts of its live documents"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('sync', 'rollback', 'remap')", name=op.f("ck_versions_kind")),
        sa.CheckConstraint("state IN ('building', 'published', 'held', 'abandoned')", name=op.f("ck_versions_state")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_versions_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "number", name=op.f("pk_versions")),
    )
    op.create_table(
        "revisions",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("valid_from", sa.Integer(), nullable=False),
        sa.Column("valid_to", sa.Integer(), server_default="2147483647", nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("content_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "change",
            sa.Text(),
            nullable=False,
            comment="added, updated, deleted (a tombstone), or touched: only the source's time stamp moved",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="of a tombstone: deleted, archived, …"),
        sa.Column("source_updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("change IN ('added', 'updated', 'touched', 'deleted')", name=op.f("ck_revisions_change")),
        sa.CheckConstraint("valid_from < valid_to", name=op.f("ck_revisions_interval")),
        sa.ForeignKeyConstraint(["content_id"], ["contents.id"], name=op.f("fk_revisions_content_id")),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_revisions_document_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id", "valid_from", name=op.f("pk_revisions")),
    )
    op.create_index("ix_revisions_begun", "revisions", ["dataset_id", "valid_from"], unique=False)
    op.create_index(
        "ix_revisions_changed",
        "revisions",
        ["dataset_id", "valid_from"],
        unique=False,
        postgresql_where="change <> 'touched'",
    )
    op.create_index("ix_revisions_content", "revisions", ["content_id"], unique=False)
    op.create_index(
        "ix_revisions_ended",
        "revisions",
        ["dataset_id", "valid_to"],
        unique=False,
        postgresql_where="valid_to < 2147483647",
    )
    op.create_index("ix_revisions_number", "revisions", ["dataset_id", "number", "document_id"], unique=False)
    op.create_index(
        "uq_revisions_live", "revisions", ["document_id"], unique=True, postgresql_where="valid_to = 2147483647"
    )
    run_script(QueryBuilderEnvironment().build_install_query())


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("uq_revisions_live", table_name="revisions", postgresql_where="valid_to = 2147483647")
    op.drop_index("ix_revisions_number", table_name="revisions")
    op.drop_index("ix_revisions_ended", table_name="revisions", postgresql_where="valid_to < 2147483647")
    op.drop_index("ix_revisions_content", table_name="revisions")
    op.drop_index("ix_revisions_changed", table_name="revisions", postgresql_where="change <> 'touched'")
    op.drop_index("ix_revisions_begun", table_name="revisions")
    op.drop_table("revisions")
    op.drop_table("versions")
    op.drop_table("term_counts")
    op.drop_table("sync_events")
    op.drop_table("stream_tickets")
    op.drop_index("uq_documents_external_id", table_name="documents")
    op.drop_table("documents")
    op.drop_index("uq_contents_hash", table_name="contents")
    op.drop_index("ix_contents_tsv", table_name="contents", postgresql_using="gin")
    op.drop_table("contents")
    op.drop_table("user_links")
    op.drop_index("uq_sync_runs_active", table_name="sync_runs", postgresql_where="state IN ('queued', 'running')")
    op.drop_index("ix_sync_runs_unfinished", table_name="sync_runs", postgresql_where="state IN ('queued', 'running')")
    op.drop_index("ix_sync_runs_integration", table_name="sync_runs")
    op.drop_index("ix_sync_runs_dataset", table_name="sync_runs")
    op.drop_table("sync_runs")
    op.drop_table("known_addresses")
    op.drop_table("integration_secrets")
    op.drop_table("datasets")
    op.drop_index(op.f("ix_api_keys_user_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("workers")
    op.drop_table("users")
    op.drop_table("staged_changes")
    op.drop_table("sign_in_counters")
    op.drop_index("ix_rejected_records_open", table_name="rejected_records", postgresql_where="NOT resolved")
    op.drop_table("rejected_records")
    op.drop_index("ix_raw_records_document", table_name="raw_records")
    op.drop_table("raw_records")
    op.drop_table("rate_buckets")
    op.drop_index(
        "ix_integrations_next_sync_at", table_name="integrations", postgresql_where="next_sync_at IS NOT NULL"
    )
    op.drop_index("ix_integrations_created", table_name="integrations")
    op.drop_table("integrations")
    op.drop_table("audit_unsealed")
    op.drop_table("audit_seals")
    op.drop_index("ix_audit_entries_object", table_name="audit_entries")
    op.drop_index("ix_audit_entries_at", table_name="audit_entries")
    op.drop_table("audit_entries")
    run_script(QueryBuilderEnvironment().build_uninstall_query())
