"""The search room over a database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from integrations_api.access.permissions import Permission
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.search.service import SearchService
from tests.support.applications import LiveApp, live_app

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url, pool_size=3)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
def search(sessions: Sessions) -> SearchService:
    return SearchService(sessions=sessions)


@pytest.fixture
async def live(database_url: str) -> AsyncIterator[LiveApp]:
    async with live_app(database_url) as app:
        yield app


@pytest.fixture
async def ask(live: LiveApp) -> Ask:
    """GETs a path below /knowledge as a viewer; gives the body of an answer with the expected status."""
    headers = await live.credentials([Permission.KNOWLEDGE_VIEW])

    async def asked(path: str, *, status: int = 200, **query: Any) -> Any:
        response = await live.client.get(f"/knowledge/{path}", params=query, headers=headers)
        assert response.status_code == status, response.text
        return response.json()

    return asked
