"""Other releases than this one: tomorrow's, which is this one with a migration more, and the one before, from git."""

import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from integrations_api.db.revisions import head_revision

ROOT = Path(__file__).parents[2]
LAST_RELEASE_COMMIT = "8c0c99a5480c756a4cfea0c621b277b64200aab1"
"""The newest code of the newest release in `compatibility.RELEASES`."""
TOMORROW = "29990101_tomorrow"

_MIGRATION = '''"""What a later release may do while this one works: columns, tables, indexes.

Revision ID: {revision}
Revises: {head}
"""

import sqlalchemy as sa
from alembic import op

from integrations_api.db.indexes import build_index

revision = "{revision}"
down_revision = "{head}"
branch_labels = None
depends_on = None
{more}

def upgrade() -> None:
    build_index("ix_revisions_tomorrow", "revisions", ["reason"])
    op.create_table("tomorrows_table", sa.Column("id", sa.Integer(), primary_key=True))
    op.add_column("staged_changes", sa.Column("tomorrow", sa.Text(), server_default="x", nullable=False))
    op.add_column("sync_runs", sa.Column("tomorrow", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_index("ix_revisions_tomorrow", table_name="revisions")
    op.drop_column("sync_runs", "tomorrow")
    op.drop_column("staged_changes", "tomorrow")
    op.drop_table("tomorrows_table")
'''


def tomorrows_migrations(folder: Path, *, ends: str | None = None) -> Path:
    """A copy of the migrations, and one more, in `folder`; it ends the code of the revision `ends`."""
    shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    more = f'ends = "{ends}"\n' if ends else ""
    written = _MIGRATION.format(revision=TOMORROW, head=head_revision(), more=more)
    (folder / "versions" / f"{TOMORROW}.py").write_text(written, encoding="utf-8")
    return folder


def tomorrows_release(folder: Path) -> dict[str, str]:
    """Tomorrow's code in `folder`; the environment that makes a command run it."""
    shutil.copytree(ROOT / "src", folder / "src")  # With what is compiled already: times stay the same.
    tomorrows_migrations(folder / "migrations")
    return _runs(folder)


def last_release(folder: Path) -> dict[str, str] | None:
    """The code of the release before in `folder`; None where git's history is not at hand (a shallow clone)."""
    packed = subprocess.run(
        ["git", "archive", LAST_RELEASE_COMMIT, "src", "migrations"],
        cwd=ROOT, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    if packed.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return _runs(folder)


def _runs(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(folder / "src")}
