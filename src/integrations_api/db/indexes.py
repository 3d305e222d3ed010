"""Indexes that migrations build beside the work, however large the table is."""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import text


def build_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Builds an index that readers and writers of the table do not notice; call it before all else in a migration.

    It commits what the migration did before, and stands although what comes after fails. So it may be called again:
    an index that is there is left, half of one (of a migration that was killed) is made anew.
    """
    with op.get_context().autocommit_block():
        bind = op.get_bind()
        before = bind.scalar(text("SHOW lock_timeout"))
        # It waits for transactions that are older than it, but nobody waits for it.
        op.execute("SET lock_timeout = 0")
        is_whole = bind.scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
        )
        if is_whole is False:
            op.drop_index(name, table_name=table, postgresql_concurrently=True)
        if not is_whole:
            op.create_index(name, table, list(columns), postgresql_concurrently=True, **options)
        op.execute(f"SET lock_timeout = '{before}'")
