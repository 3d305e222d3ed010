"""`/healthz` and `/readyz`: for load balancers, supervisors and people."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from integrations_api.api.components import component
from integrations_api.api.envelope import Success
from integrations_api.api.openapi import errors
from integrations_api.api.routes import PUBLIC, Router
from integrations_api.db.compatibility import Fit, schema_of
from integrations_api.db.engine import is_full, is_shut_out
from integrations_api.logs import get_logger
from integrations_api.queue.models import Worker

log = get_logger(__name__)

WORKER_SILENCE = timedelta(seconds=30)
"""A worker that has not been seen for this long is taken for gone."""
_PATIENCE = 5.0

router = Router(tags=["health"], dependencies=[PUBLIC])


class Alive(Success):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"success": True, "message": "alive"}]})

    message: str = "alive"


class ReadyCheck(BaseModel):
    """One condition of readiness."""

    name: str
    ok: bool
    message: str


class Readiness(BaseModel):
    """Whether requests can be served and syncs will run; every condition by its name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "message": "ready",
                    "checks": [
                        {"name": "database", "ok": True, "message": "reachable"},
                        {"name": "schema", "ok": True, "message": "at head"},
                        {"name": "worker", "ok": True, "message": "last seen 1 s ago"},
                    ],
                }
            ]
        }
    )

    success: bool
    message: str
    checks: list[ReadyCheck]


_NOT_READY = {
    "success": False,
    "message": "Not ready: worker",
    "checks": [
        {"name": "database", "ok": True, "message": "reachable"},
        {"name": "schema", "ok": True, "message": "at head"},
        {"name": "worker", "ok": False, "message": "last seen 48 s ago"},
    ],
}


@router.get("/healthz", summary="Is the process alive?", responses=errors())
async def healthz() -> Alive:
    """Answers as long as the process does; asks nobody else."""
    return Alive()


@router.get(
    "/readyz",
    summary="Is everything in place?",
    responses={
        503: {
            "model": Readiness,
            "description": "At least one check fails.",
            "content": {"application/json": {"example": _NOT_READY}},
        }
    },
)
async def readyz(response: Response, engine: Annotated[AsyncEngine, Depends(component(AsyncEngine))]) -> Readiness:
    """The database is reachable, its schema serves this release, and a worker was seen in the last 30 seconds."""
    checks = await readiness(engine)
    failing = [check.name for check in checks if not check.ok]
    if failing:
        response.status_code = 503
    return Readiness(
        success=not failing, message=f"Not ready: {', '.join(failing)}" if failing else "ready", checks=checks
    )


async def readiness(engine: AsyncEngine) -> list[ReadyCheck]:
    """The three checks; the later ones fail without being asked when the database is away."""
    try:
        async with asyncio.timeout(_PATIENCE), engine.connect() as connection:
            return [
                ReadyCheck(name="database", ok=True, message="reachable"),
                await _check("schema", _schema, connection),
                await _check("worker", _worker, connection),
            ]
    except Exception as error:
        # The driver's message may hold host, user and more: a public route says no more than this.
        log.warning("readiness.database_away", error=type(error).__name__)
        return [
            ReadyCheck(name="database", ok=False, message=_why_away(engine, error)),
            ReadyCheck(name="schema", ok=False, message="unknown, for the database is not reachable"),
            ReadyCheck(name="worker", ok=False, message="unknown, for the database is not reachable"),
        ]


_Finding = tuple[bool, str]


def _why_away(engine: AsyncEngine, error: Exception) -> str:
    pool = engine.pool
    waited = isinstance(error, TimeoutError | PoolTimeoutError)
    if waited and isinstance(pool, QueuePool) and pool.checkedout() >= pool.size():
        return "not reachable: all connections of this process are busy"
    if is_shut_out(error):
        return "not reachable: it does not let this service in"
    return "not reachable: it takes no more connections" if is_full(error) else "not reachable"


async def _check(name: str, look: Callable[[AsyncConnection], Awaitable[_Finding]], c: AsyncConnection) -> ReadyCheck:
    ok, message = await look(c)
    return ReadyCheck(name=name, ok=ok, message=message)


_FITS = {
    Fit.AT_HEAD: "at head",
    Fit.AHEAD: "of a later release, which serves this one",
    Fit.BEHIND: "older than this release needs: run `integrations-api migrate`",
    Fit.BEYOND: "of a later release, which took away what this one needs: run that release",
}


async def _schema(connection: AsyncConnection) -> _Finding:
    fit, _ = await schema_of(connection)
    return fit.is_served, _FITS[fit]


async def _worker(connection: AsyncConnection) -> _Finding:
    if await connection.scalar(select(func.to_regclass(Worker.__tablename__))) is None:
        return False, "unknown, for the schema is not there"
    reads_only = func.current_setting("transaction_read_only") == "on"
    now, seen, can_only_read = (
        await connection.execute(select(func.now(), func.max(Worker.seen_at), reads_only))
    ).one()
    is_there, message = _silence(now, seen)
    # A worker cannot give its sign of life then, and a balancer that took all replicas out had none to read from.
    return is_there or can_only_read, f"{message}; the database can only be read" if can_only_read else message


def _silence(now: datetime, seen: datetime | None) -> _Finding:
    if seen is None:
        return False, "there is none: start `integrations-api worker`"
    seconds = max(0, int((now - seen).total_seconds()))
    return now - seen <= WORKER_SILENCE, f"last seen {seconds} s ago"
