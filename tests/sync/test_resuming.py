"""Going on with a failed run: where it was, and when that would be wrong."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from integrations_api.clock import utc_now
from integrations_api.connectors.errors import Retryable
from integrations_api.errors import Conflict
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.versions import Chunk
from integrations_api.sync import repository
from integrations_api.sync.control import RESUMABLE_FOR, RunControl
from integrations_api.sync.engine import SyncEngine
from integrations_api.sync.models import SyncRun
from integrations_api.sync.remap import Remap
from integrations_api.sync.runs import PLANS_KEPT
from tests.support.gates import gate
from tests.support.served import Served, served
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


async def test_a_failed_first_load_goes_on_where_it_was(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.page_size = 10
        b.source.fill(35)
        integration = await b.integration()
        b.source.fail_at_page, b.source.failure = 2, Retryable("Connection timeout", "Check the URL")
        failed = await b.sync(integration)
        assert (failed.state, failed.fetched, failed.remedy) == ("failed", 20, "Check the URL")
        b.source.failure = None

        answer = await api.client.post(f"/integrations/runs/{failed.id}/resume")
        resumed = await b.finished(failed.id)

        shown = answer.json()["run"]
        assert (shown["state"], shown["error"], shown["remedy"]) == ("queued", None, None)
        assert (resumed.state, resumed.fetched, resumed.added, b.source.pages_read) == ("succeeded", 35, 35, 4)
        events = await api.watch("GET", f"/integrations/runs/{failed.id}/events")
        assert [event.event for event in events].count("complete") == 1
        assert "error" not in [event.event for event in events]
        refused = await api.client.post(f"/integrations/runs/{failed.id}/resume")
        assert refused.status_code == 409


async def test_a_failed_run_of_a_disabled_integration_waits_until_it_is_enabled(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        failed = await b.sync(integration)
        b.source.failure = None
        path = f"/integrations/runs/{failed.id}/resume"
        await b.change("UPDATE integrations SET is_active = false")

        refused = await api.client.post(path)

        assert (refused.status_code, refused.json()["message"]) == (409, "Integration is disabled")
        await b.change("UPDATE integrations SET is_active = true")
        assert (await api.client.post(path)).status_code == 200
        assert (await b.finished(failed.id)).state == "succeeded"


async def test_a_failed_run_is_not_resumed_from_another_source_too_late_or_without_an_integration(
    database_url: str,
) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        failed = await b.sync(await b.integration())
        refusals = []
        for change in (
            "UPDATE integrations SET fingerprint = 'another'",
            "UPDATE sync_runs SET finished_at = now() - interval '6 days 1 minute'",
            "DELETE FROM integrations",
        ):
            await b.change(change)
            with pytest.raises(Conflict) as refused:
                await b.components[RunControl].resume(failed.id, principal=ADMIN)
            refusals.append(refused.value.message)

    assert refusals == [
        "The integration reads another source now: start a new sync",
        "The run failed too long ago: start a new sync",
        "The integration of this run was deleted",
    ]


async def test_a_failed_run_cannot_be_resumed_past_a_rollback_nor_during_it(database_url: str) -> None:
    """It would publish what changed since its watermark, and the full sync after a rollback would never come."""
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="Mail is back")
        await b.sync(integration)
        b.source.add("INC00004")
        b.source.fail_at_page, b.source.failure = b.source.pages_read, Retryable("Connection timeout")
        failed = await b.sync(integration)
        b.source.failure = None
        back, resume = (
            f"/knowledge/datasets/{integration}/versions/1/rollback",
            f"/integrations/runs/{failed.id}/resume",
        )
        async with gate(database_url, when="NEW.kind = 'rollback'", at="INSERT ON versions") as rolling_back:
            rollback = asyncio.create_task(api.client.post(back, json={"reason": "wrong titles"}))
            await rolling_back.reached()
            resuming = asyncio.create_task(api.client.post(resume))
            await b.somebody_waits()
            await rolling_back.open()
            assert (await rollback).status_code == 200

        for refused in (await resuming, await api.client.post(resume)):
            assert (refused.status_code, refused.json()["message"]) == (
                409,
                "The dataset was rolled back since: start a new sync, which reads everything",
            )
        run = await b.sync(integration)
        assert (failed.state, run.mode, run.added, run.updated) == ("failed", "full", 1, 1)


async def test_a_failed_run_cannot_be_resumed_past_a_rollback_that_waited_for_its_end(database_url: str) -> None:
    """Asked for before that, and done after it."""
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="Mail is back")
        await b.sync(integration)
        b.source.gate = asyncio.Event()
        b.source.fail_at_page, b.source.failure = b.source.pages_read, Retryable("Connection timeout")
        b.source.reached.clear()
        run_id = await b.start(integration)
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        async with b.sessions.begin() as writing:  # as a page's texts are
            await writing.execute(text("SELECT FROM datasets FOR KEY SHARE"))
            back = f"/knowledge/datasets/{integration}/versions/1/rollback"
            rollback = asyncio.create_task(api.client.post(back, json={"reason": "wrong titles"}))
            await b.somebody_waits()
            b.source.gate.set()
            assert (await b.finished(run_id)).state == "failed"
        assert (await rollback).status_code == 200
        b.source.failure = None

        refused = await api.client.post(f"/integrations/runs/{run_id}/resume")

        assert (refused.status_code, refused.json()["message"]) == (
            409,
            "The dataset was rolled back since: start a new sync, which reads everything",
        )
        assert (await b.sync(integration)).mode == "full"


@pytest.mark.parametrize(("purged", "status"), [("INC00002", 200), ("INC00012", 409)])
async def test_a_run_is_resumed_past_a_purge_unless_it_was_about_to_write_the_incident(
    database_url: str, monkeypatch: pytest.MonkeyPatch, purged: str, status: int
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        for number in range(1, 13):
            b.source.change(f"INC{number:05d}", title="It was not the mail")
        with failing_after_the_first(monkeypatch, SyncEngine, "_ingest_chunk"):
            failed = await b.sync(integration)

        answer = await _resumed_after_a_purge(b, api, failed, purged)

        assert (failed.phase, failed.ingested, answer.status_code) == ("ingesting", 5, status)
        if status == 200:
            assert (await b.finished(failed.id)).state == "succeeded"
            assert len(await b.titles(integration)) == 11
        else:
            message = "An incident that this run was about to write was purged since: start a new sync"
            assert answer.json()["message"] == message


@pytest.mark.parametrize(("purged", "status"), [("INC00002", 200), ("INC00012", 409)])
async def test_the_same_goes_for_a_run_that_was_mapping_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch, purged: str, status: int
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        b.source.mapping_version = 2
        with failing_after_the_first(monkeypatch, Remap, "_rewrite_chunk"):
            failed = await b.sync(integration)

        answer = await _resumed_after_a_purge(b, api, failed, purged)

        assert (failed.phase, failed.ingested, answer.status_code) == ("rewriting", 5, status)
        if status == 200:
            resumed = await b.finished(failed.id)
            assert (resumed.state, resumed.error) == ("succeeded", None)


@pytest.mark.parametrize(("purged", "status"), [("INC00002", 409), ("INC00012", 200)])
async def test_a_run_that_had_not_mapped_all_anew_is_resumed_past_a_purge_of_what_it_has_not_planned_yet(
    database_url: str, monkeypatch: pytest.MonkeyPatch, purged: str, status: int
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        b.source.mapping_version = 2
        with failing_after_the_first(monkeypatch, Remap, "_map_page"):
            failed = await b.sync(integration)

        answer = await _resumed_after_a_purge(b, api, failed, purged)

        assert (failed.phase, failed.planned, answer.status_code) == ("remapping", 5, status)
        if status == 200:
            resumed = await b.finished(failed.id)
            assert (resumed.state, resumed.error) == ("succeeded", None)


async def test_what_a_failed_run_has_planned_is_kept_as_long_as_it_may_be_resumed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b:
        b.source.fill(12)
        with failing_after_the_first(monkeypatch, SyncEngine, "_ingest_chunk"):
            failed = await b.sync(await b.integration())

        async def left(after: timedelta) -> int:
            await b.duties(clock=lambda: utc_now() + after).forget_old_plans()
            return len(await b.rows("SELECT 1 FROM staged_changes"))

        kept = [await left(after) for after in (timedelta(0), RESUMABLE_FOR, PLANS_KEPT + timedelta(minutes=1))]
        assert (failed.state, kept) == ("failed", [12, 12, 0])


async def test_a_run_is_not_resumed_behind_one_that_a_slow_clock_has_dated_before_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on with a version behind the head."""
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        with failing_after_the_first(monkeypatch, SyncEngine, "_ingest_chunk"):
            failed = await b.sync(integration)
        await b.change("UPDATE sync_runs SET created_at = created_at + interval '5 minutes'")
        assert (await b.sync(integration)).version == 2

        refused = await api.client.post(f"/integrations/runs/{failed.id}/resume")

        assert (failed.version, refused.status_code, refused.json()["message"]) == (
            1,
            409,
            "A later run has begun since: start a new sync",
        )


