"""The doctor's looks at PostgreSQL: each is one or two statements that only read."""

import statistics
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from integrations_api.access.tokens import LEEWAY
from integrations_api.clock import utc_now
from integrations_api.connectors.records import Check
from integrations_api.db.compatibility import Fit, schema_of
from integrations_api.db.embedded import EmbeddedDatabaseError, running_url
from integrations_api.db.migrations import pending
from integrations_api.db.revisions import head_revision
from integrations_api.knowledge.vectors import find_pgvector
from integrations_api.operations.gauges import QUEUE, WORKERS
from integrations_api.operations.looking import AS_WHO_SERVES, LET_IT, Place
from integrations_api.settings import Settings
from integrations_api.wording import counted

OLDEST_RELEASE = 15
SLOW_ANSWER = 0.02
"""Seconds for a round trip from which on syncs and requests, which make several, are slow by it."""
BESIDE_THE_POOL = 2
"""Connections that a process has besides its pool: one that listens, one for slots at hosts."""
LONG_WAIT = 300.0
CLOCKS_APART = timedelta(seconds=2)

_SERVER = """
    SELECT current_setting('server_version') AS version,
           current_setting('server_version_num')::int / 10000 AS release,
           current_setting('server_encoding') AS encoding,
           (SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings
            WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout') AND setting <> '0')
               AS time_limits,
           pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool AS is_read_only,
           least(
               current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                   - coalesce(current_setting('reserved_connections', true)::int, 0)
                   - (SELECT sum(numbackends) FROM pg_stat_database),
               (SELECT nullif(datconnlimit, -1) - numbackends FROM pg_database d
                JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname = current_database()),
               (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
                   - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)
           )::int AS connections_left
"""


def where(settings: Settings) -> str | Check:
    """The database's URL; or what is to be said where the bundled one does not run, which is not started for this."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    try:
        url = running_url(settings.data_dir)
    except (OSError, EmbeddedDatabaseError):
        seen = "the bundled PostgreSQL's folder under DATA_DIR cannot be read"
        return Check("database", "failed", seen, AS_WHO_SERVES)
    if url is not None:
        return url
    if (settings.data_dir / "postgres").exists():
        return Check("database", "warning", "the bundled PostgreSQL does not run", "`integrations-api serve` starts it")
    seen = "there is no bundled PostgreSQL yet, and DATABASE_URL is not set"
    return Check("database", "warning", seen, "Set DATABASE_URL, or let `integrations-api serve` make the bundled one")


async def server(place: Place) -> Check:
    """Release, round trip, and how many connections are left for this service."""
    async with place.engine.connect() as connection:
        found = (await connection.execute(text(_SERVER))).one()
        trip = statistics.median([await _round_trip(connection) for _ in range(5)])
    seen = f"PostgreSQL {found.version}, {trip * 1000:.1f} ms away, {found.connections_left} connections left"
    need = place.settings.database_pool_size + BESIDE_THE_POOL
    if trouble := _unfit(found):
        return Check("database", "failed", seen, trouble)
    if found.connections_left < need:
        remedy = f"One more process may take up to {need}: raise max_connections, or lower DATABASE_POOL_SIZE"
        return Check("database", "warning", seen, remedy)
    if found.time_limits:
        seen += f"; {found.time_limits}"
        remedy = "Steps of large syncs take minutes, and would never be done: ALTER ROLE, and SET it to 0 for this user"
        return Check("database", "warning", seen, remedy)
    if trip > SLOW_ANSWER:
        return Check("database", "warning", seen, "Bring this machine and PostgreSQL closer together")
    return Check("database", "ok", seen)


def _unfit(found: Row[Any]) -> str | None:
    if found.release < OLDEST_RELEASE:
        return f"PostgreSQL {OLDEST_RELEASE} or newer is needed"
    if found.is_read_only:
        return "It can only be read: let DATABASE_URL name the primary"
    if found.encoding != "UTF8":
        return f"The database is in {found.encoding}: make one with ENCODING 'UTF8'"
    return None


async def _round_trip(connection: AsyncConnection) -> float:
    began = time.monotonic()
    await connection.execute(text("SELECT 1"))
    return time.monotonic() - began


# Only `migrate` writes the first two, and nobody changes what the audit has. A column's own sequence asks for no right.
_OUT_OF_REACH = """
    SELECT c.relname FROM pg_class c
    JOIN pg_class v ON v.oid = to_regclass('alembic_version') AND v.relnamespace = c.relnamespace
        AND v.relowner = c.relowner
    WHERE CASE
        WHEN c.relname IN ('alembic_version', 'schema_serves') THEN NOT has_table_privilege(c.oid, 'SELECT')
        WHEN c.relname IN ('audit_entries', 'audit_seals')
            THEN NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT'))
        WHEN c.relkind = 'r'
            THEN NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                      AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
        WHEN c.relkind = 'S'
            THEN NOT has_sequence_privilege(c.oid, 'USAGE')
                 AND EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'a')
        ELSE false
    END
    ORDER BY c.relkind DESC, c.relname
