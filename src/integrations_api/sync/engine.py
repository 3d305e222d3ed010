"""The way of one sync: fetch, compare, ingest, publish. An async generator of the events it has committed.

Each phase ends with a transaction that names the next one, so that whoever resumes goes on where the last commit
was. Network calls come before the transaction that uses their answer.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import assert_never

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import Clock
from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import FetchRequest, FetchStart, Page, SourceCount
from integrations_api.db.engine import Sessions
from integrations_api.integrations import for_sync
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.knowledge import contents, datasets, staging, versions
from integrations_api.knowledge.documents import Content
from integrations_api.knowledge.staging import Plan
from integrations_api.knowledge.versions import Chunk
from integrations_api.logs import get_logger
from integrations_api.metrics import (
    CHANGES_INGESTED,
    RECORDS_FETCHED,
    RECORDS_REJECTED,
    SYNC_PHASE_SECONDS,
    SYNC_RUNS_ENDED,
)
from integrations_api.sync import events, repository
from integrations_api.sync.chunks import chunks_of, made_ready
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.intake import Intake, map_page, take_in_rejected
from integrations_api.sync.journal import Journal, StepResult
from integrations_api.sync.page_writer import PageWriter
from integrations_api.sync.publishing import Brake, end_run, tell_decided
from integrations_api.sync.raw_file import raw_texts_of, write_raw_file
from integrations_api.sync.recording import record_discard
from integrations_api.sync.remap import Remap
from integrations_api.sync.removals import find_gone
from integrations_api.sync.runs import Phase, RunState, choose_mode, is_final

log = get_logger(__name__)

CONFIG_CHANGED = "The source, the filter or the fields of the integration were changed before this sync"
"""Note of a version whose changes need not be the source's: what reads otherwise for it counts as updated."""
MANY = 5000
"""After so many changes the planner is told about them at once: autovacuum may take a minute to come by."""

_BROUGHT_ABOUT = (RunState.SUCCEEDED, RunState.HELD)
"""The ends that the engine itself brings about; whoever brings about another counts it."""

Events = AsyncGenerator[LoggedEvent, None]


