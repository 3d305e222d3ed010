"""Datasets told as stories: each version is what changed in it, written straight into the tables.

    await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": doc(state="Closed")}, {"INC2": gone()})

makes versions 1 to 3. The key is the external id, and the number unless the document gives another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.records import MappedDocument, Note
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import contents, terms
from integrations_api.knowledge.documents import content_of

EPOCH = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Doc:
    """An incident's content; `updated` is the source's stamp."""

    number: str | None
    title: str
    text: str
    notes: Sequence[Note]
    attributes: Mapping[str, Any]
    url: str | None
    updated: datetime


@dataclass(frozen=True, slots=True)
class Gone:
    """The source does not have it any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Touched:
    """Only the source's stamp moved."""

    updated: datetime


Step = Mapping[str, Doc | Gone | Touched]


def doc(
    number: str | None = None,
    *,
    title: str = "Mail is down",
    text: str = "Nobody in the building can send mail.",
    notes: Sequence[Note] = (),
    url: str | None = None,
    updated: datetime = EPOCH,
    **attributes: Any,
) -> Doc:
    """An incident with attributes by keyword."""
    return Doc(number, title, text, notes, {"state": "New", **attributes}, url, updated)


def gone(reason: str = "deleted") -> Gone:
    """A tombstone from here on."""
    return Gone(reason)


def touched(updated: datetime) -> Touched:
    """A new stamp and nothing else."""
    return Touched(updated)


def published_at(version: int) -> datetime:
    """When a story's version was published: a minute after the one before; it was begun 20 seconds earlier."""
    return EPOCH + timedelta(minutes=version)


@dataclass(slots=True)
class _Live:
    number: str
    content_id: int
    is_tombstone: bool
    updated: datetime | None


@dataclass(slots=True)
class Story:
    """A dataset that grows by a version at a time, and what is live in it at its end."""

    sessions: Sessions
    dataset_id: UUID
    last: int = 0
    head: int | None = None
    live: dict[str, _Live] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)

    def id(self, external_id: str) -> UUID:
        """The document's id, also of one that is still to come."""
        return self.ids.setdefault(external_id, uuid4())

    async def version(self, step: Step, *, state: str = "published", kind: str = "sync") -> int:
        """Writes the next version; unless it is published, the head stays where it is."""
        self.last += 1
        async with self.sessions() as session, session.begin():
            await session.execute(_INSERT_VERSION, self._version_row(state, kind))
            counts = {"added": 0, "updated": 0, "deleted": 0, "touched": 0}
            for external_id, change in step.items():
                counts[await self._write(session, external_id, change)] += 1
            if state == "published":
                self.head = self.last
            tombstones = sum(document.is_tombstone for document in self.live.values())
            facts = {"dataset": self.dataset_id, "number": self.last, "head": self.head, "tombstones": tombstones}
            facts |= {"documents": len(self.live) - tombstones, **counts}
            await session.execute(_COUNT_VERSION, facts)
            await session.execute(_COUNT_DATASET, facts)
            if state == "published":
                await terms.count_version(session, dataset_id=self.dataset_id, version=self.last)
        return self.last

    async def live_content(self, external_id: str) -> int:
        """The content of what is live, tombstones included, after somebody else has written."""
        async with self.sessions() as session:
            found: int | None = await session.scalar(_LIVE_CONTENT, {"id": self.id(external_id)})
        assert found is not None
        return found

    def _version_row(self, state: str, kind: str) -> dict[str, Any]:
        return {
            "dataset": self.dataset_id,
            "number": self.last,
            "state": state,
            "kind": kind,
            "parent": self.head,
            "created": published_at(self.last) - timedelta(seconds=20),
            "published": published_at(self.last) if state == "published" else None,
        }

    async def _write(self, session: AsyncSession, external_id: str, change: Doc | Gone | Touched) -> str:
        before = self.live.get(external_id)
        document_id = self.id(external_id)
        if isinstance(change, Doc):
            content_id = await self._content(session, replace(change, number=change.number or external_id))
            after = _Live(change.number or external_id, content_id, is_tombstone=False, updated=change.updated)
            word, reason = "added" if before is None or before.is_tombstone else "updated", None
        else:
            assert before is not None
            word, reason = ("deleted", change.reason) if isinstance(change, Gone) else ("touched", None)
            updated = before.updated if isinstance(change, Gone) else change.updated
            after = _Live(before.number, before.content_id, is_tombstone=word == "deleted", updated=updated)
        facts = {"id": document_id, "dataset": self.dataset_id, "version": self.last, "external": external_id}
        for statement in (_INSERT_DOCUMENT, _CLOSE_REVISION, _INSERT_REVISION):
            await session.execute(
                statement,
                {**facts, "content": after.content_id, "number": after.number, "change": word, "reason": reason,
                 "updated": after.updated},
            )  # fmt: skip
        self.live[external_id] = after
        return word

    async def _content(self, session: AsyncSession, document: Doc) -> int:
        mapped = MappedDocument(
            number=document.number or "",
            title=document.title,
            text=document.text,
            notes=document.notes,
            attributes=document.attributes,
            url=document.url,
        )
        content = content_of(mapped)
        await contents.keep(session, dataset_id=self.dataset_id, contents=[content])
        facts = {"dataset": self.dataset_id, "hash": content.hash}
        content_id: int | None = await session.scalar(_CONTENT_ID, facts)
        assert content_id is not None
        return content_id


async def begin_story(sessions: Sessions, *, service_name: str = "ServiceNow") -> Story:
    """A dataset without a version, whose integration is gone (so that none is needed)."""
    story = Story(sessions, uuid4())
    async with sessions() as session, session.begin():
        await session.execute(
            text("INSERT INTO datasets (id, service_name) VALUES (:id, :name)"),
            {"id": story.dataset_id, "name": service_name},
        )
    return story


async def build_versions(sessions: Sessions, *steps: Step, service_name: str = "ServiceNow") -> Story:
    """A dataset with one published version for each step."""
    story = await begin_story(sessions, service_name=service_name)
    for step in steps:
        await story.version(step)
    return story


_INSERT_VERSION = text("""
    INSERT INTO versions (dataset_id, number, state, kind, parent, created_at, published_at)
    VALUES (:dataset, :number, :state, :kind, :parent, :created, :published)
""")
_COUNT_VERSION = text("""
    UPDATE versions SET added = :added, updated = :updated, deleted = :deleted, documents = :documents
    WHERE dataset_id = :dataset AND number = :number
""")
_COUNT_DATASET = text("""
    UPDATE datasets SET last_version = :number, head = CAST(:head AS integer),
           documents = CASE WHEN :number = CAST(:head AS integer) THEN :documents ELSE documents END,
           tombstones = CASE WHEN :number = CAST(:head AS integer) THEN :tombstones ELSE tombstones END
    WHERE id = :dataset
""")
_INSERT_DOCUMENT = text("""
    INSERT INTO documents (id, dataset_id, external_id) VALUES (:id, :dataset, :external) ON CONFLICT (id) DO NOTHING
""")
_CLOSE_REVISION = text("""
    UPDATE revisions SET valid_to = :version WHERE document_id = :id AND valid_to = 2147483647
""")
_INSERT_REVISION = text("""
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change, reason, source_updated_at)
    VALUES (:id, :version, :dataset, :content, :number, :change, :reason, :updated)
""")
_CONTENT_ID = text("SELECT id FROM contents WHERE dataset_id = :dataset AND hash = :hash")
_LIVE_CONTENT = text("SELECT content_id FROM revisions WHERE document_id = :id AND valid_to = 2147483647")