"""


_MAY_MIGRATE = """
    SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND coalesce((
        SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('alembic_version')), true)
"""


async def schema(place: Place) -> Check:
    """How the schema stands to this release, and whether its tables may be written; or made, where they are not."""
    async with place.engine.connect() as connection:
        fit, found = await schema_of(connection)
        out_of_reach = (await connection.scalars(text(_OUT_OF_REACH))).all()
        may_migrate = await connection.scalar(text(_MAY_MIGRATE))
    if fit.is_served and out_of_reach:
        others = f" and {len(out_of_reach) - 1} more" if len(out_of_reach) > 1 else ""
        return Check("schema", "failed", f"this user may not read and write {out_of_reach[0]}{others}", LET_IT)
    if fit is Fit.AT_HEAD:
        return Check("schema", "ok", f"at head ({found})")
    if fit is Fit.AHEAD:
        return Check("schema", "ok", f"ahead, at {found} of a later release, which serves this one")
    if fit is Fit.BEYOND:
        seen = f"ahead, at {found} of a later release, which took away what this one needs"
        return Check("schema", "failed", seen, "Run that release, or restore the backup made before it")
    behind = "none yet" if found is None else f"behind, at {found}"
    lead = counted(len(pending(found)), "migration leads", "migrations lead")
    seen = f"{behind}: {lead} to {head_revision()}"
    if not may_migrate:
        remedy = "Run `integrations-api migrate` as one who may, such as the database's owner"
        return Check("schema", "failed", f"{seen}, and this user may not make or change tables", remedy)
    return Check("schema", "failed", seen, "Run `integrations-api migrate`")


async def extensions(place: Place) -> Check:
    """pgvector, which searches by meaning need and nothing else does."""
    async with place.sessions() as session:
        found = await find_pgvector(session)
    is_wanted = place.settings.embeddings_model is not None
    if found.obstacle is not None:
        seen = found.obstacle if is_wanted else f"{found.obstacle}; only searches by meaning would need it"
        return Check("extensions", "warning" if is_wanted else "ok", seen)
    if not found.is_on:
        seen = f"pgvector {found.version} is there, and not switched on"
        remedy = "Workers do it where they may; otherwise let an administrator run CREATE EXTENSION vector"
        return Check("extensions", "warning" if is_wanted else "ok", seen, remedy if is_wanted else None)
    return Check("extensions", "ok", f"pgvector {found.version}")


async def queue(place: Place) -> Check:
    """What waits, for how long, and who is there to do it."""
    async with place.engine.connect() as connection:
        rows = {row.status: row for row in await connection.execute(text(QUEUE))}
        workers = int(await connection.scalar(text(WORKERS)) or 0)
    waiting, picked = (rows[status].jobs if status in rows else 0 for status in ("queued", "picked"))
    oldest = max(0.0, float(rows["queued"].age)) if waiting else 0.0
    since = f", the oldest for {oldest:.0f} s" if waiting else ""
    wait, alive = counted(waiting, "job waits", "jobs wait"), counted(workers, "worker", "workers")
    seen = f"{wait}{since}; {counted(picked, 'is', 'are')} worked on; {alive} alive"
    if not workers:
        return Check("queue", "warning", seen, "Nothing is synced until `integrations-api serve` or `worker` runs")
    if oldest > LONG_WAIT:
        return Check("queue", "warning", seen, "Add workers, or raise WORKER_CONCURRENCY")
    return Check("queue", "ok", seen)


async def clock(place: Place) -> Check:
    """This machine's clock beside the database's; half the round trip is the most that this can be wrong by."""
    async with place.engine.connect() as connection:
        before = utc_now()
        theirs = await connection.scalar(text("SELECT clock_timestamp()"))
        after = utc_now()
    apart = before + (after - before) / 2 - theirs
    side = "ahead of" if apart > timedelta() else "behind"
    seen = f"this machine is {abs(apart.total_seconds()):.3f} s {side} the database"
    if abs(apart) <= CLOCKS_APART:
        return Check("clock", "ok", seen)
    # What workers do is dated by the database; tokens and tickets are dated here, and judged by other machines' clocks.
    are_refused = abs(apart) >= LEEWAY
    return Check("clock", "failed" if are_refused else "warning", seen, "Set both by NTP")
