"""Many records that may be gone, each of which a source is asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import pytest

from integrations_api.connectors.records import FetchRequest, FetchStart, Gone
from integrations_api.queue.jobs import NotDoneYet
from integrations_api.sync import removals
from integrations_api.sync.runs import ENTRYPOINT
from integrations_api.worker_wiring import build_worker
from tests.support.sources import MemoryConnector
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removals, "AT_ONCE", 2)


async def _lost_five_of_six(b: Bench) -> UUID:
    b.source.fill(6)
    integration = await b.integration()
    await build_worker(b.components).handlers[ENTRYPOINT](str(await b.start(integration)))
    for number in range(1, 6):
        b.source.remove(f"INC{number:05d}")
    return await b.start(integration, mode="full")


async def test_a_run_gets_on_while_it_asks_for_many_that_may_be_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It made no step before all were asked for: where that took longer than SYNC_STALL_TIMEOUT no try could end."""
    async with bench(database_url, workers=0) as b:
        run_id = await _lost_five_of_six(b)
        confirm, steps = MemoryConnector.confirm_gone, []

        async def seen(self: MemoryConnector, suspects: Mapping[str, str]) -> Sequence[Gone]:
            steps.append((await b.run(run_id)).step)
            return await confirm(self, suspects)

        monkeypatch.setattr(MemoryConnector, "confirm_gone", seen)

        await build_worker(b.components).handlers[ENTRYPOINT](str(run_id))

        assert [step - steps[0] for step in steps] == [0, 1, 2]
        assert ((await b.run(run_id)).deleted, list(await b.titles((await b.run(run_id)).dataset_id))) == (
            5,
            ["INC00006"],
        )
        told = [event["message"] for _, event in await b.events(run_id) if "may be gone" in event.get("message", "")]
        assert told == [
            "Asked for 2 of 5 incidents that may be gone...",
            "Asked for 4 of 5 incidents that may be gone...",
        ]


async def test_a_worker_that_is_to_stop_hands_over_between_two_questions(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url, workers=0) as b:
        run_id = await _lost_five_of_six(b)
        worker = build_worker(b.components)
        with monkeypatch.context() as patch:

            async def none_gone(self: MemoryConnector, suspects: Mapping[str, str]) -> Sequence[Gone]:
                worker.on_stop()
                return []

            patch.setattr(MemoryConnector, "confirm_gone", none_gone)
            with pytest.raises(NotDoneYet, match="again in 0 s"):
                await worker.handlers[ENTRYPOINT](str(run_id))

        await build_worker(b.components).handlers[ENTRYPOINT](str(run_id))

        run = await b.run(run_id)
        assert (run.state, run.attempt, run.handovers, run.deleted) == ("succeeded", 2, 1, 5)


async def test_a_record_that_is_deleted_after_it_was_read_is_gone_with_the_next_sync(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete log names it by then, and the source confirms it: one version cannot both change and end it."""
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="Mail is back")
        logged = MemoryConnector.deleted_since

        async def deleted_by_then(self: MemoryConnector, since: datetime) -> Sequence[str] | None:
            b.source.remove("INC00001")
            return await logged(self, since)

        with monkeypatch.context() as patch:
            patch.setattr(MemoryConnector, "deleted_since", deleted_by_then)
            between = await b.sync(integration)
        after = await b.sync(integration)

        assert (between.state, between.updated, between.deleted) == ("succeeded", 1, 0)
        assert (after.state, after.deleted, sorted(await b.titles(integration))) == (
            "succeeded",
            1,
            ["INC00002", "INC00003"],
        )


async def test_where_a_source_is_read_whole_because_its_times_are_not_trusted_what_is_not_there_is_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.remove("INC00001")
        b.source.delete_log.clear()
        start = MemoryConnector.start

        async def from_the_beginning(self: MemoryConnector, request: FetchRequest) -> FetchStart:
            assert request.mode == "incremental"
            return await start(self, FetchRequest("full", None))

        monkeypatch.setattr(MemoryConnector, "start", from_the_beginning)

        run = await b.sync(integration)

        assert (run.mode, run.deleted, run.verdict and run.verdict["state"]) == ("full", 1, "complete")
