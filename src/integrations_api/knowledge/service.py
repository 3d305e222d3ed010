"""The knowledge base as its readers know it: datasets, versions, incidents, differences, exports, purging."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy import Row

from integrations_api.access.principal import Principal
from integrations_api.api.pagination import cut
from integrations_api.audit.service import record
from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions
from integrations_api.errors import Conflict, FieldProblem, InvalidInput
from integrations_api.knowledge import presenting, repository
from integrations_api.knowledge.comparing import WordComparison
from integrations_api.knowledge.diffing import DiffPage, DiffQuestion, difference
from integrations_api.knowledge.embedding import Progress, progress
from integrations_api.knowledge.exporting import MEDIA_TYPES, CsvTable, Format, ndjson
from integrations_api.knowledge.lookup import (
    Meant,
    built_upon,
    find_ever,
    find_staged,
    get_dataset,
    get_version,
    meant,
    the_one,
)
from integrations_api.knowledge.presenting import Wire
from integrations_api.knowledge.purge import Purged, purge, refuse_while_running
from integrations_api.knowledge.repository import BEGINNING, ChangeKey, IncidentKey, snapshot

EXPORT_PAGE = 200
"""Incidents in memory at a time while exporting."""

MOST_DIFFS = 3
"""At once in one process: that of two far versions takes seconds, and whoever asks for less needs a connection too."""

SLOW = 1.0
"""Seconds that counting what is embedded may take for everybody who asks: of millions that wait it takes many."""
_TOLD_AGAIN = 5
"""What took longer is told again for so many times as long."""


class Listing(Struct, frozen=True):
    """One page of what was asked for, ready for the wire; `next_key` is None at the end."""

    items: list[Wire]
    next_key: Any


class VersionListing(Struct, frozen=True):
    """Incidents of a version, and the state that version is in."""

    state: str
    incidents: list[Wire]
    next_key: IncidentKey | None


class Difference(Struct, frozen=True):
    """A page of the difference between `base` and `version`; counts are of the whole difference."""

    base: int
    version: int
    counts: dict[str, int]
    matching: int
    changes: list[Wire]
    next_key: IncidentKey | None


class Export(Struct, frozen=True):
    """A version on its way out: the name of the file, its type, and its bytes, made while they are read."""

    filename: str
    media_type: str
    chunks: AsyncIterator[bytes]


class _Count(Struct):
    """How far a dataset was embedded when that was last counted, and until when it is told again."""

    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: Progress | None = None
    told_until: float = 0.0


class KnowledgeService:
    """Reads what was published (or is being built), and removes what must not be kept."""

    def __init__(self, *, sessions: Sessions) -> None:
        self._sessions = sessions
        self._comparing = asyncio.Semaphore(MOST_DIFFS)
        self._counts: defaultdict[UUID, _Count] = defaultdict(_Count)

    async def datasets(self) -> list[Wire]:
        """All datasets, newest first."""
        async with snapshot(self._sessions) as session:
            return [presenting.dataset(row) for row in await repository.datasets(session)]

    async def dataset(self, dataset_id: UUID) -> Wire:
        """One dataset, and how far it is embedded. Raises `NotFound`."""
        async with snapshot(self._sessions) as session:
            shown = presenting.dataset(await get_dataset(session, dataset_id))
        return {**shown, "embedded": presenting.embedded(await self._progress(dataset_id))}

    async def _progress(self, dataset_id: UUID) -> Progress | None:
        """Counted once for all who ask meanwhile; those wait without a connection."""
        count = self._counts[dataset_id]
        async with count.asking:
            began = time.monotonic()
            if began >= count.told_until:
                async with snapshot(self._sessions) as session:
                    count.known = await progress(session, dataset_id)
                took = time.monotonic() - began
                count.told_until = began + took * (1 + _TOLD_AGAIN) if took > SLOW else 0.0
            return count.known

    async def versions(self, dataset_id: UUID, *, below: int | None, limit: int) -> Listing:
        """Versions, newest first; the key to go on is the last one's number. Raises `NotFound`."""
        async with snapshot(self._sessions) as session:
            await get_dataset(session, dataset_id)
            found = await repository.versions(session, dataset_id, below=below, limit=limit + 1)
        page, last = cut(found, limit)
        return Listing([presenting.version(row) for row in page], last.number if last else None)

    async def version(self, dataset_id: UUID, number: int) -> Wire:
        """One version. Raises `NotFound`."""
        async with snapshot(self._sessions) as session:
            return presenting.version(await get_version(session, dataset_id, number))

    async def incidents(
        self, dataset_id: UUID, number: int, *, after: IncidentKey | None, limit: int, tombstones: bool
    ) -> VersionListing:
        """Incidents of a version by number, ascending. Raises `NotFound`."""
        async with snapshot(self._sessions) as session:
            version = await get_version(session, dataset_id, number)
            found = await repository.incidents(
                session, dataset_id, number, after=after or BEGINNING, limit=limit + 1, tombstones=tombstones
            )
        rows = found[:limit]
        more = bool(rows) and rows[0].found > len(rows)
        incidents = [presenting.incident(row, number) for row in rows]
        return VersionListing(version.state, incidents, _key(rows[-1]) if more else None)

    async def incident(self, number: str, *, dataset_id: UUID | None, version: int | None) -> tuple[Wire, str]:
        """One incident or tombstone, and the state of the version that answers.

        Raises `NotFound`, or `Conflict` that lists what the number may mean.
        """
        if dataset_id is None and version is None:
            async with connected(self._sessions) as connection:
                only = await repository.find_only(connection, number)
            if only is not None:
                return presenting.incident(only, only.head), only.state
        async with snapshot(self._sessions) as session:
            one = await meant(session, number, dataset_id=dataset_id, version=version)
            row = await repository.find_incident(session, one.document_id, one.version)
            state = (await get_version(session, one.dataset_id, one.version)).state
        assert row is not None  # found in this very snapshot
        return presenting.incident(row, one.version), state

    async def at_head(self, dataset_id: UUID, external_ids: Sequence[str]) -> dict[str, Wire]:
        """Incidents of the head by external id; those that are not in it are left out, as is all of no dataset."""
        async with snapshot(self._sessions) as session:
            rows = await repository.by_external_id(session, dataset_id, external_ids)
        return {row.external_id: presenting.incident(row, row.changed_in) for row in rows}

    async def history(
        self, number: str, *, dataset_id: UUID | None, version: int | None, before: ChangeKey | None, limit: int
    ) -> tuple[Meant, Listing]:
        """An incident and its content changes, newest first; a key to go on, `before`, names the incident itself."""
        asked = number if before is None else str(before.id)
        async with snapshot(self._sessions) as session:
            one = await meant(session, asked, dataset_id=dataset_id, version=version)
            upto = one.version if before is None else min(before.version - 1, one.version)
            found = await repository.history(session, one.document_id, upto=upto, limit=limit + 1)
        facts = [row._asdict() for row in found]
        entries = [presenting.history_entry(fact, old) for fact, old in zip(facts, [*facts[1:], None], strict=True)]
        # Where there are more, the last of those that were read is not told: what it changed is not known here.
        more = bool(found) and found[0].found > min(len(found), limit)
        told = entries[:-1] if more else entries
        return one, Listing(told, ChangeKey(told[-1]["version"], one.document_id) if more else None)

    async def diff(self, question: DiffQuestion) -> Difference:
        """How a version differs from another. Raises `NotFound` or `InvalidInput`."""
        async with self._comparing, snapshot(self._sessions) as session:
            version = await get_version(session, question.dataset_id, question.version)
            base = question.base
            if base is None:
                base = await built_upon(session, question.dataset_id, version)
            elif base:
                await get_version(session, question.dataset_id, base)
            answer = await difference(session, replace(question, base=base, limit=question.limit + 1))
        return await _shown(answer, base=base, version=question.version, limit=question.limit)

    async def export(
        self, dataset_id: UUID, number: int, *, format_: Format, after: UUID | None, principal: Principal
    ) -> Export:
        """Opens a version for export, from the incident after `after` on, and writes that down in the audit.

        Raises `NotFound`, `Conflict` for a version still being built, `InvalidInput` for an unknown `after`.
        """
        async with self._sessions.begin() as session:
            version = await get_version(session, dataset_id, number)
            if version.state == "building":
                raise Conflict(f"Version {number} is being built: export it when it is published")
            start = BEGINNING
            if after is not None:
                start = await repository.find_key(session, dataset_id, number, after) or _unknown_start()
            details = {"version": number, "format": format_, "after": str(after) if after else None}
            await record(
                session,
                action="knowledge.export",
                object_type="dataset",
                object_id=dataset_id,
                principal=principal,
                details=details,
            )
        chunks = self._lines(dataset_id, number, start) if format_ == "ndjson" else self._csv(dataset_id, number, start)
        return Export(f"incidents-{dataset_id}-v{number}.{format_}", MEDIA_TYPES[format_], chunks)

    async def _lines(self, dataset_id: UUID, number: int, start: IncidentKey) -> AsyncIterator[bytes]:
        async for page in self._pages(dataset_id, number, start):
            yield ndjson(page)

    async def _csv(self, dataset_id: UUID, number: int, start: IncidentKey) -> AsyncIterator[bytes]:
        """A resumed export has the columns of the first one, and no header."""
        table = CsvTable(await self._export_page(dataset_id, number, BEGINNING))
        if start == BEGINNING:
            yield table.header()
        async for page in self._pages(dataset_id, number, start):
            yield table.rows(page)

    async def _pages(self, dataset_id: UUID, number: int, start: IncidentKey) -> AsyncIterator[list[Wire]]:
        page = await self._export_page(dataset_id, number, start)
        while page:
            yield page
            page = await self._export_page(dataset_id, number, IncidentKey(page[-1]["number"], UUID(page[-1]["id"])))

    async def _export_page(self, dataset_id: UUID, number: int, after: IncidentKey) -> list[Wire]:
        async with snapshot(self._sessions) as session:
            # One that is pruned or discarded meanwhile breaks off here, instead of looking whole.
            await get_version(session, dataset_id, number)
            rows = await repository.incidents(session, dataset_id, number, after=after, limit=EXPORT_PAGE)
        return [presenting.incident(row, number) for row in rows]

    async def purge(self, number: str, *, dataset_id: UUID | None, reason: str, principal: Principal) -> Purged:
        """Removes an incident from every version and from all that was staged of it; the audit keeps no text of it.

        What no version ever had (a record that could not be mapped, or of a run that failed) is found by its number or
        the source's own id. Raises `NotFound`, or `Conflict` when the number is not clear or a run of the dataset is
        going on.
        """
        async with self._sessions.begin() as session:
            if dataset_id is not None:
                await get_dataset(session, dataset_id)
            found = await find_ever(session, number, dataset_id=dataset_id)
            one = the_one(number, found or await find_staged(session, number, dataset_id=dataset_id))
            await refuse_while_running(session, one.dataset_id)
            purged = await purge(session, dataset_id=one.dataset_id, document_id=one.id, external_id=one.external_id)
            details = {"dataset": str(one.dataset_id), "reason": reason, "revisions": purged.revisions}
            await record(
                session,
                action="knowledge.purge",
                object_type="incident",
                object_id=one.id,
                principal=principal,
                details=details,
            )
        return purged


def _key(row: Row[Any]) -> IncidentKey:
    return IncidentKey(row.number, row.id)


def _unknown_start() -> NoReturn:
    problem = "is not the id of an incident in this version: give the id of the last whole line, or start anew"
    raise InvalidInput.of([FieldProblem("after", problem)])


async def _shown(answer: DiffPage, *, base: int, version: int, limit: int) -> Difference:
    rows = answer.rows[:limit]
    more = answer.found > len(rows)
    words = WordComparison()
    changes = []
    for row in rows:
        changes.append(presenting.diff_entry(row, words))
        await asyncio.sleep(0)  # Comparing long texts is work: others get their turn between two incidents.
    return Difference(base, version, answer.counts, answer.matching, changes, _key(rows[-1]) if more else None)