@contextmanager
def failing_after_the_first(monkeypatch: pytest.MonkeyPatch, kind: type, step: str) -> Iterator[None]:
    """Meanwhile this step of `kind` is done once, and not for a second page or chunk."""
    done, first = getattr(kind, step), iter([True])

    async def once(self: Any, *what: Chunk) -> Any:
        if not next(first, False):
            raise Retryable("It was begun too often")
        return await done(self, *what)

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, once)
        yield


async def _resumed_after_a_purge(b: Bench, api: Served, failed: SyncRun, number: str) -> httpx.Response:
    await b.components[KnowledgeService].purge(number, dataset_id=failed.dataset_id, reason="118", principal=ADMIN)
    return await api.client.post(f"/integrations/runs/{failed.id}/resume")


async def test_a_run_is_not_resumed_beside_one_that_begins_at_the_same_time(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        failed = await b.sync(await b.integration())
        async with b.sessions.begin() as session:
            facts = {"integration_id": failed.integration_id, "dataset_id": failed.dataset_id}
            await repository.insert_run(session, id=uuid4(), mode="full", trigger="manual", **facts)
            resuming = asyncio.create_task(api.client.post(f"/integrations/runs/{failed.id}/resume"))
            await b.somebody_waits()

        refused = await resuming

        assert (refused.status_code, refused.json()["message"]) == (
            409,
            "A later run has begun since: start a new sync",
        )


async def test_what_a_run_has_read_that_nobody_can_go_on_with_goes_with_the_next_sync(database_url: str) -> None:
    """An incremental one reads little of it again, and of a large source each full sync that fails leaves gigabytes."""
    async with bench(database_url) as b:
        b.source.page_size = 2
        b.source.fill(6)
        integration = await b.integration()
        await b.sync(integration)
        b.source.fail_at_page, b.source.failure = b.source.pages_read + 2, Retryable("Connection timeout")
        failed = await b.sync(integration, mode="full")
        while_it_may_be_resumed = len(await b.rows("SELECT 1 FROM raw_records"))
        b.source.failure = None
        b.source.change("INC00006", title="Mail is up")

        run = await b.sync(integration)
        await b.stop_workers()

        kept = await b.rows("SELECT external_id, run_id FROM raw_records ORDER BY external_id")
        assert (failed.state, failed.fetched, while_it_may_be_resumed) == ("failed", 4, 10)
        assert (run.mode, run.updated) == ("incremental", 1)
        assert [row.external_id for row in kept] == [f"id-INC0000{n}" for n in range(1, 7)]
        assert failed.id not in {row.run_id for row in kept}
