"""What the contract's operations ask of PostgreSQL, straight through the driver: `db/direct.py` says why.

Each works on its caller's connection, in the caller's transaction where it changes something. The sync room stands
above this one: its tables are known here by name only.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from integrations_api.db.changes import Change
from integrations_api.db.direct import Row
from integrations_api.integrations.models import Integration

_ACTIVE = "r.integration_id = i.id AND r.state IN ('queued', 'running')"
# Named one by one: within a transaction PostgreSQL refuses a prepared `*` once a migration has added a column.
_COLUMNS = tuple(column.name for column in Integration.__table__.columns)
_ROW = ", ".join(_COLUMNS)
_RUNNING = f"(SELECT r.id FROM sync_runs r WHERE {_ACTIVE}) AS running_run_id"  # nosec B608 # noqa: S608 - constants
_READ = f"SELECT {', '.join(f'i.{name}' for name in _COLUMNS)}, {_RUNNING}"  # nosec B608
_PATHS = "ARRAY(SELECT s.path FROM integration_secrets s WHERE s.integration_id = i.id) AS secret_paths"


async def find(connection: asyncpg.Connection, integration_id: UUID, *, secret_paths: bool = False) -> Row | None:
    """An integration's columns, and `running_run_id`; if asked for, `secret_paths`: where secrets are stored."""
    asked = f"{_READ}, {_PATHS}" if secret_paths else _READ
    question = f"{asked} FROM integrations i WHERE i.id = $1"
    found: Row | None = await connection.fetchrow(question, integration_id, record_class=Row)
    return found


async def newest_first(
    connection: asyncpg.Connection, *, limit: int | None = None, after: tuple[datetime, UUID] | None = None
) -> Sequence[Row]:
    """The same of every integration, by creation, the newest first; `after` is the last row of the page before."""
    behind = "" if after is None else "WHERE (i.created_at, i.id) < ($2, $3)"
    question = f"{_READ} FROM integrations i {behind} ORDER BY i.created_at DESC, i.id DESC LIMIT $1"
    found: Sequence[Row] = await connection.fetch(question, limit, *(after or ()), record_class=Row)
    return found


def lock(integration_id: UUID) -> str:
    """What a transaction begins with that keeps other edits out until it ends."""
    return f"SELECT FROM integrations WHERE id = '{integration_id}' FOR UPDATE"  # nosec B608


def lock_with_run(integration_id: UUID) -> str:
    """The same, after waiting for the running run's current step; its next one is held back.

    A run locks its own row, then the dataset's, then the integration's, and whoever wants several takes them in that
    order: so this fails at once (`LockNotAvailableError`) where a run that has begun meanwhile is held by somebody.
    """
    active = f"integration_id = '{integration_id}' AND state IN ('queued', 'running')"
    run = f"SELECT FROM sync_runs WHERE {active} FOR UPDATE"  # nosec B608
    dataset = f"SELECT FROM datasets WHERE id = '{integration_id}' FOR UPDATE"  # nosec B608
    return f"{run}; {dataset}; {lock(integration_id)}; {run} NOWAIT"


def insertion(values: Mapping[str, Any]) -> Change:
    """A new row, as it is then."""
    return Change(_insertion(tuple(values)), _sent(values))


@lru_cache(maxsize=100)
def _insertion(names: tuple[str, ...]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    return f"INSERT INTO integrations ({', '.join(_known(names))}) VALUES ({places}) RETURNING {_ROW}"  # nosec B608 # noqa: S608 - names of columns


def replacement(integration_id: UUID, values: Mapping[str, Any]) -> Change:
    """Writes all of `values`; the row as it is then."""
    return Change(_replacement(tuple(values)), [integration_id, *_sent(values)])


@lru_cache(maxsize=100)
def _replacement(names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = ${n}" for n, name in enumerate(_known(names), 2))
    return f"UPDATE integrations SET {changes} WHERE id = $1 RETURNING {_ROW}"  # nosec B608 # noqa: S608 - names of columns


def _known(names: Collection[str]) -> Collection[str]:
    """The names, which stand in a statement: nothing but columns may get there."""
    unknown = set(names) - set(_COLUMNS)
    if unknown:
        raise ValueError(f"no columns of integrations: {sorted(unknown)}")
    return names


def _sent(values: Mapping[str, Any]) -> list[Any]:
    return [orjson.dumps(value).decode() if name == "config" else value for name, value in values.items()]


def removal(integration_id: UUID) -> Change:
    """Deletes an integration with its secrets; its runs and its dataset stay, without an integration."""
    return Change("DELETE FROM integrations WHERE id = $1 RETURNING id", [integration_id])


def secrets_dropped(integration_id: UUID, *, keep: Collection[str]) -> Change:
    """Deletes the stored secrets, but those of `keep`."""
    statement = "DELETE FROM integration_secrets WHERE integration_id = $1 AND path <> ALL($2)"
    return Change(statement, [integration_id, list(keep)])


def secrets_set(integration_id: UUID, sealed: Mapping[str, bytes], *, at: datetime) -> Change:
    """Stores ciphertexts by the JSON pointer of their place in the config, in the place of former ones."""
    statement = """
        INSERT INTO integration_secrets (integration_id, path, ciphertext, set_at)
        SELECT $1, path, ciphertext, $4 FROM unnest($2::text[], $3::bytea[]) AS new (path, ciphertext)
        ON CONFLICT (integration_id, path) DO UPDATE SET ciphertext = excluded.ciphertext, set_at = excluded.set_at
    """
    return Change(statement, [integration_id, list(sealed), list(sealed.values()), at])


def tokens_dropped(integration_id: UUID) -> Change:
    """Forgets the tokens; waits for a renewal that is going on, which is seconds long."""
    return Change("DELETE FROM oauth_tokens WHERE integration_id = $1", [integration_id])


_KEPT_BY_DATASET = (
    # Revisions by hand and first: the dataset's cascade would meet contents that revisions still point to.
    "DELETE FROM revisions WHERE dataset_id = $1",
    "DELETE FROM raw_records WHERE dataset_id = $1",
    "DELETE FROM rejected_records WHERE dataset_id = $1",
    "DELETE FROM staged_changes WHERE run_id IN (SELECT id FROM sync_runs WHERE dataset_id = $1)",
    "DELETE FROM datasets WHERE id = $1",
    "DELETE FROM sync_runs WHERE dataset_id = $1",
)


async def lock_left_over(connection: asyncpg.Connection, dataset_id: UUID) -> Row | None:
    """The `service_name` of a dataset whose integration was deleted, and the `run_id` of a run that does not know yet.

    None where there is no such dataset. Waits for that run's current step, and holds the next one back.
    """
    run = "SELECT id FROM sync_runs WHERE dataset_id = $1 AND state IN ('queued', 'running') FOR UPDATE"
    run_id = await connection.fetchval(run, dataset_id)
    left = """
        SELECT service_name, $2::uuid AS run_id FROM datasets WHERE id = $1 AND integration_id IS NULL FOR UPDATE
    """
    found: Row | None = await connection.fetchrow(left, dataset_id, run_id, record_class=Row)
    return found


async def purge_dataset(connection: asyncpg.Connection, dataset_id: UUID) -> None:
    """Deletes everything that syncs left: versions, documents, staged and rejected records, runs and their log."""
    for statement in _KEPT_BY_DATASET:
        await connection.execute(statement, dataset_id)
