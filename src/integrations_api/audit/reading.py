"""Reading the record: filtered pages, newest first, and exports, oldest first."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, select

from integrations_api.api.pagination import cut, decode_cursor, encode_cursor
from integrations_api.audit.models import AuditEntry
from integrations_api.audit.service import Who, record
from integrations_api.clock import to_wire
from integrations_api.db.engine import Sessions
from integrations_api.json_lines import on_one_line

EXPORT_PAGE = 1000


class AuditFilter(Struct, frozen=True):
    """Which entries are asked for; None does not narrow. `since` belongs to the time asked for, `until` does not."""

    actor: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    actions: Collection[str] | None = None

    def question(self) -> Select[AuditEntry]:
        """The entries, in no order yet."""
        question = select(AuditEntry)
        for column in (AuditEntry.actor, AuditEntry.action, AuditEntry.object_type, AuditEntry.object_id):
            wanted = getattr(self, column.key)
            if wanted is not None:
                question = question.where(column == wanted)
        if self.actions is not None:
            question = question.where(AuditEntry.action.in_(self.actions))
        if self.since is not None:
            question = question.where(AuditEntry.at >= self.since)
        if self.until is not None:
            question = question.where(AuditEntry.at < self.until)
        return question


class AuditReader:
    """Short transactions each; an export holds none between its pages."""

    def __init__(self, *, sessions: Sessions) -> None:
        self._sessions = sessions

    async def page(
        self, wanted: AuditFilter, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[dict[str, Any]], str | None]:
        """Entries, newest first, and the cursor of the next page. Raises `InvalidInput` for a cursor none of ours."""
        question = wanted.question().order_by(AuditEntry.id.desc()).limit(limit + 1)
        if cursor is not None:
            question = question.where(AuditEntry.id < decode_cursor(cursor, int)[0])
        async with self._sessions() as session:
            found = (await session.scalars(question)).all()
        page, last = cut(found, limit)
        return [on_the_wire(entry) for entry in page], encode_cursor(last.id) if last else None

    async def export(self, wanted: AuditFilter, *, by: Who) -> AsyncIterator[bytes]:
        """All entries as lines of JSON, oldest first; that somebody asked is one of them."""
        async with self._sessions.begin() as session:
            await record(session, action="audit.export", object_type="audit", object_id=None, principal=by)
        return self._lines(wanted)

    async def _lines(self, wanted: AuditFilter) -> AsyncIterator[bytes]:
        after = 0
        while True:
            question = wanted.question().where(AuditEntry.id > after).order_by(AuditEntry.id).limit(EXPORT_PAGE)
            async with self._sessions() as session:
                page = (await session.scalars(question)).all()
            if not page:
                return
            yield b"".join(on_one_line(on_the_wire(one)) + b"\n" for one in page)
            after = page[-1].id


def on_the_wire(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it leaves."""
    return {
        "id": entry.id,
        "at": to_wire(entry.at),
        "actor": entry.actor,
        "actor_id": None if entry.actor_id is None else str(entry.actor_id),
        "credential": entry.credential,
        "action": entry.action,
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "details": entry.details,
        "request_id": entry.request_id,
        "address": entry.address,
    }
