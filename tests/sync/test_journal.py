"""The steps of a run, one transaction each: done once though an answer gets lost, and by nobody who is fenced off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import utc_now
from integrations_api.connectors.records import Wait
from integrations_api.db import checking, ending
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import datasets
from integrations_api.sync import events, fence
from integrations_api.sync.journal import Journal
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import Fenced
from integrations_api.worker_wiring import build_worker
from tests.support.processes import PATIENCE
from tests.support.silence import forgetful_network
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio

LONG = timedelta(minutes=1)
SECOND, SHORT = timedelta(seconds=1), timedelta(seconds=0.5)


@dataclass
class Losing:
    """Sessions whose connection is lost just after so many commits, and so many times before a question."""

    sessions: Sessions
    commits: int = 0
    questions: int = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        async with self.sessions.begin() as session:
            yield session
        if self.commits:
            self.commits -= 1
            raise ConnectionResetError

    def __call__(self) -> AsyncSession:
        if self.questions:
            self.questions -= 1
            raise ConnectionResetError
        return self.sessions()


async def _claimed(b: Bench, run_id: UUID) -> SyncRun | None:
    """By another worker each time."""
    async with b.sessions.begin() as session:
        return await fence.claim(session, run_id=run_id, worker_id=uuid4(), now=utc_now(), silence=LONG)


@asynccontextmanager
async def _journal(database_url: str) -> AsyncIterator[tuple[Bench, Journal, Losing]]:
    """Of a run that was just claimed."""
    async with bench(database_url, workers=0) as b:
        run = await _claimed(b, await b.start(await b.integration()))
        assert run is not None
        losing: Any = Losing(b.sessions)
        yield b, Journal(sessions=losing, clock=utc_now, run=run, stopping=lambda: False), losing


async def test_a_step_whose_answer_gets_lost_is_not_done_twice_and_the_next_one_follows(database_url: str) -> None:
    async with _journal(database_url) as (b, journal, losing):
        losing.commits = 1

        told = await journal.note(events.progress("one"), fetched=1)
        assert journal.run.fetched == 1
        more = await journal.note(events.progress("two"), fetched=2)

        assert ([event.seq for event in told], [event.seq for event in more]) == ([], [2])
        assert [data["message"] for _, data in await b.events(journal.run.id)] == ["one", "two"]
        assert (await b.run(journal.run.id)).fetched == journal.run.fetched == 2


async def test_nor_is_one_of_which_the_database_cannot_be_asked_whether_it_was_done(database_url: str) -> None:
    async with _journal(database_url) as (b, journal, losing):
        losing.commits = losing.questions = 1

        with pytest.raises(Fenced):
            await journal.note(events.progress("one"))

        assert len(await b.events(journal.run.id)) == 1


async def test_a_step_whose_commit_a_server_that_stands_still_never_answers_is_made_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, bound in ((ending, "PATIENCE", SHORT), (checking, "TRUSTED", 0.0), (checking, "_PATIENCE", 0.5)):
        monkeypatch.setattr(module, name, bound)
    conclude, silences = fence.conclude, iter([None])
    async with forgetful_network(database_url) as network, bench(network.url, workers=0, worker_silence=SECOND) as b:

        async def conclude_and_fall_silent(*given: Any, **more: Any) -> Any:
            logged = await conclude(*given, **more)
            for _ in silences:
                network.forget()
            return logged

        run = await _claimed(b, await b.start(await b.integration()))
        assert run is not None
        journal = Journal(sessions=b.sessions, clock=utc_now, run=run, stopping=lambda: False)
        monkeypatch.setattr(fence, "conclude", conclude_and_fall_silent)
        stepping = asyncio.create_task(journal.note(fetched=7))
        await asyncio.wait({stepping}, timeout=PATIENCE)

        assert stepping.done()
        assert (await b.run(run.id)).fetched == 7


async def test_a_wait_that_cannot_be_told_is_waited_all_the_same(database_url: str) -> None:
    async with _journal(database_url) as (_, journal, losing):
        losing.commits = 1

        await journal.tell_wait(Wait(seconds=60, reason="ServiceNow asks to wait 60 s"))


async def test_who_is_fenced_off_tells_no_wait_and_gives_nothing_back(database_url: str) -> None:
    async with _journal(database_url) as (b, journal, _):
        await b.change("UPDATE sync_runs SET worker_id = gen_random_uuid(), attempt = attempt + 1")
        before = await b.rows("SELECT * FROM sync_runs")

        with pytest.raises(Fenced):
            await journal.tell_wait(Wait(seconds=60, reason="ServiceNow asks to wait 60 s"))
        async with b.sessions.begin() as session:
            await fence.release(session, journal.claim, handed_over=False)
            moving = await fence.moving_runs(session, [journal.claim], since=utc_now() - LONG)
            done = await fence.was_done(session, journal.claim, step=journal.run.step - 1)

        assert await b.rows("SELECT * FROM sync_runs") == before
        assert (moving, done, await b.events(journal.run.id)) == (set(), False, [])


async def test_a_run_is_taken_from_a_worker_that_is_silent_or_busy_with_something_else(database_url: str) -> None:
    async with _journal(database_url) as (b, journal, _):
        run_id, busy = journal.run.id, [journal.run.id]
        has_it = build_worker(b.components)
        assert journal.run.worker_id is not None
        has_it.id, has_it.busy_with = journal.run.worker_id, lambda: busy
        await has_it._show_life()
        from_one_at_work = await _claimed(b, run_id)
        busy.clear()
        await has_it._show_life()
        from_one_who_forgot = await _claimed(b, run_id)
        assert from_one_who_forgot is not None
        facts = {"worker": from_one_who_forgot.worker_id, "run": run_id}
        await b.change("UPDATE workers SET id = :worker, busy_with = ARRAY[CAST(:run AS uuid)]", **facts)
        await b.change("UPDATE workers SET seen_at = now() - interval '61 seconds'")
        from_one_who_is_silent = await _claimed(b, run_id)

    assert from_one_at_work is None
    assert from_one_who_forgot.attempt == 2
    assert from_one_who_is_silent is not None
    assert (from_one_who_is_silent.attempt, from_one_who_is_silent.started_at) == (3, journal.run.started_at)


async def test_what_is_written_beside_steps_waits_for_a_purge_and_nothing_is_of_who_is_fenced_off(
    database_url: str,
) -> None:
    async with _journal(database_url) as (b, journal, _):
        dataset_id, written = journal.run.dataset_id, []

        async def work(_: AsyncSession) -> None:
            written.append(len(purged))

        purged: list[str] = []
        async with b.sessions.begin() as session:
            await datasets.ensure(session, integration_id=dataset_id, service_name="ServiceNow")
        async with b.sessions.begin() as session:
            await datasets.lock(session, dataset_id)
            writing = asyncio.create_task(journal.beside(work))
            await b.somebody_waits()
            purged.append("INC00001")
        await writing

        for lost in ("integration_id = NULL", "integration_id = dataset_id, attempt = attempt + 1"):
            await b.change(f"UPDATE sync_runs SET {lost}")
            with pytest.raises(Fenced):
                await journal.beside(work)
            with pytest.raises(Fenced):
                await journal.note(events.progress("one"))

        assert (written, await b.events(journal.run.id)) == ([1], [])
