"""PostgreSQL is restarted under a running sync: the run goes on, and the next job is picked up."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Event

import pytest

from integrations_api.connectors.records import Mode
from integrations_api.db.embedded import EmbeddedPostgres, start_embedded
from integrations_api.db.embedded_cluster import Cluster
from integrations_api.db.migrations import upgrade
from integrations_api.simulator.servicenow import AfterPage, SimulatorServer, evolve
from tests.support.databases import quickest_folder
from tests.support.matrix import product, unminded_connections

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("_unminded")]

MODES: tuple[Mode, ...] = ("full", "incremental", "full")


@pytest.fixture
async def _unminded() -> AsyncIterator[None]:
    with unminded_connections():
        yield


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedPostgres]:
    """A server of this module's own, for it is stopped under those who use it."""
    with (
        tempfile.TemporaryDirectory(prefix="integrations-api-test-", dir=quickest_folder()) as folder,
        start_embedded(Path(folder), durable=False) as running,
    ):
        upgrade(running.url)
        yield running


def _restart(database: EmbeddedPostgres) -> None:
    cluster = Cluster.at(database.data_dir / "postgres")
    cluster.stop()
    cluster.start(durable=False)


async def test_connections_that_are_cut_after_every_answer_of_the_source_cost_nothing(
    database_url: str, server: SimulatorServer
) -> None:
    loop = asyncio.get_running_loop()
    async with product(database_url, sync_max_attempts=100) as service:
        copied = await service.connect(server, page_size=40)

        def cut(_: int) -> None:
            asyncio.run_coroutine_threadsafe(service.cut_connections(), loop).result(60)

        for seed, mode in enumerate(MODES):
            server.add_fault(AfterPage(cut, on="any", skip=seed))
            await copied.sync_well(mode)
            server.faults.clear()
            await copied.assert_dataset_equals_source()
            evolve(server.instance, 10, seed=seed)
            copied.advance(600)


async def test_a_restart_in_the_middle_costs_nothing_and_the_next_job_is_taken(
    database: EmbeddedPostgres, server: SimulatorServer
) -> None:
    reached, go_on = Event(), Event()

    def wait_at_the_third_page(page: int) -> None:
        if page == 3:
            reached.set()
            go_on.wait(60)

    async with product(database.url) as service:
        copied = await service.connect(server)
        server.add_fault(AfterPage(wait_at_the_third_page))
        run_id = await service.bench.start(copied.integration)
        assert await asyncio.to_thread(reached.wait, 60)

        await asyncio.to_thread(_restart, database)
        go_on.set()
        run = await copied.finished(run_id)
        server.faults.clear()

        assert (run.state, run.error, run.added) == ("succeeded", None, 90)
        await copied.assert_dataset_equals_source()
        evolve(server.instance, 20, seed=1)
        copied.advance(600)
        await copied.sync_well()
        await copied.assert_dataset_equals_source()
