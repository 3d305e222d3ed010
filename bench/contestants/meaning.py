"""The product with an embedding service, and the vectors alone: whatever EMBEDDINGS_URL and EMBEDDINGS_MODEL name."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text

from integrations_api.connectors.embeddings.client import EmbeddingClient
from integrations_api.db.engine import Sessions
from integrations_api.knowledge.embedding import find_active_model
from integrations_api.knowledge.vectors import table_of
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.search.meaning import QueryEmbedder
from integrations_api.search.service import SearchService
from integrations_api.settings import load_settings
from integrations_api.wiring import egress_policy

Rankings = dict[str, dict[str, list[str]]]


async def rankings(sessions: Sessions, dataset: UUID, queries: Iterable[str], *, depth: int) -> Rankings:
    """Both rankings of each query's document; none, with a word about it, where no service is configured."""
    settings = load_settings()
    if settings.embeddings_url is None or settings.embeddings_model is None:
        print("hybrid is left out: EMBEDDINGS_URL and EMBEDDINGS_MODEL name no embedding service")
        return {}
    async with EmbeddingClient(
        url=settings.embeddings_url, api_key=settings.embeddings_api_key, policy=egress_policy(settings)
    ) as client:
        filler = EmbeddingFiller(
            sessions=sessions, embedder=client, model=settings.embeddings_model, batch=settings.embeddings_batch
        )
        async for _ in filler.filling():
            pass
        search = SearchService(sessions=sessions, meaning=QueryEmbedder(embedder=client))
        hybrid, semantic = {}, {}
        for query in queries:
            found = await search.similar_to(query, dataset_id=dataset, version=None, limit=depth)
            assert found.ranking == "hybrid"
            hybrid[query] = [hit["number"] for hit in found.hits]
            semantic[query] = await _nearest(sessions, query, depth)
    return {"this product, hybrid": hybrid, "its vectors alone": semantic}


async def _nearest(sessions: Sessions, number: str, depth: int) -> list[str]:
    """By comparison with every vector."""
    async with sessions() as session:
        model = await find_active_model(session)
        assert model is not None
        found = await session.scalars(
            text(f"""
                WITH vectors AS MATERIALIZED (
                    SELECT r.number, e.embedding FROM revisions r JOIN content_texts t ON t.content_id = r.content_id
                    JOIN {table_of(model.id)} e ON e.hash = t.hash
                )
                SELECT v.number FROM vectors v, vectors q WHERE q.number = :number AND v.number <> q.number
                ORDER BY v.embedding <#> q.embedding, v.number LIMIT :depth
            """),
            {"number": number, "depth": depth},
        )
        return list(found)