class EngineOptions(Struct, frozen=True):
    """Numbers the engine needs, from the settings."""

    batch_size: int
    chunk_size: int
    raw_dump_path: Path | None
    brake: Brake

    @property
    def chunk(self) -> int:
        """Incidents in one transaction: whole batches, so that only the very last batch can be short."""
        return max(1, self.chunk_size // self.batch_size) * self.batch_size


class SyncEngine:
    """Carries out one attempt of one run."""

    def __init__(
        self,
        *,
        journal: Journal,
        connector: Connector,
        integration: IntegrationForSync,
        sessions: Sessions,
        clock: Clock,
        options: EngineOptions,
        mapping_version: int,
    ) -> None:
        self._journal = journal
        self._connector = connector
        self._integration = integration
        self._sessions = sessions
        self._clock = clock
        self._options = options
        self._mapping_version = mapping_version
        self._remap = Remap(
            journal=journal,
            connector=connector,
            sessions=sessions,
            clock=clock,
            mapping_version=mapping_version,
            chunk=options.chunk,
        )

    async def run(self) -> Events:
        """Yields every event after the commit that wrote it. Raises ConnectorError, Fenced, HandOver."""
        if self._remap.is_overtaken:
            await self._remap.start_over()
        while not is_final(self._journal.run.state):
            phase = Phase(self._journal.run.phase)
            with SYNC_PHASE_SECONDS.labels(phase).time():
                async with aclosing(self._carry_out(phase)) as told:
                    async for event in told:
                        yield event
        if self._journal.run.state in _BROUGHT_ABOUT:
            SYNC_RUNS_ENDED.labels(self._journal.run.state).inc()
        if self._journal.run.state == RunState.SUCCEEDED:
            await self._tidy()

    def _carry_out(self, phase: Phase) -> Events:
        match phase:
            case Phase.STARTING:
                return self._begin()
            case Phase.REMAPPING:
                return self._remap.map_stored()
            case Phase.REWRITING:
                return self._remap.rewrite()
            case Phase.FETCHING:
                return self._fetch()
            case Phase.COMPARING:
                return self._compare()
            case Phase.INGESTING:
                return self._ingest()
            case Phase.PUBLISHING:
                return self._publish()
            case Phase.DONE:
                raise AssertionError("a run that is done has no phase to carry out")
            case _:
                assert_never(phase)

    async def _begin(self) -> Events:
        """Undoes what an earlier run left unpublished, and says that the fetch begins, or first a remap."""
        run = self._journal.run

        async def work(session: AsyncSession) -> StepResult:
            await datasets.ensure(
                session,
                integration_id=run.dataset_id,
                service_name=self._integration.service_name,
                mapping_version=self._mapping_version,
            )
            held = await versions.undo_unpublished(session, run.dataset_id)
            await record_discard(session, run.dataset_id, held)
            await tell_decided(session, run.dataset_id, held, "discarded by the sync that came next")
            remap = await self._remap.first_step(session, fingerprint=self._integration.fingerprint)
            if remap is not None:
                return remap
            # Read again, now that the dataset is locked: a rollback may have come between.
            integration = await for_sync.get(session, run.dataset_id)
            asked = await repository.mode_of(session, run.id)
            mode = choose_mode(asked=asked, watermark=integration.watermark, needs_full=integration.needs_full)
            return StepResult(
                events=[events.fetching(self._connector.service, self._connector.noun)],
                values={
                    "phase": Phase.FETCHING,
                    "mode": mode,
                    # Of the config that this connector was opened with: an edit since then ends the run.
                    "fingerprint": self._integration.fingerprint,
                    "mapping_version": self._mapping_version,
                    "reads_from": integration.watermark if mode == "incremental" else None,
                },
            )

        for event in await self._journal.step(work):
            yield event

    async def _fetch(self) -> Events:
        """Reads every page from the committed cursors on, then saves the raw file."""
        if "source_now" not in self._journal.run.fetch_state:
            await self._measure_start()
        start = convert(self._journal.run.fetch_state, FetchStart)
        async with aclosing(self._pages_kept(start)) as kept:
            async for event in kept:
                yield event
        warnings = [*self._journal.run.warnings, *await self._save_raw_file()]
        await self._journal.note(phase=Phase.COMPARING, warnings=warnings)

    async def _pages_kept(self, start: FetchStart) -> Events:
        """Maps each page while those before are being written: that uses different processors."""
        numbered = self._journal.run.fetched
        async with (
            aclosing(self._connector.pages(start, start.lanes)) as pages,
            PageWriter(keep_contents=self._keep_contents, keep_page=self._keep_page) as writer,
        ):
            try:
                async for page in pages:
                    intake = await map_page(page, run=self._journal.run, connector=self._connector, first=numbered)
                    numbered += len(intake.rows)
                    page = replace(page, records=())  # megabytes that nobody needs any more
                    for event in await writer.put(page, intake):
                        yield event
                    if self._journal.stopping():
                        break
            except ConnectorError:
                # What was read before the failure is kept: a resumed run goes on after it.
                for event in await writer.drain():
                    yield event
                raise
            for event in await writer.drain():
                yield event
            self._journal.come_to_boundary()

    async def _measure_start(self) -> None:
        """Measures the next watermark before the first page, and stages again what could not be mapped before."""
        run = self._journal.run
        start = await self._connector.start(FetchRequest(mode=run.mode, since=run.reads_from))
        again = await take_in_rejected(self._sessions, run=run, connector=self._connector)

        async def work(session: AsyncSession) -> StepResult:
            await contents.keep(session, dataset_id=run.dataset_id, contents=again.contents)
            await staging.stage(session, again.rows)
            return StepResult(
                values={
                    "mode": "incremental" if start.since is not None else "full",
                    "fetch_state": to_builtins(start),
                    "next_watermark": start.next_watermark,
                    "source_started_at": start.source_now,
                    "warnings": [*run.warnings, *start.notes],
                }
            )

        await self._journal.step(work)

    async def _keep_contents(self, found: Sequence[Content]) -> None:
        dataset_id = self._journal.run.dataset_id
        await self._journal.beside(lambda session: contents.keep(session, dataset_id=dataset_id, contents=found))

    async def _keep_page(self, page: Page, intake: Intake) -> list[LoggedEvent]:
        """Commits one page: its records, the lane's cursor, the counts."""
        run = self._journal.run
        fetched = run.fetched + len(intake.rows)
        is_further = run.pages > 0 and bool(intake.rows)
        told = [events.progress(f"Fetched {fetched} {self._connector.noun}...")] if is_further else []

        async def work(session: AsyncSession) -> StepResult:
            await staging.stage(session, intake.rows)
            lanes = {**run.fetch_state["lanes"], page.lane: page.cursor}
            return StepResult(
                events=told,
                values={
                    **(self._journal.further if intake.rows else {}),
                    "fetched": fetched,
                    "pages": run.pages + bool(intake.rows),
                    "fetch_state": {**run.fetch_state, "lanes": lanes},
                },
            )

        logged = await self._journal.step(work)
        RECORDS_FETCHED.labels(self._connector.service).inc(len(intake.rows))
        return logged

    async def _save_raw_file(self) -> Sequence[str]:
        path = self._options.raw_dump_path
        if path is None or self._journal.run.fetched == 0:
            return []
        async with aclosing(raw_texts_of(self._journal, self._sessions)) as texts:
            warning = await write_raw_file(path, texts)
        return [warning] if warning else []

    async def _compare(self) -> Events:
        """Tells new, changed, unchanged and gone documents apart, and plans their ingest."""
        run = self._journal.run
        await self._adopt()
        gone = await find_gone(self._sessions, run=run, connector=self._connector, tell=self._tell_asked)

        async def work(session: AsyncSession) -> StepResult:
            plan = await staging.plan(session, run_id=run.id, dataset_id=run.dataset_id, gone=gone)
            version = None
            if plan.makes_a_version:
                version = await versions.begin_version(
                    session, dataset_id=run.dataset_id, kind="sync", run_id=run.id, note=await self._note(session)
                )
            return StepResult(events=self._announce(plan), values={**_counts(plan), "version": version})

        for event in await self._journal.step(work):
            yield event
        RECORDS_REJECTED.labels(self._connector.service).inc(run.rejected)

    async def _tell_asked(self, asked: int, suspects: int) -> None:
        """A step, for a run that asks for thousands of records one by one is not stuck."""
        noun = self._connector.noun
        await self._journal.note(events.progress(f"Asked for {asked} of {suspects} {noun} that may be gone..."))
        self._journal.come_to_boundary()

    async def _note(self, session: AsyncSession) -> str | None:
        """What a reader of the version must know to understand its changes."""
        before = await repository.last_fingerprint(session, self._journal.run)
        return None if before in (None, self._journal.run.fingerprint) else CONFIG_CHANGED

    async def _adopt(self) -> None:
        """An earlier attempt may have been made by a worker of the release before."""
        run = self._journal.run
        if run.attempt > 1:
            await self._journal.beside(lambda session: staging.adopt(session, run.id))

    def _announce(self, plan: Plan) -> list[events.NewEvent]:
        if plan.to_ingest == 0:
            return []
        return [
            events.ingesting(incidents=plan.to_ingest, batch_size=self._options.batch_size, noun=self._connector.noun)
        ]

    async def _ingest(self) -> Events:
        """Writes the planned changes, a chunk a transaction, and tells of every batch that is committed.

        A chunk's documents are written beside that, while the revisions of the one before are.
        """
        await self._adopt()
        chunks = chunks_of(self._journal.run, self._options.chunk)
        async with aclosing(made_ready(chunks, self._keep_documents)) as ready:
            async for chunk in ready:
                for event in await self._ingest_chunk(chunk):
                    yield event
                self._journal.come_to_boundary()
        await self._journal.note(phase=Phase.PUBLISHING)

    async def _keep_documents(self, chunk: Chunk) -> None:
        await self._journal.beside(lambda session: versions.keep_documents(session, chunk))

    async def _ingest_chunk(self, chunk: Chunk) -> Sequence[LoggedEvent]:
        run = self._journal.run

        async def work(session: AsyncSession) -> StepResult:
            numbers = await versions.ingest(session, chunk)
            told = events.batches(
                numbers,
                done=chunk.before,
                total=run.added + run.updated,
                batch_size=self._options.batch_size,
                noun=self._connector.noun,
            )
            return StepResult(events=list(told), values={**self._journal.further, "ingested": chunk.last})

        logged = await self._journal.step(work)
        CHANGES_INGESTED.labels(self._connector.service).inc(len(chunk))
        return logged

    async def _publish(self) -> Events:
        """Makes the version the head, with watermark, verdict, status and the last event in one transaction."""
        source = await self._count_source()
        at = self._clock().replace(microsecond=0)

        async def work(session: AsyncSession) -> StepResult:
            return await end_run(
                session,
                run=self._journal.run,
                source=source,
                at=at,
                brake=self._options.brake,
            )

        for event in await self._journal.step(work):
            yield event

    async def _count_source(self) -> SourceCount:
        until = self._journal.run.source_started_at
        assert until is not None
        try:
            return await self._connector.count(until)
        except ConnectorError as error:
            return SourceCount(total=None, why_unknown=f"the source could not be counted: {error.message}")

    async def _tidy(self) -> None:
        """Keeps one raw record a document. The run is over: what fails here is logged, and done by a later run."""
        run = self._journal.run
        try:
            async with self._sessions.begin() as session:
                await staging.drop_superseded_raw(session, run_id=run.id, dataset_id=run.dataset_id)
                if run.planned >= MANY:
                    await versions.refresh_statistics(session)
        except SQLAlchemyError:
            log.warning("sync.tidy_failed", run_id=str(run.id))


def _counts(plan: Plan) -> dict[str, object]:
    return {
        "phase": Phase.INGESTING,
        "planned": plan.to_ingest + plan.touched + plan.deleted if plan.makes_a_version else 0,
        "added": plan.added,
        "updated": plan.updated,
        "unchanged": plan.unchanged,
        "deleted": plan.deleted,
        "rejected": plan.rejected,
    }
