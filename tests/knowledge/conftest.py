"""The knowledge room over a database of its own, and its routes with callers of chosen permissions."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.service import AccessService
from integrations_api.api.components import install_components
from integrations_api.api.context import RequestContextMiddleware
from integrations_api.api.error_handlers import install_error_handlers
from integrations_api.components import Components
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.errors import Unauthenticated
from integrations_api.knowledge.router import router
from integrations_api.knowledge.service import KnowledgeService

MOST_PAGES = 20
"""No story is longer than this."""

VIEWER = Principal(UUID(int=1), "viewer@example.com", frozenset({Permission.KNOWLEDGE_VIEW}), "token:1")
ADMIN = Principal(UUID(int=2), "admin@example.com", frozenset(Permission), "token:2")
NOBODY = Principal(UUID(int=3), "nobody@example.com", frozenset(), "token:3")


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=5)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
def knowledge(sessions: Sessions) -> KnowledgeService:
    return KnowledgeService(sessions=sessions)


class KnownCallers:
    """Knows its callers by token: access itself has its own tests."""

    async def authenticate(self, token: str) -> Principal:
        callers = {"viewer": VIEWER, "admin": ADMIN, "nobody": NOBODY}
        if token not in callers:
            raise Unauthenticated("Sign in first")
        return callers[token]

    async def draw(self, *_: object) -> None:
        """Lets everybody do as much as he likes."""


@dataclass(slots=True)
class Api:
    """The routes as an admin sees them, unless told otherwise."""

    client: httpx.AsyncClient

    async def get(self, path: str, *, status: int = 200, caller: str = "admin", **query: Any) -> Any:
        """GET; the body of an answer with the expected status."""
        response = await self.raw(path, caller=caller, **query)
        assert response.status_code == status, response.text
        return response.json()

    async def pages(self, path: str, **query: Any) -> list[Any]:
        """Every page of a listing, from the first to the one without a cursor."""
        pages = [await self.get(path, **query)]
        while pages[-1]["next_cursor"] is not None:
            assert len(pages) < MOST_PAGES, "the cursor does not move"
            pages.append(await self.get(path, cursor=pages[-1]["next_cursor"], **query))
        return pages

    async def raw(self, path: str, *, caller: str = "admin", **query: Any) -> httpx.Response:
        """GET; the answer, whatever it is."""
        headers = {"Authorization": f"Bearer {caller}"}
        return await self.client.get(path, params=query or None, headers=headers)

    async def post(self, path: str, body: Any, *, status: int = 200, caller: str = "admin", **query: Any) -> Any:
        """POST; the body of an answer with the expected status."""
        headers = {"Authorization": f"Bearer {caller}"}
        response = await self.client.post(path, json=body, params=query or None, headers=headers)
        assert response.status_code == status, response.text
        return response.json()


@pytest.fixture
async def api(knowledge: KnowledgeService) -> AsyncIterator[Api]:
    components = Components()
    components.add(cast(AccessService, KnownCallers()), as_=AccessService)
    components.add(knowledge)
    app = FastAPI()
    install_components(app, components)
    install_error_handlers(app)
    app.add_middleware(RequestContextMiddleware)
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield Api(client)
