"""What `bench.api` asks for: a stored world, the same for each contestant, and the requests of each operation."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg

from bench.generated import fill, number
from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.settings import Settings
from tests.support.applications import PASSWORD
from tests.support.databases import plain_url
from tests.support.syncing import bench

STORED = 20
"""Integrations there are, each with a finished sync of 18 incidents: as many as the list shows."""
INCIDENTS = 10_000
TOKEN_LIFE = timedelta(hours=2)
_BODY = {
    "service_name": "ServiceNow Production",
    "auth_type": "basic_auth",
    "config": {"url": "https://dev1.service-now.com", "username": "admin", "password": "a new password"},
    "is_active": True,
}


@dataclass(frozen=True)
class World:
    """What requests can name: integrations with their finished runs, and whose token is shown."""

    settings: Settings
    token: str
    runs: Sequence[tuple[UUID, UUID]]


async def make_world(url: str, settings: Settings) -> World:
    """Fills a migrated database: incidents made up, and integrations that were really synced."""
    keys = {name: getattr(settings, name) for name in ("secret_key", "encryption_keys")}
    async with bench(url, **keys) as b:
        await fill(b.sessions, INCIDENTS)
        b.source.add(*(f"SYNCED{i:04d}" for i in range(18)))
        runs = []
        for _ in range(STORED):
            integration = await b.integration()
            runs.append((integration, (await b.sync(integration)).id))
        access = b.components[AccessService]
        await access.create_user(email="bench@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
        token = await access.issue_token("bench@example.com", TOKEN_LIFE)
    return World(settings=settings, token=token.text, runs=runs)


Requests = Callable[[World, Sequence[UUID], int], list[str]]
"""So many requests, as text, in a world with these integrations beside the stored ones."""


@dataclass(frozen=True)
class Operation:
    """One of the measured routes. `takes` says that each request needs an integration of its own to change."""

    name: str
    status: int
    requests: Requests
    takes: bool = False


def _request(world: World, method: str, path: str, body: object = None, head: str = "") -> str:
    lines = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {world.token}\r\n{head}"
    if body is None:
        return f"{lines}\r\n"
    text = json.dumps(body)
    return f"{lines}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"


def _list(world: World, _: Sequence[UUID], count: int) -> list[str]:
    return [_request(world, "GET", "/integrations/all")] * count


def _get(world: World, _: Sequence[UUID], count: int) -> list[str]:
    return [_request(world, "GET", f"/integrations/id/{world.runs[i % STORED][0]}") for i in range(count)]


def _create(world: World, _: Sequence[UUID], count: int) -> list[str]:
    return [_request(world, "POST", "/integrations/create", _BODY)] * count


def _update(world: World, own: Sequence[UUID], count: int) -> list[str]:
    return [_request(world, "PUT", f"/integrations/update/{own[i]}", _BODY) for i in range(count)]


def _delete(world: World, own: Sequence[UUID], count: int) -> list[str]:
    return [_request(world, "DELETE", f"/integrations/delete/{own[i]}") for i in range(count)]


def _sync(world: World, _: Sequence[UUID], count: int) -> list[str]:
    requests = []
    for i in range(count):
        integration, run = world.runs[i % STORED]
        requests.append(
            _request(world, "POST", f"/integrations/sync/{integration}", head=f"Last-Event-ID: {run}:0\r\n")
        )
    return requests


def _incident(world: World, _: Sequence[UUID], count: int) -> list[str]:
    return [_request(world, "GET", f"/knowledge/incidents/{number(1 + i * 37 % INCIDENTS)}") for i in range(count)]


OPERATIONS = (
    Operation("list", 200, _list),
    Operation("get", 200, _get),
    Operation("create", 201, _create),
    Operation("update", 200, _update, takes=True),
    Operation("delete", 200, _delete, takes=True),
    Operation("sync", 200, _sync),
    Operation("incident", 200, _incident),
)

_ADD = """
    WITH added AS (
        INSERT INTO integrations (id, service_name, auth_type, config, is_active, created_at, updated_at, fingerprint)
        SELECT id, 'ServiceNow', 'basic_auth', config, true, now(), now(), fingerprint
        FROM unnest($1::uuid[]) AS id, (SELECT config, fingerprint FROM integrations LIMIT 1) one
        RETURNING id
    )
    INSERT INTO integration_secrets (integration_id, path, ciphertext)
    SELECT added.id, '/password', ciphertext FROM added, (SELECT ciphertext FROM integration_secrets LIMIT 1) one
"""


def prepared(url: str, world: World, count: int) -> list[UUID]:
    """Leaves the stored integrations and so many more in the database, the same for everybody, and gives the latter."""
    fresh = [uuid4() for _ in range(count)]

    async def prepare() -> None:
        connection = await asyncpg.connect(plain_url(url))
        try:
            stored = [integration for integration, _ in world.runs]
            await connection.execute("DELETE FROM integrations WHERE id <> ALL($1)", stored)
            await connection.execute(_ADD, fresh)
            await connection.execute("VACUUM ANALYZE integrations, integration_secrets")
        finally:
            await connection.close()

    asyncio.run(prepare())
    return fresh
