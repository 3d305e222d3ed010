"""What the contract's operations ask of PostgreSQL, straight through the driver: `db/direct.py` says why.

Each works on its caller's connection, in the caller's transaction where it changes something. The sync room stands
above this one: its tables are known here by name only.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from integrations_api.db.direct import Row
from integrations_api.integrations.models import Integration

_ACTIVE = "r.integration_id = i.id AND r.state IN ('queued', 'running')"
_READ = f"SELECT i.*, (SELECT r.id FROM sync_runs r WHERE {_ACTIVE}) AS running_run_id FROM integrations i"  # nosec B608 # noqa: S608 - constants
_COLUMNS = frozenset(column.name for column in Integration.__table__.columns)


async def find(connection: asyncpg.Connection, integration_id: UUID, *, lock: bool = False) -> Row | None:
    """An integration's columns, and `running_run_id`; `lock` keeps other edits out until the transaction ends."""
    question = f"{_READ} WHERE i.id = $1{' FOR UPDATE OF i' if lock else ''}"
    found: Row | None = await connection.fetchrow(question, integration_id, record_class=Row)
    return found


async def newest_first(connection: asyncpg.Connection) -> Sequence[Row]:
    """The same of every integration, by their creation, the newest first."""
    found: Sequence[Row] = await connection.fetch(f"{_READ} ORDER BY i.created_at DESC, i.id DESC", record_class=Row)
    return found


async def insert(connection: asyncpg.Connection, values: Mapping[str, Any]) -> Row:
    """A new row, as it is then."""
    names, places = ", ".join(_known(values)), ", ".join(f"${n}" for n in range(1, len(values) + 1))
    statement = f"INSERT INTO integrations ({names}) VALUES ({places}) RETURNING *"  # nosec B608 # noqa: S608 - names of columns
    row: Row = await connection.fetchrow(statement, *_sent(values), record_class=Row)
    return row


async def replace(connection: asyncpg.Connection, integration_id: UUID, values: Mapping[str, Any]) -> Row:
    """Writes all of `values` and gives the row as it is then."""
    changes = ", ".join(f"{name} = ${n}" for n, name in enumerate(_known(values), 2))
    statement = f"UPDATE integrations SET {changes} WHERE id = $1 RETURNING *"  # nosec B608 # noqa: S608 - names of columns
    row: Row = await connection.fetchrow(statement, integration_id, *_sent(values), record_class=Row)
    return row


def _known(values: Mapping[str, Any]) -> list[str]:
    """The names, which stand in a statement: nothing but columns may get there."""
    unknown = values.keys() - _COLUMNS
    if unknown:
        raise ValueError(f"no columns of integrations: {sorted(unknown)}")
    return list(values)


def _sent(values: Mapping[str, Any]) -> list[Any]:
    return [orjson.dumps(value).decode() if name == "config" else value for name, value in values.items()]


async def remove(connection: asyncpg.Connection, integration_id: UUID) -> None:
    """Deletes an integration with its secrets; its runs and its dataset stay, without an integration."""
    await connection.execute("DELETE FROM integrations WHERE id = $1", integration_id)


async def lock_active_run(connection: asyncpg.Connection, integration_id: UUID) -> UUID | None:
    """Waits for the running run's current step, and holds its next one back; its id, if there is such a run.

    A run locks its own row, then the integration's. Whoever wants both takes them in that order.
    """
    run_id: UUID | None = await connection.fetchval(
        "SELECT id FROM sync_runs WHERE integration_id = $1 AND state IN ('queued', 'running') FOR UPDATE",
        integration_id,
    )
    return run_id


async def secret_paths(connection: asyncpg.Connection, integration_id: UUID) -> set[str]:
    """Where secrets are stored."""
    rows = await connection.fetch("SELECT path FROM integration_secrets WHERE integration_id = $1", integration_id)
    return {row["path"] for row in rows}


async def drop_secrets(connection: asyncpg.Connection, integration_id: UUID, *, keep: Collection[str]) -> None:
    """Deletes the stored secrets, but those of `keep`."""
    statement = "DELETE FROM integration_secrets WHERE integration_id = $1 AND path <> ALL($2)"
    await connection.execute(statement, integration_id, list(keep))


async def add_secrets(
    connection: asyncpg.Connection, integration_id: UUID, sealed: Mapping[str, bytes], *, at: datetime
) -> None:
    """Stores ciphertexts by the JSON pointer of their place in the config."""
    await connection.execute(
        """
        INSERT INTO integration_secrets (integration_id, path, ciphertext, set_at)
        SELECT $1, path, ciphertext, $4 FROM unnest($2::text[], $3::bytea[]) AS new (path, ciphertext)
        """,
        integration_id,
        list(sealed),
        list(sealed.values()),
        at,
    )


async def drop_tokens(connection: asyncpg.Connection, integration_id: UUID) -> None:
    """Forgets the tokens; waits for a renewal that is going on, which is seconds long."""
    await connection.execute("DELETE FROM oauth_tokens WHERE integration_id = $1", integration_id)


_KEPT_BY_DATASET = (
    # Revisions by hand and first: the dataset's cascade would meet contents that revisions still point to.
    "DELETE FROM revisions WHERE dataset_id = $1",
    "DELETE FROM raw_records WHERE dataset_id = $1",
    "DELETE FROM rejected_records WHERE dataset_id = $1",
    "DELETE FROM staged_changes WHERE run_id IN (SELECT id FROM sync_runs WHERE dataset_id = $1)",
    "DELETE FROM datasets WHERE id = $1",
    "DELETE FROM sync_runs WHERE dataset_id = $1",
)


async def purge_dataset(connection: asyncpg.Connection, dataset_id: UUID) -> None:
    """Deletes everything that syncs left: versions, documents, staged and rejected records, runs and their log."""
    for statement in _KEPT_BY_DATASET:
        await connection.execute(statement, dataset_id)
