"""Mapping anew what is stored, when a release maps in another way. See docs/decisions/mapping-versions.md.

It comes first in a run: compared with documents of the old mapping, everything that is fetched would look changed.
A run with the trigger `remap` does nothing else, unless somebody asks for a sync meanwhile.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import Clock
from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.protocol import Connector
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import contents, datasets, remapping, staging, versions
from integrations_api.knowledge.documents import Content
from integrations_api.knowledge.models import RawRecord
from integrations_api.knowledge.remapping import Remapped, StoredDocument
from integrations_api.knowledge.staging import Plan
from integrations_api.knowledge.versions import Chunk
from integrations_api.sync import events, repository
from integrations_api.sync.chunks import chunks_of
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.intake import judged
from integrations_api.sync.journal import Journal, StepResult
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import REMAP, Phase, RunState
from integrations_api.tasks import Turns

Events = AsyncGenerator[LoggedEvent, None]

AFRESH: Mapping[str, Any] = {
    "phase": Phase.STARTING,
    "fetch_state": {},
    "pages": 0,
    "fetched": 0,
    "planned": 0,
    "ingested": 0,
    "updated": 0,
    "unchanged": 0,
    "rejected": 0,
    "version": None,
}
"""A run's columns as they were before it had done anything."""


class Remap:
    """The phases `remapping` and `rewriting` of a run. Each step is a transaction; whoever resumes goes on after it."""

    def __init__(
        self,
        *,
        journal: Journal,
        connector: Connector,
        sessions: Sessions,
        clock: Clock,
        mapping_version: int,
        chunk: int,
    ) -> None:
        self._journal = journal
        self._connector = connector
        self._sessions = sessions
        self._clock = clock
        self._mapping_version = mapping_version
        self._chunk = chunk

    @property
    def is_overtaken(self) -> bool:
        """Whether the run was begun under another mapping, and what it has mapped so far is of no use."""
        run = self._journal.run
        return (
            run.phase in (Phase.REMAPPING, Phase.REWRITING, Phase.FETCHING)
            and (run.mapping_version or 1) != self._mapping_version
        )

    async def start_over(self) -> None:
        """Forgets what the run has read, and lets it begin again under this worker's mapping."""
        run = self._journal.run

        async def work(session: AsyncSession) -> StepResult:
            await session.execute(delete(RawRecord).where(RawRecord.run_id == run.id))
            await staging.discard_staged(session, run.id)
            return StepResult(values=AFRESH)

        await self._journal.step(work)

    async def first_step(self, session: AsyncSession, *, fingerprint: str | None) -> StepResult | None:
        """How the run begins if there is something to map anew, or nothing else to do; None where it is to fetch."""
        if await self._is_due(session, fingerprint=fingerprint):
            await staging.discard_staged(session, self._journal.run.id)
            return self._begun(fingerprint=fingerprint)
        return self._over() if await self._is_all(session) else None

    async def _is_due(self, session: AsyncSession, *, fingerprint: str | None) -> bool:
        """Whether the dataset's head was made by another mapping, from the source that the integration still reads.

        Records of another source are not mapped: their links would lead into the new one. All of it is read anew.
        """
        dataset_id = self._journal.run.dataset_id
        if await datasets.mapping_of(session, dataset_id) == self._mapping_version:
            return False
        last_read = await repository.last_fingerprint(session, self._journal.run)
        went_back_to = await repository.fingerprint_went_back_to(session, dataset_id)
        if {last_read, went_back_to} <= {fingerprint, None}:
            return True
        await datasets.mark_mapping(session, dataset_id, mapping_version=self._mapping_version)
        return False

    def _begun(self, *, fingerprint: str | None) -> StepResult:
        message = f"The mapping has changed: mapping the stored {self._connector.noun} anew..."
        return StepResult(
            events=[events.progress(message)],
            values={
                **AFRESH,
                "phase": Phase.REMAPPING,
                "fetch_state": {"after": ""},
                "fingerprint": fingerprint,
                "mapping_version": self._mapping_version,
            },
        )

    async def map_stored(self) -> Events:
        """Maps stored records page by page, and plans what reads otherwise."""
        while self._journal.run.phase == Phase.REMAPPING:
            for event in await self._map_page():
                yield event
            self._journal.come_to_boundary()

    async def _map_page(self) -> list[LoggedEvent]:
        run = self._journal.run
        async with self._sessions() as session:
            found = await remapping.page(session, run.dataset_id, after=run.fetch_state["after"], limit=self._chunk)
        changes, made, unmapped = await self._changes(found.documents)

        async def work(session: AsyncSession) -> StepResult:
            await contents.keep(session, dataset_id=run.dataset_id, contents=made)
            await remapping.stage(
                session, run_id=run.id, dataset_id=run.dataset_id, first=run.planned + 1, changes=changes
            )
            planned = run.planned + len(changes)
            values: dict[str, Any] = {
                **self._journal.further,
                "fetch_state": {"after": found.after},
                "planned": planned,
                "updated": planned,
                "fetched": run.fetched + len(found.documents),
                "rejected": run.rejected + unmapped,
            }
            if found.after is None:
                values |= {"phase": Phase.REWRITING, "version": await self._begin_version(session, planned)}
            return StepResult(values=values)

        return await self._journal.step(work)

    async def _begin_version(self, session: AsyncSession, planned: int) -> int | None:
        if planned == 0:
            return None
        run = self._journal.run
        return await versions.begin_version(
            session,
            dataset_id=run.dataset_id,
            kind="remap",
            run_id=run.id,
            note=remapping.NOTE,
            mapping_version=self._mapping_version,
        )

    async def _changes(self, documents: Sequence[StoredDocument]) -> tuple[list[Remapped], list[Content], int]:
        """Documents that read otherwise now, their contents, and how many could not be mapped and stay as they are."""
        changes: list[Remapped] = []
        made: list[Content] = []
        unmapped = 0
        turns = Turns()
        for document in documents:
            await turns.pause()
            mapped = await self._mapped(document)
            if mapped is None:
                unmapped += 1
                continue
            number, content = mapped
            if content.hash != document.hash:
                changes.append(Remapped(document, number, content.hash))
                made.append(content)
        return changes, made, unmapped

    async def _mapped(self, document: StoredDocument) -> tuple[str, Content] | None:
        if document.raw is None:
            return None
        try:
            staged = await judged(self._connector.restore(json.loads(document.raw)), self._connector)
        except RecordRejected:
            return None
        if staged.document is None or staged.content is None:
            return None
        return staged.document.number, staged.content

    async def rewrite(self) -> Events:
        """Writes the planned changes and publishes them; then the run ends, or goes on as a sync."""
        for chunk in chunks_of(self._journal.run, self._chunk):
            await self._rewrite_chunk(chunk)
            self._journal.come_to_boundary()
        for event in await self._journal.step(self._publish):
            yield event
        await self._journal.reload()

    async def _rewrite_chunk(self, chunk: Chunk) -> None:
        async def work(session: AsyncSession) -> StepResult:
            await versions.ingest(session, chunk)
            return StepResult(values={**self._journal.further, "ingested": chunk.last})

        await self._journal.step(work)

    async def _publish(self, session: AsyncSession) -> StepResult:
        run = self._journal.run
        at = self._clock().replace(microsecond=0)
        if run.version is None:
            await datasets.mark_mapping(session, run.dataset_id, mapping_version=self._mapping_version)
        else:
            plan = Plan(added=0, updated=run.planned, touched=0, deleted=0, restored=0, seen=run.planned, rejected=0)
            await versions.publish(session, dataset_id=run.dataset_id, version=run.version, plan=plan, at=at)
        warnings = [*run.warnings, *_left_as_they_were(run, self._connector.noun)]
        if await self._is_all(session):
            return self._over(warnings=warnings)
        return StepResult(values={**AFRESH, "warnings": warnings})

    async def _is_all(self, session: AsyncSession) -> bool:
        """Whether no sync is to follow. Read under the fence: who asks for one from now on waits for this step."""
        trigger = await session.scalar(select(SyncRun.trigger).where(SyncRun.id == self._journal.run.id))
        return trigger == REMAP

    def _over(self, **values: Any) -> StepResult:
        run = self._journal.run
        return StepResult(
            events=[events.remapped(run.planned, noun=self._connector.noun, version=run.version)],
            values={
                "state": RunState.SUCCEEDED,
                "phase": Phase.DONE,
                "finished_at": self._clock().replace(microsecond=0),
                "unchanged": run.fetched - run.planned - run.rejected,
                **values,
            },
        )


def _left_as_they_were(run: SyncRun, noun: str) -> list[str]:
    if run.rejected == 0:
        return []
    return [
        f"{run.rejected} stored {noun} could not be mapped anew, for their records are not kept any more, or the new "
        "mapping refuses them: they stay as they were until a sync reads them"
    ]
