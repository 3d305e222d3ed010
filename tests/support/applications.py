"""The real application over a test's own database, with users on demand."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI

from integrations_api.access.passwords import HashCost, Passwords
from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.api.application import Application
from integrations_api.app import create_app
from integrations_api.clock import Clock, utc_now
from integrations_api.components import Components
from integrations_api.settings import Settings
from integrations_api.vault.bootstrap import generate_secrets
from integrations_api.wiring import assemble

CHEAP = HashCost(memory_kib=8, passes=1, lanes=1)
"""The least argon2 allows: these passwords guard nothing."""
PASSWORD = "correct horse battery staple"


def settings_for(database_url: str, **overrides: Any) -> Settings:
    """Settings that owe nothing to the machine's environment file."""
    names = {name.lower(): value for name, value in generate_secrets().items()}
    values: dict[str, Any] = {"database_url": database_url, "database_pool_size": 5, **names, **overrides}
    return Settings(_env_file=None, **values)


@dataclass(slots=True)
class LiveApp:
    """An application in this process; `client` speaks to it without a socket (so not for streams)."""

    app: FastAPI
    components: Components
    client: httpx.AsyncClient

    @property
    def access(self) -> AccessService:
        return self.components[AccessService]

    async def user(self, permissions: Iterable[str] = ROLES[Role.ADMIN], *, email: str | None = None) -> str:
        """Makes a user; gives his e-mail. His password is `PASSWORD`."""
        email = email or f"user-{uuid4().hex[:8]}@example.com"
        await self.access.create_user(email=email, password=PASSWORD, permissions=permissions)
        return email

    async def credentials(self, permissions: Iterable[str] = ROLES[Role.ADMIN]) -> dict[str, str]:
        """The headers of a fresh user with these permissions; of an admin by default."""
        return await self.credentials_of(await self.user(permissions))

    async def credentials_of(self, email: str) -> dict[str, str]:
        """The headers of an existing user."""
        token = await self.access.issue_token(email, timedelta(hours=1))
        return {"Authorization": f"Bearer {token.text}"}


@asynccontextmanager
async def live_app(database_url: str, *, clock: Clock = utc_now, **settings: Any) -> AsyncIterator[LiveApp]:
    """The application as `serve` runs it, wired to the test's database."""
    chosen = settings_for(database_url, **settings)
    async with assemble(chosen, clock=clock, passwords=Passwords(CHEAP)) as components:
        app = create_app(components, chosen)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield LiveApp(app=app, components=components, client=client)


def bare_app(**settings: Any) -> Application:
    """The application without any parts: enough for routes that need none."""
    return create_app(Components(), settings_for("postgresql://nobody@127.0.0.1:1/nothing", **settings))


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
