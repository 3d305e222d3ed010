"""Audit entries and their seals are only ever added; a new entry waits for the next seal.

Revision ID: 20261123_audit_append_only
Revises: 20261123_initial
Create Date: 2026-11-23 22:36:00+00:00
"""

from alembic import op

revision = "20261123_audit_append_only"
down_revision = "20261123_initial"
branch_labels = None
depends_on = None

TABLES = ("audit_entries", "audit_seals")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()"
        )
    op.execute(
        """
        CREATE FUNCTION audit_await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO audit_unsealed (entry_id) VALUES (NEW.id);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER await_seal AFTER INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION audit_await_seal()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER await_seal ON audit_entries")
    for table in TABLES:
        op.execute(f"DROP TRIGGER refuse_truncate ON {table}")
        op.execute(f"DROP TRIGGER refuse_change ON {table}")
    op.execute("DROP FUNCTION audit_await_seal()")
    op.execute("DROP FUNCTION audit_refuse_change()")
