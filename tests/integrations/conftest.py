"""The application over a fresh database, with a clock the test moves, and its admin."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from integrations_api.integrations.for_sync import IntegrationForSync, IntegrationReader, record_success
from integrations_api.integrations.service import IntegrationService
from tests.support.applications import LiveApp, live_app

SERVICENOW: dict[str, Any] = {
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {"url": "https://dev12345.service-now.com", "username": "admin", "password": "your_password"},
    "is_active": True,
}


class MovingClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def set(self, wire: str) -> datetime:
        self.now = datetime.fromisoformat(wire)
        return self.now


@dataclass
class Room:
    """What a test of this room works with: the HTTP door, signed in as admin, and the parts behind it."""

    app: LiveApp
    clock: MovingClock
    admin: dict[str, str]

    @property
    def service(self) -> IntegrationService:
        return self.app.components[IntegrationService]

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        found: async_sessionmaker[AsyncSession] = self.app.components[async_sessionmaker]
        return found

    async def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A request as admin, unless other `headers` are given."""
        return await self.app.client.request(method, path, json=body, **{"headers": self.admin, **options})

    async def create(self, **changes: Any) -> dict[str, Any]:
        """A stored integration, ServiceNow unless changed; as it is shown."""
        response = await self.send("POST", "/integrations/create", {**SERVICENOW, **changes})
        assert response.status_code == 201, response.text
        return dict(response.json()["integration"])

    async def put(self, integration_id: str, **changes: Any) -> httpx.Response:
        """Replaces an integration by ServiceNow's example with changes."""
        return await self.send("PUT", f"/integrations/update/{integration_id}", {**SERVICENOW, **changes})

    async def shown(self, integration_id: str) -> dict[str, Any]:
        """An integration as it is shown now."""
        response = await self.send("GET", f"/integrations/id/{integration_id}")
        assert response.status_code == 200, response.text
        return dict(response.json()["integration"])

    async def stored(self, integration_id: str) -> IntegrationForSync:
        """What a sync would be given."""
        async with self.sessions() as session:
            return await self.app.components[IntegrationReader].load(session, UUID(integration_id))

    async def synced(self, integration_id: str, at: str, *, watermark: str | None = None, **options: Any) -> None:
        """Has a sync end well at that time; the watermark is that time too unless given."""
        before = await self.stored(integration_id)
        facts = {
            "at": self.clock.set(at),
            "watermark": datetime.fromisoformat(watermark or at),
            "fingerprint": before.fingerprint,
            **options,
        }
        async with self.sessions.begin() as session:
            await record_success(session, UUID(integration_id), **facts)

    async def rows(self, statement: str, **facts: Any) -> list[dict[str, Any]]:
        """What the database says."""
        async with self.sessions.begin() as session:
            result = await session.execute(text(statement), facts)
            if statement.startswith("SELECT"):
                return [dict(row) for row in result.mappings()]
            return []


@pytest.fixture
async def room(database_url: str) -> AsyncIterator[Room]:
    clock = MovingClock()
    async with live_app(database_url, clock=clock) as app:
        token = await app.access.issue_token(await app.user(), timedelta(days=30))
        yield Room(app=app, clock=clock, admin={"Authorization": f"Bearer {token.text}"})
