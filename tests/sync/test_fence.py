"""A worker whose run was taken from it commits nothing more, and leaves the job to whoever has it now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.errors import Retryable
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge import staging
from integrations_api.queue.jobs import NotDoneYet
from integrations_api.sync import fence
from integrations_api.sync.executor import SOURCE_CHANGED
from integrations_api.sync.runs import ENTRYPOINT
from integrations_api.worker_wiring import build_worker
from tests.support.gates import gate, publishing_gate
from tests.support.syncing import PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _in_the_middle(database_url: str) -> AsyncIterator[tuple[Bench, UUID, "asyncio.Future[None]"]]:
    """A run that somebody carries out who will not look whether he still may: a handler without a worker's duties."""
    async with bench(database_url, workers=0) as b:
        b.source.fill(12)
        b.source.gate = asyncio.Event()
        run_id = await b.start(await b.integration())
        carrying = asyncio.ensure_future(build_worker(b.components).handlers[ENTRYPOINT](str(run_id)))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        yield b, run_id, carrying
        assert carrying.done()


@pytest.mark.parametrize(
    ("taken", "attempt"),
    [
        ("attempt = attempt + 1", 2),
        # A standby that took over had not heard of the claim, and another worker has got its number.
        ("worker_id = gen_random_uuid()", 1),
    ],
)
async def test_who_is_fenced_off_commits_nothing_and_keeps_the_job_for_the_one_who_goes_on(
    database_url: str, taken: str, attempt: int
) -> None:
    async with _in_the_middle(database_url) as (b, run_id, carrying):
        await b.change(f"UPDATE sync_runs SET {taken}")
        events = await b.events(run_id)
        assert b.source.gate is not None
        b.source.gate.set()

        with pytest.raises(NotDoneYet) as again:
            await asyncio.wait_for(carrying, PATIENCE)

        run = await b.run(run_id)
        assert (run.state, run.attempt, run.fetched, await b.events(run_id)) == ("running", attempt, 0, events)
        assert again.value.after > 0  # Else it came back time and again while the other one is at work.


async def test_giving_a_run_back_is_not_cut_off_when_it_is_looked_at_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    giving_back, may_go_on, release = asyncio.Event(), asyncio.Event(), fence.release

    async def slowly(*args: Any, **facts: Any) -> None:
        giving_back.set()
        await may_go_on.wait()
        await release(*args, **facts)

    monkeypatch.setattr(fence, "release", slowly)
    async with bench(database_url, workers=0) as b:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        run_id, worker = await b.start(await b.integration()), build_worker(b.components)
        watch = next(duty for name, _, duty in worker.duties if name == "watch")
        carrying = asyncio.ensure_future(worker.handlers[ENTRYPOINT](str(run_id)))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        await b.change("UPDATE sync_runs SET progress_at = now() - interval '1 day'")
        await watch()
        await asyncio.wait_for(giving_back.wait(), PATIENCE)
        await watch()
        may_go_on.set()

        with pytest.raises(NotDoneYet):
            await asyncio.wait_for(carrying, PATIENCE)

        assert (await b.run(run_id)).state == "queued"


async def test_who_is_fenced_off_because_the_run_has_ended_is_done_with_the_job(database_url: str) -> None:
    async with _in_the_middle(database_url) as (b, run_id, carrying):
        await b.change("UPDATE sync_runs SET state = 'cancelled'")
        assert b.source.gate is not None
        b.source.gate.set()

        await asyncio.wait_for(carrying, PATIENCE)

        assert (await b.run(run_id)).fetched == 0


async def test_a_run_that_has_ended_is_not_carried_out_again_though_its_job_is_delivered_once_more(
    database_url: str,
) -> None:
    async with bench(database_url, workers=0) as b:
        b.source.fill(3)
        run_id = await b.start(await b.integration())
        for _ in range(2):
            await build_worker(b.components).handlers[ENTRYPOINT](str(run_id))

        run = await b.run(run_id)
        assert (run.state, run.attempt, b.source.pages_read) == ("succeeded", 1, 1)


