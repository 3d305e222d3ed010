"""A purged incident does not stay behind in the file of raw records."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from integrations_api.audit.service import record
from integrations_api.clock import utc_now
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.sync.duties import SyncDuties
from integrations_api.sync.raw_file import write_raw_file
from tests.support.syncing import ADMIN, Bench, bench

pytestmark = pytest.mark.anyio


async def synced(b: Bench, path: Path) -> UUID:
    """An integration that was synced, with a file written a minute ago."""
    b.source.fill(2)
    integration = await b.integration()
    assert (await b.sync(integration)).state == "succeeded"
    aged(path, seconds=60)
    return integration


def aged(path: Path, *, seconds: float) -> None:
    written = utc_now().timestamp() - seconds
    os.utime(path, (written, written))


def duties(b: Bench, path: Path) -> SyncDuties:
    return b.duties(raw_dump_path=path)


async def test_the_file_goes_when_something_was_purged_since(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        integration = await synced(b, path)
        worker = duties(b, path)
        await worker.forget_raw_file()
        assert path.exists()

        await b.components[KnowledgeService].purge(
            "INC00001", dataset_id=integration, reason="Erasure request 118", principal=ADMIN
        )
        await worker.forget_raw_file()

        assert not path.exists()
        await worker.forget_raw_file()


async def test_what_a_process_left_that_was_killed_while_it_wrote_goes_too(database_url: str, tmp_path: Path) -> None:
    path, left = tmp_path / "raw.json", tmp_path / ".raw.json.118.7f00"
    async with bench(database_url) as b:
        integration = await b.integration()
        left.write_text('[\n{"number": "INC00001"}')
        aged(left, seconds=60)
        worker = duties(b, path)
        await worker.forget_raw_file()
        assert left.exists()
        await b.components[IntegrationService].delete(integration, principal=ADMIN, purge=True)

        await worker.forget_raw_file()

        assert not left.exists()


async def test_what_killed_processes_left_does_not_fill_the_disk_where_nothing_is_ever_purged(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw.json"
    left, being_written = tmp_path / ".raw.json.118.7f00", tmp_path / ".raw.json.119.7f01"
    for file in (path, left, being_written):
        file.write_text("[\n")
    for file in (path, left):
        aged(file, seconds=2 * 86_400)
    async with bench(database_url, workers=0) as b:
        await duties(b, path).forget_raw_file()

    assert sorted(os.listdir(tmp_path)) == [being_written.name, path.name]


async def test_a_file_that_is_broken_off_leaves_nothing_behind(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def records() -> AsyncIterator[str]:
        yield '{"number": "INC00001"}'
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(write_raw_file(tmp_path / "raw.json", records()))
    await begun.wait()
    writing.cancel()
    await asyncio.wait({writing})

    assert (writing.cancelled(), os.listdir(tmp_path)) == (True, [])


async def test_the_file_goes_with_a_whole_dataset_and_also_when_no_worker_was_there(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        integration = await synced(b, path)
        await b.components[IntegrationService].delete(integration, principal=ADMIN, purge=True)

        await duties(b, path).forget_raw_file()

        assert not path.exists()


async def test_the_file_goes_after_a_purge_that_is_committed_when_somebody_has_looked_already(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        await synced(b, path)
        worker = duties(b, path)
        async with b.sessions.begin() as session:
            await record(session, action="knowledge.purge", object_type="incident", object_id=None, principal=ADMIN)
            await worker.forget_raw_file()
        assert path.exists()

        await worker.forget_raw_file()

        assert not path.exists()


async def test_the_file_goes_though_the_clock_of_its_machine_is_a_little_ahead(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        integration = await synced(b, path)
        aged(path, seconds=-5)
        await b.components[IntegrationService].delete(integration, principal=ADMIN, purge=True)

        await duties(b, path).forget_raw_file()

        assert not path.exists()


async def test_a_file_written_after_the_purge_stays(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        integration = await synced(b, path)
        await b.components[IntegrationService].delete(integration, principal=ADMIN, purge=True)
        aged(path, seconds=-60)

        await duties(b, path).forget_raw_file()

        assert path.exists()


async def test_deleting_an_integration_and_keeping_its_knowledge_is_no_purge(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        integration = await synced(b, path)
        await b.components[IntegrationService].delete(integration, principal=ADMIN)

        await duties(b, path).forget_raw_file()

        assert path.exists()
