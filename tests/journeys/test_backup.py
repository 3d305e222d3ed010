"""A bad day: the database is gone, and what pg_dump took while a sync was running is restored into an empty one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer, evolve
from integrations_api.vault.bootstrap import generate_secrets
from tests.journeys.test_handover import admin_token
from tests.support import backups
from tests.support.databases import Databases, plain_url
from tests.support.processes import PATIENCE
from tests.support.sites import Site, held_after_page

VECTORS = "SELECT encode(hash, 'hex') AS hash, embedding::text FROM embedding_vectors_1 ORDER BY 1"


@pytest.fixture
def source() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(80, seed=11)) as server:
        yield server


@pytest.fixture
def restored_url(test_databases: Databases) -> Iterator[str]:
    """An empty database, such as one makes to restore into."""
    url = test_databases.create()
    yield url
    test_databases.drop(url)


@pytest.fixture
def site(database_url: str, source: SimulatorServer, tmp_path: Path) -> Site:
    settings = {
        **generate_secrets(),
        "DATABASE_URL": database_url,
        "EGRESS_ALLOWED_HOSTS": source.url.removeprefix("http://"),
        "SYNC_PAGE_SIZE": "20",
        "SYNC_FETCH_CONCURRENCY": "1",
        "RAW_DUMP_PATH": "",
    }
    return Site(tmp_path, settings, token=anyio.run(admin_token, settings))


def test_a_dump_taken_during_a_sync_is_restored_and_that_sync_goes_on(
    site: Site, source: SimulatorServer, restored_url: str, tmp_path: Path
) -> None:
    file, lost = tmp_path / "integrations.dump", site.settings["DATABASE_URL"]
    major, vectors = anyio.run(store_vectors, lost)
    with site.api() as api, site.process("worker"):
        integration = api.connect(source)
        api.sync(integration)
        evolve(source.instance, 30, seed=3)
        api.sync(integration)
        before = api.exports(integration)
        with held_after_page(source, 3) as reached:
            run_id = api.begin(integration, mode="full")
            assert reached.wait(PATIENCE)
            backups.dump(lost, file, major=major)

    backups.restore(file, restored_url, major=major)
    site.settings["DATABASE_URL"] = restored_url
    verified = site.command("audit", "verify")
    with site.api() as api:
        after = api.exports(integration)
        with site.process("worker"):
            run = api.ended(run_id)
            source.instance.create({"short_description": "The printer is on fire"})
            following = api.ended(api.begin(integration))

    assert sorted(before) == [1, 2]
    assert after == before
    assert not vectors or anyio.run(rows, restored_url, VECTORS) == vectors
    assert " fit; " in verified
    assert not verified.startswith("0 entries")
    assert (run["state"], run["attempt"], run["verdict"]["state"]) == ("succeeded", 2, "complete")
    assert (following["mode"], following["verdict"]["state"]) == ("incremental", "complete")
    assert (following["added"], following["version"]) == (1, (run["version"] or max(before)) + 1)


async def store_vectors(url: str) -> tuple[int, list[tuple[Any, ...]]]:
    """The server's major release; a table of vectors as a model's, where pgvector is there, and what is in it."""
    connection = await asyncpg.connect(plain_url(url))
    try:
        major = connection.get_server_version().major
        if not await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"):
            return major, []
        await connection.execute(
            """
            CREATE EXTENSION IF NOT EXISTS vector;
            CREATE TABLE embedding_vectors_1 (hash bytea PRIMARY KEY, embedding halfvec(3) STORAGE PLAIN NOT NULL);
            CREATE INDEX ix_embedding_vectors_1 ON embedding_vectors_1 USING hnsw (embedding halfvec_ip_ops);
            INSERT INTO embedding_vectors_1 VALUES ('a', '[1,0,0]'), ('b', '[0,1,0]');
            """
        )
    finally:
        await connection.close()
    return major, await rows(url, VECTORS)


async def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(plain_url(url))
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
