"""A worker's end is not kept waiting by the database."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from integrations_api.queue import worker
from tests.support.databases import plain_url
from tests.support.processes import PATIENCE
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio


async def test_a_worker_that_cannot_say_goodbye_leaves_without(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEAVING", timedelta(seconds=0.5))
    async with bench(database_url, workers=1) as b:
        ((running, stopping),) = b.workers
        await b.sync(await b.integration())
        other = await asyncpg.connect(plain_url(database_url))
        async with other.transaction():
            await other.execute("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")

            stopping.set()

            await asyncio.wait_for(running, PATIENCE)
        await other.close()
