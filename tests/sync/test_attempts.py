"""How often a run may be begun."""

from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from integrations_api.clock import utc_now
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.queue.jobs import NotDoneYet
from integrations_api.sync.engine import SyncEngine
from integrations_api.sync.executor import RunExecutor
from integrations_api.sync.runs import is_final
from integrations_api.sync.service import SyncService
from integrations_api.worker_wiring import executor_options
from tests.support.applications import settings_for
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio


async def test_a_run_that_got_further_each_time_may_be_begun_as_often_as_it_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url, workers=0, sync_chunk_size=5) as b:
        b.source.fill(12)
        b.source.page_size = 4
        run_id = await b.start(await b.integration())
        for step in ("_keep_page", "_ingest_chunk"):
            lost_after(monkeypatch, step)

        executor = impatient_executor(b, database_url, attempts=2)
        while not is_final((await b.run(run_id)).state):
            with suppress(NotDoneYet):
                await executor.carry_out(str(run_id))

        run = await b.run(run_id)
        assert (run.state, run.added, run.attempt) == ("succeeded", 12, 7)


def lost_after(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whoever carries out such a step loses the database after it, for longer than is waited."""
    carry_out = getattr(SyncEngine, step)

    async def and_lose_it(self: SyncEngine, *given: Any) -> Any:
        await carry_out(self, *given)
        raise ConnectionResetError

    monkeypatch.setattr(SyncEngine, step, and_lose_it)


def impatient_executor(b: Bench, database_url: str, *, attempts: int) -> RunExecutor:
    return RunExecutor(
        worker_id=uuid4(),
        sessions=b.sessions,
        integrations=b.components[IntegrationReader],
        sources=b.components[SyncService].sources,
        clock=utc_now,
        options=executor_options(
            settings_for(database_url, raw_dump_path="", sync_chunk_size=5, sync_max_attempts=attempts)
        ),
    )
