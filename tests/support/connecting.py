"""The whole product beside a source that signs in by OAuth, and somebody with a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx

from integrations_api.connectors.records import Mode
from integrations_api.simulator.servicenow.access import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_PASSWORD
from integrations_api.sync.models import SyncRun
from tests.support.processes import PATIENCE
from tests.support.served import Served, served
from tests.support.syncing import Bench, bench

CLIENT = {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET}
GRANTS: dict[str, dict[str, str]] = {
    "client_credentials": CLIENT,
    "password": CLIENT | {"username": "integration", "password": DEFAULT_PASSWORD},
    "authorization_code": CLIENT,
}
"""What the simulated ServiceNow takes, by grant."""


@dataclass
class Browser:
    """Follows a service's redirects by hand. What comes back to us goes to where this test serves us."""

    api_url: str

    async def open(self, url: str) -> httpx.Response:
        """The page of the service that does not redirect any more, or our own."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            page = await client.get(url)
            while page.has_redirect_location:
                page = await client.get(self.here(page.headers["location"], str(page.url)))
        return page

    def here(self, location: str, base: str) -> str:
        """Where a redirect leads, with our own address put in place of the public one."""
        target = urlsplit(str(httpx.URL(base).join(location)))
        if target.path != "/integrations/oauth/callback":
            return target.geturl()
        return f"{self.api_url.rstrip('/')}{target.path}?{target.query}"


@dataclass
class Connecting:
    """What these tests work with."""

    bench: Bench
    api: Served

    async def create(self, url: str, grant: str, **config: Any) -> str:
        """A stored ServiceNow integration that signs in by this grant."""
        config = {"url": url, "grant": grant, **GRANTS[grant], **config}
        sent = {"service_name": "ServiceNow", "auth_type": "oauth2", "config": config, "is_active": True}
        response = await self.api.client.post("/integrations/create", json=sent)
        assert response.status_code == 201, response.text
        return str(response.json()["integration"]["id"])

    async def shown(self, integration: str) -> dict[str, Any]:
        response = await self.api.client.get(f"/integrations/id/{integration}")
        return dict(response.json()["integration"])

    async def edit(self, integration: str, **config: Any) -> dict[str, Any]:
        """Writes back what is shown, with changes to the config."""
        shown = await self.shown(integration)
        return await self._put(integration, shown | {"config": shown["config"] | config})

    async def rename(self, integration: str, name: str) -> None:
        """Gives it another name, of the same service."""
        await self._put(integration, await self.shown(integration) | {"service_name": name})

    async def _put(self, integration: str, sent: dict[str, Any]) -> dict[str, Any]:
        response = await self.api.client.put(f"/integrations/update/{integration}", json=sent)
        assert response.status_code == 200, response.text
        return dict(response.json()["integration"])

    async def authorize_url(self, integration: str, *, headers: dict[str, str] | None = None) -> str:
        response = await self.api.client.post(f"/integrations/oauth/{integration}/authorize", headers=headers)
        assert response.status_code == 200, response.text
        return str(response.json()["authorize_url"])

    async def connect(self, integration: str) -> httpx.Response:
        """Somebody signs in with a browser; the page he sees in the end."""
        return await Browser(self.api.url).open(await self.authorize_url(integration))

    async def come_back(self, **params: str) -> httpx.Response:
        """A browser that comes back with these."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return await client.get(f"{self.api.url}/integrations/oauth/callback", params=params)

    async def state_of(self, integration: str, *, headers: dict[str, str] | None = None) -> str:
        """The state of a sign-in that is begun now; `headers` say by whom."""
        return dict(parse_qsl(urlsplit(await self.authorize_url(integration, headers=headers)).query))["state"]

    async def sync(self, integration: str, *, mode: Mode = "incremental") -> SyncRun:
        return await self.bench.sync(UUID(integration), mode=mode)

    async def audited(self, integration: str) -> list[str]:
        """What the audit says was done to an integration, oldest first."""
        rows = await self.bench.rows(
            "SELECT action FROM audit_entries WHERE object_id = :id ORDER BY id", id=integration
        )
        return [row.action for row in rows]


@asynccontextmanager
async def connecting(database_url: str, **settings: Any) -> AsyncIterator[Connecting]:
    """The service with one worker, free to reach this machine, and its API on a socket."""
    values = {"egress_allowed_hosts": ("127.0.0.1",), "sync_page_size": 20, "sync_fetch_concurrency": 2, **settings}
    async with bench(database_url, in_memory=False, **values) as b, served(b) as api:
        yield Connecting(b, api)
