"""`serve` brings an embedding service along where a model is named and none is given."""

import asyncio
import signal
from pathlib import Path

import asyncpg

from integrations_api.db.engine import asyncpg_dsn, create_engine, create_sessions
from tests.support.applications import settings_for
from tests.support.embedding import fake_library, skip_without_pgvector, with_library
from tests.support.knowledge import build_versions, doc
from tests.support.processes import as_environment, processes_below, running, wait_for


def test_serve_with_a_model_embeds_what_there_is_and_takes_its_service_along_when_it_ends(
    empty_home: Path, tmp_path: Path, database_url: str
) -> None:
    asyncio.run(_prepare(database_url))
    settings = {
        **as_environment(settings_for(database_url)),
        "EMBEDDINGS_MODEL": "any",
        "PYTHONPATH": with_library(fake_library(tmp_path)),
    }
    with running(empty_home, "serve", "--port", "0", settings=settings) as serve:
        serve.wait_to_say(r"embedder\.started")
        answers = wait_for(lambda: asyncio.run(_answering(database_url)), "the model")
        serve.tell(signal.SIGTERM)

        assert answers == ("any", 2)
        assert serve.wait() == 0
        assert processes_below(empty_home) == {}


async def _prepare(url: str) -> None:
    await skip_without_pgvector(url)
    engine = create_engine(url, pool_size=1)
    try:
        await build_versions(create_sessions(engine), {"INC1": doc(title="Car"), "INC2": doc(title="Printer")})
    finally:
        await engine.dispose()


async def _answering(url: str) -> tuple[str, int] | None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        found = await connection.fetchrow("SELECT name, dimension FROM embedding_models WHERE state = 'active'")
        return None if found is None else (found["name"], found["dimension"])
    finally:
        await connection.close()
