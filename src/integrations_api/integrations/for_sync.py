"""What a sync reads of an integration, and what it leaves at it. Every function works in its caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.errors import NotFound
from integrations_api.integrations import repository
from integrations_api.integrations.configs import reassemble
from integrations_api.integrations.models import Integration
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.schemas import columns_of, present
from integrations_api.integrations.secrets import context_of
from integrations_api.vault.cipher import Vault


@dataclass(frozen=True, slots=True)
class IntegrationForSync:
    """An integration as it was when its sync asked; `config` holds the secrets and never shows in a repr."""

    id: UUID
    service_name: str
    auth_type: str
    is_active: bool
    config_revision: int
    public_config: Mapping[str, Any]
    """Secrets as ********, without `lastSynced`."""
    secrets: Mapping[str, str] = field(repr=False)
    """JSON text by the JSON pointer of its place."""
    config: Mapping[str, Any] = field(repr=False)
    """Both together: the whole config for a connector, without `lastSynced`."""
    fingerprint: str | None
    """Of the source this config points to; None for a service there is no connector for."""
    watermark: datetime | None
    needs_full: bool
    last_synced_at: datetime | None
    is_tried: bool = False
    """Whether it is a stored one as an edit would make it: what is refused to it is not refused to what is stored."""

    @classmethod
    def of(cls, row: Integration, secrets: Mapping[str, str]) -> "IntegrationForSync":
        """A row with its secrets."""
        return cls(
            id=row.id,
            service_name=row.service_name,
            auth_type=row.auth_type,
            is_active=row.is_active,
            config_revision=row.config_revision,
            public_config=row.config,
            secrets=secrets,
            config=reassemble(row.config, secrets),
            fingerprint=row.fingerprint,
            watermark=row.watermark,
            needs_full=row.needs_full,
            last_synced_at=row.last_synced_at,
        )

    @property
    def is_stored(self) -> bool:
        """Whether it is more than a config that is only tried."""
        return self.config_revision > 0


class IntegrationReader:
    """Gives integrations with their secrets to those who speak to the sources."""

    def __init__(self, *, vault: Vault) -> None:
        self._vault = vault

    async def load(self, session: AsyncSession, integration_id: UUID) -> IntegrationForSync:
        """An integration with its secrets. Raises `NotFound`, and `VaultError` for a secret that does not open."""
        found = await repository.find_with_secrets(session, integration_id)
        if found is None:
            raise NotFound("Integration not found")
        row, sealed = found
        secrets = {
            path: self._vault.open(ciphertext, context=context_of(integration_id, path))
            for path, ciphertext in sealed.items()
        }
        return IntegrationForSync.of(row, secrets)


async def get(session: AsyncSession, integration_id: UUID) -> Integration:
    """An integration's row as it is now. Raises `NotFound`."""
    found = await repository.find(session, integration_id)
    if found is None:
        raise NotFound("Integration not found")
    return found


async def shown(session: AsyncSession, integration_id: UUID) -> dict[str, Any]:
    """An integration as it leaves once its sync is over. Raises `NotFound`."""
    return present(columns_of(await get(session, integration_id)), running_run_id=None)


async def take_due(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Integrations whose time has come, each given to one caller only; their next time is set with it.

    Both by the database's clock: that of a machine which is ahead, for a moment only, would move the next time on to
    where it is. Times that were missed while nobody looked count as one.
    """
    due = await repository.lock_due(session, limit=limit)
    if not due:
        return []
    now: datetime = (await session.execute(select(func.now()))).scalar_one()
    for row in due:
        schedule = Schedule(cron=row.schedule_cron or "", time_zone=row.schedule_zone or "UTC")
        row.next_sync_at = schedule.next_after(now)
    await session.flush()
    return [row.id for row in due]


async def record_success(
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
    await _write(session, integration_id, values)


async def record_failure(
    session: AsyncSession, integration_id: UUID, *, at: datetime, message: str, pause_after: int
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
    await _write(session, integration_id, values)


async def retell(session: AsyncSession, integration_id: UUID, *, begins: str, message: str) -> None:
    """Says `message` as the error of the last sync, and as why the schedule is paused, where that begins so."""
    told = {"last_sync_error": Integration.last_sync_error, "paused_reason": Integration.paused_reason}
    values = {
        name: case((column.startswith(begins, autoescape=True), message), else_=column) for name, column in told.items()
    }
    await _write(session, integration_id, values)


async def expect_full_sync(session: AsyncSession, integration_id: UUID, *, pause: str) -> bool:
    """Makes the next sync read everything, and pauses the schedule, if there is one, with the reason given.

    Says whether there was one. An integration that was deleted has neither.
    """
    has_schedule = Integration.schedule_cron.is_not(None)
    values = {
        "needs_full": True,
        "paused_reason": case((has_schedule, pause), else_=Integration.paused_reason),
        "next_sync_at": None,
    }
    return await _write(session, integration_id, values) is not None


async def _write(session: AsyncSession, integration_id: UUID, values: Mapping[str, Any]) -> str | None:
    """Gives the schedule, if there is one."""
    statement = update(Integration).where(Integration.id == integration_id).values(**values)
    cron: str | None = await session.scalar(statement.returning(Integration.schedule_cron))
    return cron
