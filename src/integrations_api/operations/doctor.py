"""The doctor: looks at everything this service needs, in the order in which it needs it, and changes nothing.

What it says is for an operator, and may be pasted into a ticket: names, numbers and hosts, never a value of a
setting, a part of a key, or a path or query of an address.
"""

import stat
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import get_args

from dotenv.parser import parse_stream
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.connectors.records import Check
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import ApplicationError
from integrations_api.operations import look_at_database, look_at_keys, look_outside
from integrations_api.operations.looking import Look, Place, carefully, not_looked_at
from integrations_api.settings import Settings

ON_ANY_SCHEMA: Mapping[str, Look] = {"extensions": look_at_database.extensions, "clock": look_at_database.clock}
ON_OUR_SCHEMA: Mapping[str, Look] = {"queue": look_at_database.queue, "keys": look_at_keys.stored_secrets}


async def examine(settings: Settings, policy: EgressPolicy) -> AsyncGenerator[Check, None]:
    """A check for each line. Bounded: each look has ten seconds at most."""
    yield settings_check(settings)
    where = look_at_database.where(settings)
    if isinstance(where, Check):
        yield where
        async for check in _without_a_database(settings, "the database does not run"):
            yield check
    else:
        # The server itself refuses to write for us.
        engine = create_engine(where, pool_size=2)
        try:
            looking = engine.execution_options(postgresql_readonly=True)
            async with aclosing(_over(looking, settings, policy)) as checks:
                async for check in checks:
                    yield check
        finally:
            await engine.dispose()
    if (service := await look_outside.embeddings(settings, policy)) is not None:
        yield service


def settings_check(settings: Settings) -> Check:
    """Which settings are set, by their names, and whether they fit together."""
    names = sorted(name.upper() for name in settings.model_fields_set)
    seen = f"well formed; set: {', '.join(names) or 'none'}"
    if _may_be_read_by_others(Path(".env")):
        return Check("settings", "warning", f"{seen}; other users can read the secrets in .env", "Run chmod 600 .env")
    if settings.sync_stall_timeout <= settings.egress_timeout:
        taken = f"{seen}; a run that waits for one slow answer (EGRESS_TIMEOUT) counts as stuck (SYNC_STALL_TIMEOUT)"
        return Check("settings", "warning", taken, "Make SYNC_STALL_TIMEOUT several times as long as EGRESS_TIMEOUT")
    return Check("settings", "ok", seen)


def _may_be_read_by_others(path: Path) -> bool:
    """Whether the file holds a secret, and may be read by more than its owner and its group."""
    if not path.is_file() or not path.stat().st_mode & stat.S_IROTH:
        return False
    secret = {name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)}
    with path.open(encoding="utf-8") as stream:
        given = {line.key.lower() for line in parse_stream(stream) if line.key and line.value}
    return not given.isdisjoint(secret | {"postgres_password"})


def wrong_settings(error: ApplicationError) -> Check:
    """The check for settings that stop the start; its message names them."""
    return Check("settings", "failed", error.message, "Correct it in the environment or in .env; see .env.example")


async def _over(engine: AsyncEngine, settings: Settings, policy: EgressPolicy) -> AsyncGenerator[Check, None]:
    place = Place(engine=engine, sessions=create_sessions(engine), settings=settings, policy=policy)
    database = await carefully("database", look_at_database.server, place)
    yield database
    if database.status == "failed":
        async for check in _without_a_database(settings, "the database cannot be used"):
            yield check
        return
    schema = await carefully("schema", look_at_database.schema, place)
    yield schema
    for name, look in ON_ANY_SCHEMA.items():
        yield await carefully(name, look, place)
    if schema.status == "ok":
        for name, look in ON_OUR_SCHEMA.items():
            yield await carefully(name, look, place)
        async for check in look_outside.sources(place):
            yield check
    else:
        async for check in _unknown(settings, "queue", "keys", "egress", why="the schema does not serve this release"):
            yield check


async def _without_a_database(settings: Settings, why: str) -> AsyncGenerator[Check, None]:
    async for check in _unknown(settings, "schema", "extensions", "clock", "queue", "keys", "egress", why=why):
        yield check


async def _unknown(settings: Settings, *names: str, why: str) -> AsyncGenerator[Check, None]:
    for name in names:
        yield look_at_keys.own_keys(settings) if name == "keys" else not_looked_at(name, why)
