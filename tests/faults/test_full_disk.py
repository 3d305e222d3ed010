"""A disk that is really full, under data and write-ahead log: the sync goes on when there is space again."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from integrations_api.db.embedded import EmbeddedPostgres, start_embedded
from integrations_api.db.embedded_cluster import Cluster
from integrations_api.db.migrations import upgrade
from integrations_api.simulator.servicenow import AfterPage
from tests.faults.test_limits import waits
from tests.support.matrix import product, source, unminded_connections
from tests.support.processes import workplace

pytestmark = [pytest.mark.anyio, pytest.mark.long]

INCIDENTS = 600


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of its own with 160 MiB."""
    with workplace() as place:
        mount = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=0755", "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root, and not in every container, may mount a file system")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def database(disk: Path) -> Iterator[EmbeddedPostgres]:
    with start_embedded(disk / "data", durable=False) as running:
        upgrade(running.url)
        yield running


def fill(balloon: Path) -> None:
    """Takes every byte that is left."""
    with suppress(OSError), balloon.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


def start_again_if_it_went(database: EmbeddedPostgres) -> None:
    """A server that had no space for its log ends itself; whoever made space starts it again."""
    cluster = Cluster.at(database.data_dir / "postgres")
    running = cluster.postmaster()
    if running is None or not running.answers():
        cluster.stop()
        cluster.start(durable=False)


async def test_a_sync_waits_for_space_and_goes_on_without_loss(database: EmbeddedPostgres, disk: Path) -> None:
    reached, go_on, balloon = Event(), Event(), disk / "balloon"

    def wait_at_the_third_page(page: int) -> None:
        if page == 3:
            reached.set()
            go_on.wait(60)

    with source(INCIDENTS) as server, unminded_connections():
        async with product(database.url, sync_page_size=50) as service:
            copied = await service.connect(server)
            server.add_fault(AfterPage(wait_at_the_third_page))
            run_id = await service.bench.start(copied.integration)
            assert await asyncio.to_thread(reached.wait, 60)

            await asyncio.to_thread(fill, balloon)
            before = waits()
            go_on.set()
            async with asyncio.timeout(60):
                while waits() == before:  # noqa: ASYNC110 - only the metric tells
                    await asyncio.sleep(0.05)
            balloon.unlink()
            await asyncio.to_thread(start_again_if_it_went, database)
            run = await copied.finished(run_id)

            assert (run.state, run.error, run.added) == ("succeeded", None, INCIDENTS)
            await copied.assert_dataset_equals_source()