async def test_a_run_whose_source_hangs_when_its_worker_ends_has_no_try_the_less(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        run_id, worker = await b.start(await b.integration()), build_worker(b.components)
        carrying = asyncio.ensure_future(worker.handlers[ENTRYPOINT](str(run_id)))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        await worker.on_leave()

        with pytest.raises(NotDoneYet):
            await asyncio.wait_for(carrying, PATIENCE)
        run = await b.run(run_id)
        assert (run.state, run.attempt, run.handovers) == ("queued", 1, 1)


async def test_who_takes_over_does_not_go_on_in_another_source(database_url: str) -> None:
    """An edit ends the run, but a worker that has just taken it may be faster than whoever looks for that."""
    async with bench(database_url, workers=0) as b:
        b.source.fill(3)
        run_id = await b.start(await b.integration())
        await b.change("UPDATE sync_runs SET attempt = 1, phase = 'fetching', fingerprint = 'of the source before'")

        await build_worker(b.components).handlers[ENTRYPOINT](str(run_id))

        run = await b.run(run_id)
        assert (run.state, run.error, b.source.pages_read) == ("cancelled", SOURCE_CHANGED, 0)


async def test_a_failure_of_who_is_fenced_off_is_none_of_the_run(database_url: str) -> None:
    async with _in_the_middle(database_url) as (b, run_id, carrying):
        await b.change("UPDATE sync_runs SET attempt = attempt + 1")
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        assert b.source.gate is not None
        b.source.gate.set()

        await asyncio.wait_for(carrying, PATIENCE)

        run = await b.run(run_id)
        assert (run.state, run.error) == ("running", None)
        assert run.integration_id is not None
        shown = (await b.components[IntegrationService].get(run.integration_id)).integration
        assert (shown["last_sync_status"], shown["last_sync_error"]) == (None, None)


async def test_a_step_that_is_ended_to_free_others_of_a_deadlock_is_done_again(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        async with publishing_gate(database_url) as publishing:
            run_id = await b.start(integration)
            await publishing.reached()

            async with b.sessions.begin() as session:
                await session.execute(text("SET LOCAL deadlock_timeout = '1h'"))  # The run is to be ended.
                await session.execute(text("SELECT FROM integrations FOR UPDATE"))
                run = asyncio.create_task(session.execute(text("SELECT FROM sync_runs FOR UPDATE")))
                await b.somebody_waits()
                await publishing.open()
                await asyncio.wait_for(run, PATIENCE)

        done = await b.finished(run_id)
        assert (done.state, done.attempt, done.version) == ("succeeded", 1, 1)


async def test_a_run_whose_integration_is_gone_ends_beside_another_that_is_in_a_long_step(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        busy, gone = [await b.start(await b.integration()) for _ in range(2)]
        watch = next(duty for name, _, duty in build_worker(b.components).duties if name == "watch")
        await b.change("UPDATE sync_runs SET fingerprint = 'of the source before' WHERE id = :id", id=busy)
        await b.change("UPDATE sync_runs SET integration_id = NULL WHERE id = :id", id=gone)
        async with b.sessions.begin() as step:
            await step.execute(text("SELECT FROM sync_runs WHERE id = :id FOR UPDATE"), {"id": busy})
            watching = asyncio.ensure_future(watch())
            ended = await b.finished(gone)
        await watching
        await watch()

        assert (ended.state, ended.error) == ("cancelled", "Integration was deleted")
        assert ((await b.run(busy)).state, (await b.run(busy)).error) == ("cancelled", SOURCE_CHANGED)


async def test_what_is_tidied_up_after_a_run_is_not_cut_off_because_the_run_has_ended(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        b.source.fill(3)
        integration, worker = await b.integration(), build_worker(b.components)
        carry_out, duties = worker.handlers[ENTRYPOINT], {name: duty for name, _, duty in worker.duties}
        await carry_out(str(await b.start(integration)))
        b.source.change("INC00001", title="It was not the mail")

        async with gate(database_url, when="true", at="DELETE ON raw_records") as closed:
            run_id = await b.start(integration)
            carrying = asyncio.ensure_future(carry_out(str(run_id)))
            await closed.reached()
            await duties["watch"]()
            await closed.open()
            await carrying

        assert (await b.run(run_id)).state == "succeeded"
        assert len(await b.rows("SELECT 1 FROM raw_records")) == 3


async def test_what_is_tidied_up_late_leaves_alone_what_the_next_sync_has_read(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a run's last commit and that its worker may stand still: nothing is fenced by then."""
    tidy, is_late, go_on = staging.drop_superseded_raw, asyncio.Event(), asyncio.Event()

    async def late_at_first(session: AsyncSession, *, run_id: UUID, dataset_id: UUID) -> None:
        if not is_late.is_set():
            is_late.set()
            await go_on.wait()
        await tidy(session, run_id=run_id, dataset_id=dataset_id)

    monkeypatch.setattr(staging, "drop_superseded_raw", late_at_first)
    async with bench(database_url, workers=0) as b:
        b.source.fill(3)
        integration, carry_out = await b.integration(), build_worker(b.components).handlers[ENTRYPOINT]
        first = asyncio.ensure_future(carry_out(str(await b.start(integration))))
        await asyncio.wait_for(is_late.wait(), PATIENCE)
        b.source.change("INC00001", title="It was not the mail")
        second = await b.start(integration)
        async with gate(database_url, when="NEW.phase = 'comparing' AND OLD.phase = 'fetching'") as closed:
            carrying = asyncio.ensure_future(carry_out(str(second)))
            await closed.reached()
            go_on.set()
            await asyncio.wait_for(first, PATIENCE)
            await closed.open()
            await asyncio.wait_for(carrying, PATIENCE)

        assert ((await b.run(second)).updated, len(await b.rows("SELECT 1 FROM raw_records"))) == (1, 3)
        assert (await b.titles(integration))["INC00001"] == "It was not the mail"
