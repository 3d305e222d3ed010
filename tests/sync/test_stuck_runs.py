"""What counts as being stuck, and what becomes of it."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import utc_now
from integrations_api.connectors.records import MappedDocument, SourceRecord, Wait
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import staging
from integrations_api.knowledge.staging import Plan
from integrations_api.sync import raw_file
from integrations_api.sync.control import RunControl
from integrations_api.sync.intake import LARGE
from tests.support.sources import MemoryConnector
from tests.support.syncing import ADMIN, PATIENCE, bench

pytestmark = pytest.mark.anyio


async def test_a_run_without_progress_is_taken_away_and_fails_with_words_after_its_last_try(database_url: str) -> None:
    stall = timedelta(seconds=1)
    async with bench(database_url, sync_stall_timeout=stall, sync_max_attempts=2) as b:
        b.source.fill(3)
        b.source.gate = asyncio.Event()

        run = await b.sync(await b.integration())

        assert (run.state, run.attempt) == ("failed", 3)
        assert run.error == "The sync was begun too often without coming to an end"
        assert run.remedy is not None
        assert run.remedy.startswith("Look into the log of the workers")
        assert (await b.events(run.id))[-1] == ("error", {"success": False, "message": run.error})
        b.source.gate.set()
        await b.components[RunControl].resume(run.id, principal=ADMIN)
        resumed = await b.finished(run.id)
        assert (resumed.state, resumed.error) == ("succeeded", None)


async def test_a_run_that_waits_for_a_worker_is_queued_and_not_stuck(database_url: str) -> None:
    async with bench(database_url, workers=0, sync_stall_timeout=timedelta(minutes=1)) as b:
        b.source.fill(3)
        run_id = await b.start(await b.integration())
        await b.change("UPDATE sync_runs SET created_at = created_at - interval '1 day'")

        b.start_worker()

        run = await b.finished(run_id)
        assert (run.state, run.attempt) == ("succeeded", 1)


async def test_what_the_source_asks_to_wait_does_not_count_as_being_stuck(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.waits.append(Wait(seconds=1800, reason="ServiceNow asks to wait 1800 s (rate limit)"))
        b.source.gate = asyncio.Event()
        run_id = await b.start(await b.integration())
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        run = await b.run(run_id)

        assert run.progress_at is not None
        assert run.progress_at > utc_now() + timedelta(minutes=25)
        b.source.gate.set()
        # Nor does a page that comes in after it was told.
        done = await b.finished(run_id)
        assert (done.state, done.progress_at) == ("succeeded", run.progress_at)


async def test_a_run_that_is_in_one_step_for_long_is_not_stuck(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = staging.plan

    async def slowly(session: AsyncSession, **facts: Any) -> Plan:
        await session.execute(text("SELECT pg_sleep(4)"))
        return await plan(session, **facts)

    monkeypatch.setattr(staging, "plan", slowly)
    async with bench(database_url, sync_stall_timeout=timedelta(seconds=1.5)) as b:
        b.source.fill(3)

        run = await b.sync(await b.integration())

        assert (run.state, run.attempt) == ("succeeded", 1)


async def test_a_run_that_saves_many_raw_records_for_long_is_not_stuck(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_file, "SAVED_AT_ONCE", 2)
    read = staging.raw_texts

    async def slowly(sessions: Sessions, run_id: UUID) -> AsyncGenerator[str, None]:
        async for one in read(sessions, run_id):
            await asyncio.sleep(0.6)
            yield one

    monkeypatch.setattr(staging, "raw_texts", slowly)
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path), sync_stall_timeout=timedelta(seconds=2.5)) as b:
        b.source.fill(8)

        run = await b.sync(await b.integration())

        assert (run.state, run.attempt) == ("succeeded", 1)
        assert len(json.loads(path.read_text())) == 8


async def test_a_run_may_take_longer_to_map_what_was_rejected_than_a_transaction_may_stand_idle(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = timedelta(seconds=1)
    async with bench(database_url, worker_silence=idle) as b:
        b.source.add("INC00001", "INC00002", title="x" * LARGE)  # Mapped beside the event loop, which goes on.
        b.source.change("INC00001", number="")
        integration = await b.integration()
        before = await b.sync(integration)
        mapped = MemoryConnector.map

        def slowly(connector: MemoryConnector, record: SourceRecord) -> MappedDocument:
            if not record.raw["number"]:
                time.sleep(1.5 * idle.total_seconds())
            return mapped(connector, record)

        b.source.change("INC00002")
        monkeypatch.setattr(MemoryConnector, "map", slowly)

        run = await b.sync(integration)

        assert (before.state, before.rejected) == ("succeeded", 1)
        assert (run.state, run.attempt, run.rejected) == ("succeeded", 1, 1)
