"""What is planned is written chunk by chunk, the documents of the next one while the revisions of this one are."""

import asyncio
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from integrations_api.knowledge.versions import Chunk
from integrations_api.sync import executor
from integrations_api.sync.chunks import chunks_of, made_ready
from integrations_api.sync.control import RunControl
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.journal import Journal, Work
from integrations_api.sync.models import SyncRun
from tests.support.gates import gate
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


SOMEBODY_WAITS = "SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"


class Preparing:
    """Remembers what was begun and what came to its end; the one that begins with `stuck` never does."""

    def __init__(self, *, stuck: int = 0, broken: int = 0) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self._stuck = stuck
        self._broken = broken

    async def __call__(self, chunk: Chunk) -> None:
        self.begun.append(chunk.first)
        if chunk.first == self._broken:
            raise ConnectionError(chunk.first)
        try:
            await (asyncio.Event().wait() if chunk.first == self._stuck else asyncio.sleep(0))
        finally:
            self.ended.append(chunk.first)


def planned(changes: int, *, ingested: int = 0, version: int | None = 1) -> SyncRun:
    return SyncRun(id=uuid4(), dataset_id=uuid4(), version=version, planned=changes, ingested=ingested)


async def test_the_next_chunk_is_made_ready_while_one_is_used() -> None:
    prepare = Preparing()
    async with aclosing(made_ready(chunks_of(planned(12, ingested=2), 4), prepare)) as ready:
        used = []
        async for chunk in ready:
            await asyncio.sleep(0.01)
            used.append((chunk.first, chunk.last, prepare.ended[-1]))

    assert used == [(3, 6, 7), (7, 10, 11), (11, 12, 11)]


async def test_nothing_is_prepared_where_the_plan_makes_no_version() -> None:
    assert list(chunks_of(planned(12, version=None), 4)) == []
    assert [chunk async for chunk in made_ready([], Preparing())] == []


async def test_what_fails_is_raised_when_its_turn_comes() -> None:
    ready = made_ready(chunks_of(planned(12), 4), Preparing(broken=5))

    assert (await anext(ready)).first == 1
    with pytest.raises(ConnectionError):
        await anext(ready)


async def test_what_is_on_its_way_ends_where_no_more_is_used() -> None:
    prepare = Preparing(stuck=5)
    async with asyncio.timeout(PATIENCE), aclosing(made_ready(chunks_of(planned(12), 4), prepare)) as ready:
        async for _ in ready:
            await asyncio.sleep(0.01)
            break

    assert (prepare.begun, prepare.ended) == ([1, 5], [1, 5])


async def test_documents_written_ahead_by_a_run_that_was_cancelled_are_seen_by_nobody(database_url: str) -> None:
    async with bench(database_url, sync_chunk_size=5) as b:
        b.source.fill(12)
        integration = await b.integration()
        async with gate(database_url, when="NEW.ingested = 5") as closed:
            first = await b.start(integration)
            await closed.reached()
            ahead = await _rows(b, "SELECT 1 FROM documents", at_least=10)
            revisions = await b.rows("SELECT 1 FROM revisions")
            cancelling = asyncio.create_task(b.components[RunControl].cancel(integration, principal=ADMIN))
            await _rows(b, SOMEBODY_WAITS, at_least=1)
            await closed.open()
            await cancelling
        cancelled = await b.finished(first)
        seen = await b.titles(integration)
        second = await b.sync(integration)

        assert (len(ahead), revisions, cancelled.state, seen) == (10, [], "cancelled", {})
        assert (second.added, second.updated, len(await b.titles(integration))) == (12, 0, 12)


async def _rows(b: Bench, statement: str, *, at_least: int) -> list[Any]:
    """What there is once there is so much."""
    async with asyncio.timeout(PATIENCE):
        while len(found := await b.rows(statement)) < at_least:  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.01)
    return found


class LosesAnAnswer(Journal):
    """The first chunk is committed, and nobody hears of it."""

    was_lost = False

    async def _try(self, work: Work) -> list[LoggedEvent]:
        logged = await super()._try(work)
        if self.run.ingested == 5 and not self.was_lost:
            self.was_lost = True
            self.run.step, self.run.ingested = self.run.step - 1, 0
            raise asyncpg.ConnectionDoesNotExistError
        return logged


async def test_a_chunk_whose_commit_was_not_answered_is_written_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "Journal", LosesAnAnswer)
    async with bench(database_url, sync_chunk_size=5) as b:
        b.source.fill(12)
        run = await b.sync(await b.integration())
        batches = [event["batch"] for name, event in await b.events(run.id) if name == "progress" and event["batch"]]

        assert (run.state, run.added, run.ingested, batches) == ("succeeded", 12, 12, [1, 2, 3])


async def test_the_same_holds_where_stored_records_are_mapped_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        b.source.mapping_version = 2
        monkeypatch.setattr(executor, "Journal", LosesAnAnswer)
        await b.duties().start_remap()
        (row,) = await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")
        run = await b.finished(row.id)

        assert (run.state, run.updated, run.ingested, run.version) == ("succeeded", 12, 12, 2)
