"""Workers killed by SIGKILL at each step: another goes on, and the version is the same as without it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from integrations_api.settings import Settings
from integrations_api.simulator.servicenow import AfterPage, ServiceNowInstance, SimulatorServer
from tests.support.gates import gate
from tests.support.long import FULL
from tests.support.processes import PATIENCE, Running, as_environment, nothing_left
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio

STEPS = {
    "first page": "NEW.pages = 1 AND OLD.pages = 0",
    "mid-fetch": "NEW.pages = 3 AND OLD.pages = 2",
    "between fetch and ingest": "NEW.phase = 'comparing' AND OLD.phase = 'fetching'",
    "planned": "NEW.phase = 'ingesting' AND OLD.phase = 'comparing'",
    "mid-ingest": "NEW.ingested >= 40 AND OLD.ingested < 40 AND OLD.ingested > 0",
    "publishing": "NEW.state = 'succeeded'",
}
REMAP_STEPS = {
    "rewriting": "NEW.phase = 'rewriting' AND NEW.ingested >= 40 AND OLD.ingested < 40",
    "mapping": "NEW.phase = 'remapping' AND NEW.planned >= 40 AND OLD.planned < 40",
    "mapped": "NEW.phase = 'rewriting' AND OLD.phase = 'remapping'",
    "published": "NEW.phase = 'starting' AND OLD.phase = 'rewriting'",
}
IN_EVERY_RUN = ("mid-fetch", "publishing")
"""Mid-ingest another worker goes on in every run as well: after one that was stopped there."""
SIGNED_IN = {"username": "integration", "password": "simulator-password"}
CHOSEN = list(STEPS) if FULL else list(IN_EVERY_RUN)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(100, seed=11)) as running:
        yield running


@dataclass
class Scene:
    """An integration to sync, and workers as real processes."""

    bench: Bench
    integration: UUID
    folder: Path
    settings: dict[str, str]

    @contextmanager
    def worker(self) -> Iterator[Running]:
        """One more worker process, ready to take runs."""
        home = self.folder / f"worker{len(list(self.folder.iterdir()))}"
        home.mkdir()
        running = Running(home, "worker", settings=self.settings)
        try:
            running.wait_to_say("worker.started")
            yield running
        finally:
            running.close()
            nothing_left(home)

    async def nobody_was_heard_of(self) -> None:
        """The silence after which a worker's runs go on elsewhere is over at once for those that were killed."""
        await self.bench.change("UPDATE workers SET seen_at = seen_at - interval '1 day'")
        await self.bench.change("UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 day'")

    async def content(self, version: int, *, of: UUID | None = None) -> list[Any]:
        """Everything a version of the integration says, but not when it was made."""
        return await self.bench.rows(
            """
            SELECT d.external_id, r.number, r.change, r.source_updated_at, encode(c.hash, 'hex') AS hash, c.title,
                   c.notes::text
            FROM revisions r JOIN documents d ON d.id = r.document_id JOIN contents c ON c.id = r.content_id
            WHERE r.dataset_id = :id AND r.valid_from <= :v AND :v < r.valid_to ORDER BY d.external_id
            """,
            id=of or self.integration,
            v=version,
        )


@asynccontextmanager
async def _scene(
    database_url: str, simulator: SimulatorServer, folder: Path, *, silence: int = 60
) -> AsyncIterator[Scene]:
    host = simulator.url.partition("//")[2]
    values: dict[str, Any] = {
        "egress_allowed_hosts": (host,),
        "sync_page_size": 20,
        "sync_chunk_size": 20,
        "worker_silence": silence,
    }
    async with bench(database_url, workers=0, in_memory=False, **values) as b:
        integration = await b.integration(url=simulator.url, **SIGNED_IN)
        yield Scene(bench=b, integration=integration, folder=folder, settings=as_environment(b.components[Settings]))


