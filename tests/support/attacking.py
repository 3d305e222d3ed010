"""The whole product with data in it, and everybody who could send it a request: what attacks are made on."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpcore
import pytest
from fastapi import FastAPI

from integrations_api.access.permissions import ROLES, Permission, Role
from integrations_api.access.service import AccessService
from integrations_api.answering_wiring import listening
from integrations_api.app import create_app
from integrations_api.settings import Settings
from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer, evolve
from tests.support import asgi
from tests.support.applications import PASSWORD
from tests.support.syncing import Bench, bench

METRICS_TOKEN = "the-token-of-the-metrics-page"
Headers = list[tuple[str, str]]

_STATE = """
SELECT md5(concat_ws('|',
    (SELECT string_agg(u::text, ',' ORDER BY id) FROM users u),
    (SELECT string_agg(l::text, ',' ORDER BY user_id) FROM user_links l),
    (SELECT string_agg(concat(id, name, permissions), ',' ORDER BY id) FROM api_keys),
    (SELECT string_agg(i::text, ',' ORDER BY id) FROM integrations i),
    (SELECT string_agg(s::text, ',' ORDER BY integration_id, path) FROM integration_secrets s),
    (SELECT string_agg(o::text, ',' ORDER BY o::text) FROM oauth_flows o),
    (SELECT string_agg(t::text, ',' ORDER BY hash) FROM stream_tickets t),
    (SELECT string_agg(r::text, ',' ORDER BY id) FROM sync_runs r),
    (SELECT string_agg(v::text, ',' ORDER BY dataset_id, number) FROM versions v),
    (SELECT string_agg(d::text, ',' ORDER BY id) FROM documents d)
)) AS state
"""
"""All that a request could change, but for what is written about requests themselves."""


@dataclass
class Attacked:
    """The application, what is stored in it, and credentials of all kinds."""

    app: FastAPI
    bench: Bench
    integration: UUID
    spare: list[UUID]
    run_id: UUID
    number: str
    victim: UUID
    _users: dict[frozenset[Permission], str] = field(default_factory=dict)
    _key: str = ""

    @property
    def access(self) -> AccessService:
        return self.bench.components[AccessService]

    async def send(self, method: str, url: str, headers: Iterable[tuple[str, str]] = (), **options: Any) -> asgi.Answer:
        return await asgi.send(self.app, method, url, headers=list(headers), **options)

    async def user(self, permissions: Iterable[Permission], *, fresh: bool = False) -> Headers:
        """Somebody with exactly these permissions, who has just signed in; the same as before unless he is `fresh`."""
        wanted = frozenset(permissions)
        if fresh or wanted not in self._users:
            email = self._users[wanted] = f"user-{uuid4().hex[:8]}@example.com"
            await self.access.create_user(email=email, password=PASSWORD, permissions=wanted)
        email = self._users.pop(wanted) if fresh else self._users[wanted]
        token = await self.access.issue_token(email, timedelta(hours=1))
        return [("Authorization", f"Bearer {token.text}")]

    async def admin(self) -> Headers:
        return await self.user(ROLES[Role.ADMIN])

    async def key(self) -> Headers:
        """An API key that may do everything."""
        if not self._key:
            body = b'{"name": "k", "permissions": [%s]}' % b",".join(b'"%s"' % p.encode() for p in Permission)
            json = ("Content-Type", "application/json")
            made = await self.send("POST", "/auth/api-keys", [*await self.admin(), json], body=body)
            self._key = made.body.rpartition(b'"key":"')[2].partition(b'"')[0].decode()
        return [("Authorization", f"Bearer {self._key}")]

    async def state(self) -> str:
        """A digest of what requests can change."""
        ((state,),) = await self.bench.rows(_STATE)
        return str(state)

    def known(self, names: Iterable[str]) -> dict[str, Any]:
        """Ids of things that are there, for the parameters of a path."""
        ids = {"integration_id": self.integration, "run_id": self.run_id, "user_id": self.victim, "key_id": uuid4()}
        known: dict[str, Any] = {name: str(value) for name, value in ids.items()} | {"number": self.number, "n": 1}
        return {name: known[name] for name in names}

    async def renew_spare(self) -> UUID:
        """One more integration, to be deleted."""
        self.spare.append(await self.bench.integration())
        return self.spare[-1]


@contextmanager
def only_this_machine(patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Records every address a source is connected to; one that is not of this machine is as if it were switched off."""
    asked: list[str] = []
    connect = httpcore.AnyIOBackend.connect_tcp

    async def recorded(backend: httpcore.AnyIOBackend, host: str, port: int, **options: Any) -> Any:
        asked.append(host)
        if host != "127.0.0.1":
            raise httpcore.ConnectError("switched off")
        return await connect(backend, host, port, **options)

    with patch.context() as patched:
        patched.setattr(httpcore.AnyIOBackend, "connect_tcp", recorded)
        yield asked


@asynccontextmanager
async def attacked(database_url: str) -> AsyncIterator[Attacked]:
    """The product after two syncs; its worker has left, so that nothing changes but by requests."""
    with SimulatorServer(ServiceNowInstance.with_incidents(12, seed=7)) as simulator:
        host = simulator.url.partition("//")[2]
        settings: dict[str, Any] = {
            "egress_allowed_hosts": (host,), "stream_ping": timedelta(milliseconds=50), "access_rate_factor": 0,
            "metrics_token": METRICS_TOKEN,
        }  # fmt: skip
        async with bench(database_url, in_memory=False, **settings) as b, listening(b.components):
            yield await _prepared(b, simulator)


async def _prepared(b: Bench, simulator: SimulatorServer) -> Attacked:
    config = {"url": simulator.url, "username": "integration", "password": "simulator-password"}
    integration = await b.integration(**config)
    await b.sync(integration)
    evolve(simulator.instance, 20, seed=3)
    run = await b.sync(integration)
    assert run.version == 2, run.error
    await b.stop_workers()
    access = b.components[AccessService]
    victim = await access.create_user(email="victim@example.com", password=PASSWORD, permissions=[])
    ((number,),) = await b.rows("SELECT min(number) FROM revisions WHERE valid_to = 2147483647")
    app = create_app(b.components, b.components[Settings])
    return Attacked(app, b, integration, [await b.integration()], run.id, number, victim.id)
