"""Configured connections: the contract's five operations, and what a sync reads and writes of them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from msgspec import Struct
from sqlalchemy import case, func, update
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.pagination import decode_cursor, encode_cursor
from integrations_api.clock import Clock, utc_now
from integrations_api.db.changes import Change, carry_out
from integrations_api.db.direct import Row, connected, transaction
from integrations_api.db.engine import Sessions
from integrations_api.errors import InvalidInput, NotFound, PreconditionFailed
from integrations_api.integrations import repository, statements
from integrations_api.integrations.configs import SplitConfig, reassemble, split, split_edit
from integrations_api.integrations.connection import connected_values, keeps_tokens, may_have_tokens, needs_connection
from integrations_api.integrations.drafts import Draft, draft_of, service_of
from integrations_api.integrations.edits import changes_of, edited_values, is_mere_rename, new_values
from integrations_api.integrations.entries import entry, lost_run
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.integrations.models import Integration
from integrations_api.integrations.repository import Found
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.schemas import IntegrationIn, columns_of, present
from integrations_api.integrations.secrets import context_of
from integrations_api.logs import bind
from integrations_api.vault.cipher import Vault

__all__ = ["IntegrationForSync", "IntegrationService"]

_NOT_FOUND = "Integration not found"

Presented = dict[str, Any]
"""An integration as it leaves: see `schemas.present`."""


class Revised(Struct, frozen=True):
    """An integration as it leaves, and how often its config or schedule was edited: from 1 on, syncs do not count."""

    integration: Presented
    revision: int


class IntegrationService:
    """What people ask for is one short transaction each, committed before it returns.

    What the sync room asks for (it hands over a session) works in the caller's transaction.
    """

    def __init__(self, *, sessions: Sessions, vault: Vault, clock: Clock = utc_now) -> None:
        self._sessions = sessions
        self._vault = vault
        self._clock = clock

    async def list_all(self) -> list[Presented]:
        """Every integration, the newest first."""
        async with connected(self._sessions) as connection:
            rows = await statements.newest_first(connection)
        return [present(row, running_run_id=row["running_run_id"]) for row in rows]

    async def list_page(self, *, limit: int, cursor: str | None) -> tuple[list[Presented], str | None]:
        """A page of them, and the cursor of the next. Raises `InvalidInput` for a cursor that is none of ours."""
        after = None if cursor is None else decode_cursor(cursor, datetime, UUID)
        async with self._sessions() as session:
            found = await repository.newest_first(session, limit=limit + 1, after=after)
        page = found[:limit]
        last = page[-1][0] if len(found) > limit else None
        return [_shown(one) for one in page], None if last is None else encode_cursor(last.created_at, last.id)

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

    def as_if_stored(self, sent: IntegrationIn) -> IntegrationForSync:
        """An integration that is not stored, for a trial. Raises `InvalidInput`; a masked secret is nobody's."""
        draft = draft_of(sent, now=self._clock())
        if draft.missing:
            raise InvalidInput.of(draft.missing)
        taken = split(draft.config, secret_names=draft.secret_names)
        return IntegrationForSync(
            id=uuid4(),
            service_name=draft.service_name,
            auth_type=draft.auth_type,
            is_active=draft.is_active,
            config_revision=0,
            public_config=taken.public,
            config=draft.config,
            fingerprint=draft.fingerprint,
            watermark=draft.last_synced,
            needs_full=False,
            last_synced_at=None,
        )

    async def as_if_edited(self, integration_id: UUID, sent: IntegrationIn) -> IntegrationForSync:
        """A stored integration as an edit would make it, for a trial; a masked secret is the stored one.

        Raises `NotFound`, and `InvalidInput` also where a stored secret would go to another origin.
        """
        draft = draft_of(sent, now=self._clock())
        if draft.missing:
            raise InvalidInput.of(draft.missing)
        async with self._sessions() as session:
            stored = await self.load_for_sync(session, integration_id)
            sealed = await repository.secrets_of(session, integration_id)
        taken = split_edit(
            draft.config,
            secret_names=draft.secret_names,
            stored=sealed.keys(),
            before=stored.public_config,
            same_service=draft.service == service_of(stored.service_name),
        )
        kept = {path: self._vault.open(sealed[path], context=context_of(integration_id, path)) for path in taken.kept}
        return replace(
            stored,
            service_name=draft.service_name,
            auth_type=draft.auth_type,
            public_config=taken.public,
            config=reassemble(taken.public, kept | taken.secrets),
            fingerprint=draft.fingerprint,
        )

    async def set_schedule(
        self,
        integration_id: UUID,
        schedule: Schedule | None,
        *,
        principal: Principal,
        revisions: Collection[int] | None = None,
    ) -> Revised:
        """Sets, replaces or (None) ends a schedule; setting it resumes one that was paused.

        It is an edit: it raises the revision. Raises `NotFound`, and `PreconditionFailed` as `update` does.
        """
        now = self._clock()
        values = {
            "schedule_cron": schedule.cron if schedule else None,
            "schedule_zone": schedule.time_zone if schedule else None,
            "next_sync_at": schedule.next_after(now) if schedule else None,
            "paused_reason": None,
            "failures_in_a_row": 0,
        }
        async with transaction(self._sessions, first=statements.lock(integration_id)) as connection:
            before = await _found(connection, integration_id)
            _refuse_stale(before, revisions)
            values["config_revision"] = before.config_revision + 1
            told = entry("schedule", integration_id, before.service_name, principal, cron=values["schedule_cron"])
            row = await carry_out(connection, statements.replacement(integration_id, values), told)
        return _revised(row, running_run_id=before.running_run_id)

    async def take_due(self, session: AsyncSession, *, now: datetime, limit: int) -> list[UUID]:
        """Integrations whose time has come, each given to one caller only; their next time is set with it.

        Times that were missed while nobody looked count as one.
        """
        due = await repository.lock_due(session, now=now, limit=limit)
        for row in due:
            schedule = Schedule(cron=row.schedule_cron or "", time_zone=row.schedule_zone or "UTC")
            row.next_sync_at = schedule.next_after(now)
        await session.flush()
        return [row.id for row in due]

    async def load_for_sync(self, session: AsyncSession, integration_id: UUID) -> IntegrationForSync:
        """An integration with its secrets. Raises `NotFound`, and `VaultError` for a secret that does not open."""
        row, _ = await self._get(session, integration_id)
        sealed = await repository.secrets_of(session, integration_id)
        secrets = {
            path: self._vault.open(ciphertext, context=context_of(integration_id, path))
            for path, ciphertext in sealed.items()
        }
        return IntegrationForSync(
            id=row.id,
            service_name=row.service_name,
            auth_type=row.auth_type,
            is_active=row.is_active,
            config_revision=row.config_revision,
            public_config=row.config,
            config=reassemble(row.config, secrets),
            fingerprint=row.fingerprint,
            watermark=row.watermark,
            needs_full=row.needs_full,
            last_synced_at=row.last_synced_at,
        )

    async def record_success(
        self,
        session: AsyncSession,
        integration_id: UUID,
        *,
        at: datetime,
        watermark: datetime | None,
        fingerprint: str | None,
        reads_from: datetime | None = None,
    ) -> None:
        """Writes down a sync that succeeded. `fingerprint` is the run's, `reads_from` its start (None: it read all).

        The watermark stays where it is if it is None here, if the integration now points to another source, or if
        an edit moved it back behind `reads_from` while the run was going on.
        """
        same_source = Integration.fingerprint.is_not_distinct_from(fingerprint)
        takes_watermark = same_source
        if reads_from is not None:
            takes_watermark = same_source & ~func.coalesce(Integration.watermark < reads_from, False)
        values: dict[str, Any] = {
            "last_synced_at": at,
            "last_sync_status": "success",
            "last_sync_error": None,
            "shown_last_synced": at,
            "updated_at": at,
            "failures_in_a_row": 0,
            "needs_full": case((same_source, False), else_=Integration.needs_full),
        }
        if watermark is not None:
            values["watermark"] = case((takes_watermark, watermark), else_=Integration.watermark)
        await _write_status(session, integration_id, values)

    async def record_failure(
        self, session: AsyncSession, integration_id: UUID, *, at: datetime, message: str, pause_after: int
    ) -> None:
        """Writes down a sync that failed; what earlier ones reached stays.

        After `pause_after` failures in a row a schedule pauses itself, and says so.
        """
        pauses = Integration.schedule_cron.is_not(None) & (Integration.failures_in_a_row + 1 >= pause_after)
        why = message if pause_after == 1 else f"{pause_after} syncs failed in a row. The last one said: {message}"
        values = {
            "paused_reason": case((pauses, why), else_=Integration.paused_reason),
            "next_sync_at": case((pauses, None), else_=Integration.next_sync_at),
            "last_sync_status": "error",
            "last_sync_error": message,
            "updated_at": at,
            "failures_in_a_row": Integration.failures_in_a_row + 1,
        }
        await _write_status(session, integration_id, values)

    async def expect_full_sync(self, session: AsyncSession, integration_id: UUID, *, pause: str) -> bool:
        """Makes the next sync read everything, and pauses the schedule, if there is one, with the reason given.

        Says whether there was one. An integration that was deleted has neither.
        """
        paused = await session.scalar(
            update(Integration)
            .where(Integration.id == integration_id)
            .values(
                needs_full=True,
                paused_reason=case((Integration.schedule_cron.is_not(None), pause), else_=Integration.paused_reason),
                next_sync_at=None,
            )
            .returning(Integration.schedule_cron)
            .execution_options(synchronize_session=False)
        )
        return paused is not None

    async def present_by_id(self, session: AsyncSession, integration_id: UUID) -> Presented:
        """An integration as it leaves, read in the caller's transaction. Raises `NotFound`."""
        return _shown(await self._get(session, integration_id))

    async def _get(self, session: AsyncSession, integration_id: UUID) -> Found:
        found = await repository.find(session, integration_id)
        if found is None:
            raise NotFound(_NOT_FOUND)
        return found

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
        raise NotFound(_NOT_FOUND)
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


def _revised(row: Row | None, *, running_run_id: UUID | None) -> Revised:
    assert row is not None  # it was written, or found
    return Revised(present(row, running_run_id=running_run_id), row.config_revision)


def _refuse_stale(row: Row, revisions: Collection[int] | None) -> None:
    if revisions is not None and row.config_revision not in revisions:
        raise PreconditionFailed("The integration was changed in the meantime: read it again")


def _shown(found: Found) -> Presented:
    row, running_run_id = found
    return present(columns_of(row), running_run_id=running_run_id)


async def _write_status(session: AsyncSession, integration_id: UUID, values: Mapping[str, Any]) -> None:
    statement = update(Integration).where(Integration.id == integration_id).values(**values)
    await session.execute(statement.execution_options(synchronize_session=False))