@pytest.mark.parametrize("step", CHOSEN)
async def test_another_worker_goes_on_after_a_kill(
    step: str, database_url: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    async with _scene(database_url, simulator, tmp_path) as scene:
        async with gate(database_url, when=STEPS[step]) as closed:
            with scene.worker() as first:
                run_id = await scene.bench.start(scene.integration)
                await closed.reached()
                first.tell(signal.SIGKILL)
            await closed.open()
        await scene.nobody_was_heard_of()
        with scene.worker():
            run = await scene.bench.finished(run_id)

        assert (run.state, run.attempt, run.added, run.version) == ("succeeded", 2, 100, 1)
        content = await scene.content(1)
        columns = ("sys_id", "number", "short_description", "sys_updated_on")
        table = {tuple(row[name] for name in columns) for row in simulator.instance.listing()}
        stored = {(r.external_id, r.number, r.title, f"{r.source_updated_at:%Y-%m-%d %H:%M:%S}") for r in content}
        assert stored == table
        events = await scene.bench.events(run_id)
        named = [number for name, data in events if name == "progress" for number in data.get("incidents", [])]
        assert named == sorted(row.number for row in content)
        assert [data["batch"] for name, data in events if data.get("batch")] == list(range(1, 21))
        assert run.verdict is not None
        assert run.verdict["state"] == "complete"
        ends = await scene.bench.rows("SELECT actor, details FROM audit_entries WHERE action = 'sync.end'")
        assert [(end.actor, end.details["run_id"]) for end in ends] == [("worker", str(run_id))]


@pytest.mark.parametrize("step", list(REMAP_STEPS)[: None if FULL else 1])
async def test_stored_records_are_mapped_anew_once_whenever_the_worker_is_killed(
    step: str, database_url: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    async with _scene(database_url, simulator, tmp_path) as scene:
        scene.bench.start_worker()
        await scene.bench.sync(scene.integration)
        await scene.bench.stop_workers()
        mapped = await scene.content(1)
        await scene.bench.change("UPDATE datasets SET mapping_version = 0")
        await scene.bench.change("UPDATE contents SET title = 'As it was', hash = decode(md5(id::text), 'hex')")

        async with gate(database_url, when=REMAP_STEPS[step]) as closed:
            with scene.worker() as first:
                run_id = await scene.bench.start(scene.integration)
                await closed.reached()
                first.tell(signal.SIGKILL)
            await closed.open()
        await scene.nobody_was_heard_of()
        with scene.worker():
            run = await scene.bench.finished(run_id)

        assert (run.state, run.attempt, run.updated, run.version) == ("succeeded", 2, 0, None)
        versions = await scene.bench.rows("SELECT number, kind, state, updated FROM versions ORDER BY number")
        assert [tuple(row) for row in versions] == [(1, "sync", "published", 0), (2, "remap", "published", 100)]
        said = [(row.external_id, row.number, row.hash) for row in await scene.content(2)]
        assert said == [(row.external_id, row.number, row.hash) for row in mapped]


async def test_a_run_that_was_killed_while_queued_is_taken_by_the_next_worker(
    database_url: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    async with _scene(database_url, simulator, tmp_path) as scene:
        run_id = await scene.bench.start(scene.integration)
        await scene.bench.change("DELETE FROM pgqueuer")

        with scene.worker():
            run = await scene.bench.finished(run_id)

        assert (run.state, run.attempt) == ("succeeded", 1)


async def test_a_worker_that_was_stopped_comes_back_to_no_effect_and_a_third_finishes_after_the_second_is_killed(
    database_url: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    async with _scene(database_url, simulator, tmp_path, silence=5) as scene:
        async with gate(database_url, when=STEPS["mid-ingest"]) as closed:
            with scene.worker() as first:
                run_id = await scene.bench.start(scene.integration)
                await closed.reached()
                first.tell(signal.SIGSTOP)
                await closed.open()
                with _held_at_the_count(simulator) as held, scene.worker() as second:
                    assert await asyncio.to_thread(held.wait, PATIENCE)
                    first.tell(signal.SIGCONT)
                    await asyncio.to_thread(first.wait_to_say, "sync.(fenced_off|let_go)")
                    second.tell(signal.SIGKILL)
                first.tell(signal.SIGTERM)
                assert first.wait() == 0
        with scene.worker() as third:
            run = await scene.bench.finished(run_id)
            undisturbed = await scene.bench.integration(url=simulator.url, **SIGNED_IN)
            await scene.bench.sync(undisturbed)
            third.tell(signal.SIGTERM)
            assert third.wait() == 0

        assert (run.state, run.attempt, run.version, run.added) == ("succeeded", 3, 1, 100)
        assert await scene.content(1) == await scene.content(1, of=undisturbed)
        batches = [data["batch"] for _, data in await scene.bench.events(run_id) if data.get("batch")]
        assert batches == list(range(1, 21))
        # A job for each of the two runs: none was deleted while somebody had it, and made anew by the sweep.
        assert len(await scene.bench.rows("SELECT DISTINCT job_id FROM pgqueuer_log")) == 2


@contextmanager
def _held_at_the_count(simulator: SimulatorServer) -> Iterator[Event]:
    """Set once somebody asks the source anything (after the ingest: the count), which is not answered meanwhile."""
    reached, go_on = Event(), Event()

    def hold(_: int) -> None:
        reached.set()
        go_on.wait(PATIENCE)

    simulator.add_fault(AfterPage(hold, on="any"))
    try:
        yield reached
    finally:
        simulator.faults.clear()
        go_on.set()
