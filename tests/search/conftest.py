"""The search room over a database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.permissions import Permission
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.search import meaning, nearest, repository
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.search.scope import Scope, find_chosen
from integrations_api.search.service import SearchService
from tests.support.applications import LiveApp, live_app
from tests.support.embedding import EmbeddingServer, embedding_server, skip_without_pgvector
from tests.support.knowledge import Story
from tests.support.processes import PATIENCE

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


async def scope_in(session: AsyncSession, *, dataset_id: UUID | None = None, version: int | None = None) -> Scope:
    """The scope of a search as a reading has it."""
    chosen = await find_chosen(session, dataset_id=dataset_id, version=version)
    return (await repository.parse(session, chosen, "", None)).scope


@dataclass
class Hybrid:
    """An application with an embedding service, in this process."""

    live: LiveApp
    service: EmbeddingServer

    async def fill(self) -> None:
        """What a worker does every few seconds."""
        await self.live.components[EmbeddingFiller].fill()

    async def get(self, path: str, **query: Any) -> Any:
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, body: Any) -> Any:
        return await self._ask("POST", path, json=body)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        headers = await self.live.credentials([Permission.KNOWLEDGE_VIEW])
        response = await self.live.client.request(method, f"/knowledge/{path}", headers=headers, **options)
        assert response.status_code == 200, response.text
        return response.json()

    async def progress(self, story: Story) -> Any:
        """How far a dataset is embedded, as the API tells it."""
        return (await self.get(f"datasets/{story.dataset_id}"))["dataset"]["embedded"]

    async def found(self, query: str, **more: Any) -> list[str]:
        return [hit["number"] for hit in (await self.get("search", q=query, **more))["hits"]]


@pytest.fixture
async def service() -> AsyncIterator[EmbeddingServer]:
    async with embedding_server() as running:
        yield running


@pytest.fixture
async def hybrid(database_url: str, service: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hybrid]:
    await skip_without_pgvector(database_url)
    # A search that waits no longer than a second for its vectors would be lexical where the machine is slow.
    monkeypatch.setattr(meaning, "WITHIN", timedelta(seconds=PATIENCE))
    monkeypatch.setattr(nearest, "PATIENCE_MS", int(PATIENCE * 1000))
    async with live_app(database_url, **service.settings()) as live:
        yield Hybrid(live, service)
