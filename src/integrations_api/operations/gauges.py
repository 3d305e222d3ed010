"""What the database knows of the whole system, asked for at each scrape: each question is one cheap, bounded query.

Every process answers these alike, so that any one that lives is enough: look at them with `max`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from integrations_api.logs import get_logger

log = get_logger(__name__)

PATIENCE = 3.0
"""Seconds for all questions together; a scrape that takes longer than its interval helps nobody."""

STALEST = 100
"""Integrations that have series of their own: those that were not synced for longest."""

QUEUE = """
    SELECT status::text AS status, count(*) AS jobs,
           coalesce(extract(epoch FROM now() - min(greatest(created, execute_after))), 0) AS age
    FROM pgqueuer WHERE status IN ('queued', 'picked') GROUP BY status
"""
_RUNS = "SELECT state, count(*) AS runs FROM sync_runs WHERE state IN ('queued', 'running') GROUP BY state"
WORKERS = "SELECT count(*) FROM workers WHERE seen_at > now() - interval '30 seconds'"
_INTEGRATIONS = """
    SELECT CASE WHEN NOT is_active THEN 'inactive' WHEN paused_reason IS NOT NULL THEN 'paused' ELSE 'active' END
           AS state, count(*) AS integrations
    FROM integrations GROUP BY 1
"""
_STALEST = """
    SELECT id, failures_in_a_row AS failures,
           extract(epoch FROM now() - coalesce(watermark, created_at)) AS lag,
           extract(epoch FROM now() - coalesce(last_synced_at, created_at)) AS age
    FROM integrations WHERE is_active
    ORDER BY coalesce(last_synced_at, created_at) LIMIT :most
"""


async def ask_database(engine: AsyncEngine) -> Sequence[Metric]:
    """All of them; when the database does not answer in time, only that it does not."""
    try:
        async with asyncio.timeout(PATIENCE), engine.connect() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = {int(PATIENCE * 1000)}"))
            found = [*await _queue(connection), *await _counts(connection), *await _stalest(connection)]
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("metrics.database_away", error=type(error).__name__)
        return [_is_up(False)]
    return [_is_up(True), *found]


def _is_up(is_up: bool) -> Metric:
    return _gauge("integrations_database_up", "Whether the database answered this scrape.", [({}, float(is_up))])


async def _queue(connection: AsyncConnection) -> list[Metric]:
    rows = {row.status: row for row in await connection.execute(text(QUEUE))}
    waiting = rows.get("queued")
    jobs = [({"status": status}, float(rows[status].jobs if status in rows else 0)) for status in ("queued", "picked")]
    return [
        _gauge("integrations_queue_jobs", "Jobs in the queue: queued, or picked by a worker.", jobs),
        _gauge(
            "integrations_queue_oldest_seconds",
            "Seconds since the oldest waiting job was due.",
            [({}, max(0.0, float(waiting.age)) if waiting else 0.0)],
        ),
    ]


async def _counts(connection: AsyncConnection) -> list[Metric]:
    runs = {row.state: row.runs for row in await connection.execute(text(_RUNS))}
    states = {row.state: row.integrations for row in await connection.execute(text(_INTEGRATIONS))}
    workers = await connection.scalar(text(WORKERS))
    return [
        _gauge("integrations_sync_runs", "Sync runs that have not ended, by state.", _by("state", runs, _ACTIVE)),
        _gauge("integrations_configured", "Configured integrations, by state.", _by("state", states, _CONFIGURED)),
        _gauge("integrations_workers", "Workers seen in the last 30 seconds.", [({}, float(workers or 0))]),
    ]


_ACTIVE = ("queued", "running")
_CONFIGURED = ("active", "paused", "inactive")


def _by(label: str, counts: dict[str, int], values: Sequence[str]) -> list[tuple[dict[str, str], float]]:
    return [({label: value}, float(counts.get(value, 0))) for value in values]


async def _stalest(connection: AsyncConnection) -> list[Metric]:
    rows = (await connection.execute(text(_STALEST), {"most": STALEST})).all()

    def by_integration(column: str) -> list[tuple[dict[str, str], float]]:
        return [({"integration": str(row.id)}, float(getattr(row, column))) for row in rows]

    return [
        _gauge(
            "integrations_watermark_lag_seconds",
            "Seconds between now and the source time an integration's dataset is known complete up to.",
            by_integration("lag"),
        ),
        _gauge(
            "integrations_sync_age_seconds",
            "Seconds since an integration's last sync that succeeded.",
            by_integration("age"),
        ),
        _gauge(
            "integrations_sync_failures_in_a_row",
            "Syncs of an integration that failed since the last one that succeeded.",
            by_integration("failures"),
        ),
    ]


def pool_gauges(engine: AsyncEngine) -> Iterator[Metric]:
    """How many connections of this process's pool are used. Reads memory, asks nobody."""
    pool: Any = engine.pool
    used = [({"state": "in_use"}, float(pool.checkedout())), ({"state": "idle"}, float(pool.checkedin()))]
    yield _gauge("integrations_db_pool_connections", "Connections of this process's pool, by state.", used)
    yield _gauge(
        "integrations_db_pool_limit",
        "Connections this process may hold: DATABASE_POOL_SIZE.",
        [({}, float(pool.size()))],
    )


def _gauge(name: str, description: str, samples: Sequence[tuple[dict[str, str], float]]) -> Metric:
    family = GaugeMetricFamily(name, description)
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family
