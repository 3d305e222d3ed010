"""Configured connections: what people ask of them. What syncs do is in `for_sync`."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct
from sqlalchemy.exc import OperationalError

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.pagination import cut, decode_cursor, encode_cursor
from integrations_api.clock import Clock
from integrations_api.db.changes import Change, carry_out
from integrations_api.db.direct import Row, connected, transaction
from integrations_api.db.engine import Sessions, is_contended
from integrations_api.errors import InvalidInput, NotFound, PreconditionFailed
from integrations_api.integrations import statements
from integrations_api.integrations.configs import SplitConfig, split, split_edit
from integrations_api.integrations.connection import connected_values, keeps_tokens, may_have_tokens, needs_connection
from integrations_api.integrations.drafts import Draft, draft_of, service_of
from integrations_api.integrations.edits import changes_of, edited_values, is_mere_rename, new_values
from integrations_api.integrations.entries import entry, lost_run
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.schemas import IntegrationIn, present
from integrations_api.integrations.secrets import context_of
from integrations_api.logs import bind
from integrations_api.vault.cipher import Vault

Presented = dict[str, Any]
"""An integration as it leaves: see `schemas.present`."""


class Revised(Struct, frozen=True):
    """An integration as it leaves, and how often its config or schedule was edited: from 1 on, syncs do not count."""

    integration: Presented
    revision: int


class IntegrationService:
    """Each method is one short transaction, committed before it returns."""

    def __init__(self, *, sessions: Sessions, vault: Vault, clock: Clock) -> None:
        self._sessions = sessions
        self._vault = vault
        self._clock = clock

    async def list_all(self) -> list[Presented]:
        """Every integration, the newest first."""
        async with connected(self._sessions) as connection:
            rows = await statements.newest_first(connection)
        return [_shown(row) for row in rows]

    async def list_page(self, *, limit: int, cursor: str | None) -> tuple[list[Presented], str | None]:
        """A page of them, and the cursor of the next. Raises `InvalidInput` for a cursor that is none of ours."""
        after = None if cursor is None else decode_cursor(cursor, datetime, UUID)
        async with connected(self._sessions) as connection:
            found = await statements.newest_first(connection, limit=limit + 1, after=after)
        page, last = cut(found, limit)
        return [_shown(row) for row in page], encode_cursor(last.created_at, last.id) if last else None

    async def get(self, integration_id: UUID) -> Revised:
        """One integration. Raises `NotFound`."""
        async with connected(self._sessions) as connection:
            row = await _found(connection, integration_id)
        return _revised(row, running_run_id=row.running_run_id)

    async def create(self, sent: IntegrationIn, *, principal: Principal) -> Revised:
        """Stores a new integration. Raises `InvalidInput` that lists what is wrong with the config."""
        now = self._clock()
        draft = draft_of(sent, now=now)
        if draft.missing:
            raise InvalidInput.of(draft.missing)
        taken = split(draft.config, secret_names=draft.secret_names)
        values = new_values(draft, taken, now=now, creator=principal.user_id)
        id_ = values["id"]
        bind(integration_id=str(id_))
        told = entry("create", id_, draft.service_name, principal, config_keys=sorted(taken.public))
        secrets = self._new_secrets(id_, taken, at=now)
        async with connected(self._sessions) as connection:
            row = await carry_out(connection, statements.insertion(values), *secrets, told)
        return _revised(row, running_run_id=None)

    async def update(
        self,
        integration_id: UUID,
        sent: IntegrationIn,
        *,
        principal: Principal,
        revisions: Collection[int] | None = None,
    ) -> Revised:
        """Replaces an integration; edits of one row happen one after the other.

        Raises `NotFound`, `InvalidInput`, and `PreconditionFailed` unless it is at one of the `revisions`, if given.
        """
        now = self._clock()
        draft = draft_of(sent, now=now)
        async with transaction(self._sessions, first=statements.lock(integration_id)) as connection:
            before = await _found(connection, integration_id, secret_paths=True)
            _refuse_stale(before, revisions)
            taken = split_edit(
                draft.config,
                secret_names=draft.secret_names,
                stored=before.secret_paths,
                before=before.config,
                same_service=draft.service == service_of(before.service_name),
            )
            if draft.missing and not is_mere_rename(before, taken):
                raise InvalidInput.of(draft.missing)
            told = entry("update", integration_id, draft.service_name, principal, **changes_of(before, draft, taken))
            row = await carry_out(connection, *self._edit(before, draft, taken, now=now), told)
        return _revised(row, running_run_id=before.running_run_id)

    async def delete(
        self,
        integration_id: UUID,
        *,
        principal: Principal,
        purge: bool = False,
        revisions: Collection[int] | None = None,
    ) -> None:
        """Removes an integration, its config and its secrets for good, which ends a run that is going on.

        Its dataset stays readable; `purge` (permission knowledge.purge) removes that and the run history too, also
        when the integration was deleted before. Raises `NotFound`, `PermissionDenied`, and `PreconditionFailed` as
        `update` does.
        """
        if purge:
            principal.demand(Permission.KNOWLEDGE_PURGE)
        while True:
            # What others hold is a run that has just begun. It is waited for first the next time, and while it is held
            # no other begins.
            try:
                return await self._delete(integration_id, principal=principal, purge=purge, revisions=revisions)
            except OperationalError as error:
                if not is_contended(error):
                    raise

    async def _delete(
        self, integration_id: UUID, *, principal: Principal, purge: bool, revisions: Collection[int] | None
    ) -> None:
        async with transaction(self._sessions, first=statements.lock_with_run(integration_id)) as connection:
            if purge and await _purge_left_over(connection, integration_id, principal):
                return
            row = await _found(connection, integration_id)
            _refuse_stale(row, revisions)
            told = entry("delete", integration_id, row.service_name, principal, purge=purge)
            await carry_out(connection, statements.removal(integration_id), told)
            if purge:
                await statements.purge_dataset(connection, integration_id)
                if row.running_run_id is not None:
                    await carry_out(connection, lost_run(integration_id, row.running_run_id, principal))

    async def set_schedule(
        self,
        integration_id: UUID,
        schedule: Schedule | None,
        *,
        principal: Principal,
        revisions: Collection[int] | None = None,
    ) -> Revised:
        """Sets, replaces or (None) ends a schedule; setting it resumes one that was paused.

        It is an edit: it raises the revision and moves `updated_at`. Raises `NotFound`, and `PreconditionFailed` as
        `update` does.
        """
        now = self._clock()
        values = {
            "schedule_cron": schedule.cron if schedule else None,
            "schedule_zone": schedule.time_zone if schedule else None,
            "next_sync_at": schedule.next_after(now) if schedule else None,
            "paused_reason": None,
            "failures_in_a_row": 0,
            "updated_at": now,
        }
        async with transaction(self._sessions, first=statements.lock(integration_id)) as connection:
            before = await _found(connection, integration_id)
            _refuse_stale(before, revisions)
            values["config_revision"] = before.config_revision + 1
            told = entry("schedule", integration_id, before.service_name, principal, cron=values["schedule_cron"])
            row = await carry_out(connection, statements.replacement(integration_id, values), told)
        return _revised(row, running_run_id=before.running_run_id)

    def _edit(self, before: Row, draft: Draft, taken: SplitConfig, *, now: datetime) -> list[Change]:
        """What an edit writes, the row first."""
        values, others = edited_values(before, draft, taken, now=now), []
        if not keeps_tokens(before, draft):
            if may_have_tokens(before, draft):
                others.append(statements.tokens_dropped(before.id))
            values |= connected_values(before, needs=needs_connection(draft), now=now)
        others.append(statements.secrets_dropped(before.id, keep=taken.kept | taken.secrets.keys()))
        return [statements.replacement(before.id, values), *others, *self._new_secrets(before.id, taken, at=now)]

    def _new_secrets(self, integration_id: UUID, taken: SplitConfig, *, at: datetime) -> list[Change]:
        sealed = {
            path: self._vault.seal(text, context=context_of(integration_id, path))
            for path, text in taken.secrets.items()
        }
        return [statements.secrets_set(integration_id, sealed, at=at)] if sealed else []


async def _found(connection: asyncpg.Connection, integration_id: UUID, *, secret_paths: bool = False) -> Row:
    row = await statements.find(connection, integration_id, secret_paths=secret_paths)
    if row is None:
        raise NotFound("Integration not found")
    return row


async def _purge_left_over(connection: asyncpg.Connection, integration_id: UUID, principal: Principal) -> bool:
    """Removes the dataset that an integration has left behind; whether there was one."""
    left = await statements.lock_left_over(connection, integration_id)
    if left is None:
        return False
    await statements.purge_dataset(connection, integration_id)
    await carry_out(connection, entry("delete", integration_id, left.service_name, principal, purge=True))
    if left.run_id is not None:
        await carry_out(connection, lost_run(integration_id, left.run_id, principal))
    return True


def _shown(row: Row) -> Presented:
    return present(row, running_run_id=row["running_run_id"])


def _revised(row: Row | None, *, running_run_id: UUID | None) -> Revised:
    assert row is not None  # it was written, or found
    return Revised(present(row, running_run_id=running_run_id), row.config_revision)


_NO_TAG = (
    'If-Match holds no ETag of this service, such as "3": what compresses answers on the way makes it a weak one '
    '(W/"3"), which matches nothing'
)


def _refuse_stale(row: Row, revisions: Collection[int] | None) -> None:
    if revisions is not None and not revisions:
        raise PreconditionFailed(_NO_TAG)
    if revisions is not None and row.config_revision not in revisions:
        raise PreconditionFailed("The integration was changed in the meantime: read it again")
