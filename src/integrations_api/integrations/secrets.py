"""Keeping the stored secrets: which there are, whether each opens, and moving them to another encryption key."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.audit import service as audit
from integrations_api.db.engine import Sessions
from integrations_api.errors import ConfigurationError, NotFound
from integrations_api.integrations.models import Integration, IntegrationSecret
from integrations_api.integrations.pointers import dotted
from integrations_api.vault.cipher import LONGEST_PREFIX, Vault, key_id_of_prefix, sealed_prefix
from integrations_api.vault.errors import UnknownKey, VaultError

BATCH = 200
"""Secrets in one transaction of a rotation: short locks, and little to do again after a crash."""


@dataclass(frozen=True, slots=True)
class SetSecret:
    """That a secret is set, and since when; never a part of one."""

    name: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rotation is."""

    rewrapped: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A secret that does not open, and why."""

    integration_id: UUID
    name: str
    reason: str


class SecretKeeper:
    """Works on all integrations' secrets; no plaintext of one is ever made but by `check`, which forgets it at once."""

    def __init__(self, *, sessions: Sessions, vault: Vault) -> None:
        self._sessions = sessions
        self._vault = vault

    async def names(self, integration_id: UUID) -> Sequence[SetSecret]:
        """Which secrets of an integration are set, by name. Raises `NotFound`."""
        question = select(IntegrationSecret.path, IntegrationSecret.set_at)
        question = question.where(IntegrationSecret.integration_id == integration_id).order_by(IntegrationSecret.path)
        async with self._sessions() as session:
            if await session.get(Integration, integration_id) is None:
                raise NotFound("Integration not found")
            return [SetSecret(dotted(row.path), row.set_at) for row in await session.execute(question)]

    async def rotate(self) -> AsyncIterator[Progress]:
        """Re-wraps every secret that is not under the first key, batch by batch, while the service goes on.

        Broken off, it goes on where it was: what remains is asked of the rows. A secret that is edited meanwhile is
        under the first key by that. Raises `VaultError` for one that does not open.
        """
        done, before = 0, await self.remaining()
        yield Progress(0, before)
        while count := await self._rewrap_some():
            done += count
            yield Progress(done, await self.remaining())
        async with self._sessions.begin() as session:
            await audit.record(
                session,
                action="secrets.rotate",
                object_type="encryption_key",
                object_id=self._vault.primary_id,
                actor="command line",
                details={"rewrapped": done},
            )

    async def remaining(self) -> int:
        """How many secrets are not under the first key."""
        async with self._sessions() as session:
            return await session.scalar(select(func.count()).where(self._is_old())) or 0

    async def check(self) -> AsyncIterator[Trouble | None]:
        """Opens every secret; None for one that is well."""
        after: tuple[UUID, str] | None = None
        while rows := await self._page(after):
            for row in rows:
                yield self._trouble(row)
            after = (rows[-1].integration_id, rows[-1].path)

    async def require_keys(self) -> None:
        """Raises `ConfigurationError` that names a key which stored secrets need and ENCRYPTION_KEYS lacks."""
        head = func.substr(IntegrationSecret.ciphertext, 1, LONGEST_PREFIX)
        async with self._sessions() as session:
            needed = {key_id_of_prefix(found) for found in await session.scalars(select(head).distinct())}
        for key_id in sorted(id_ for id_ in needed if id_ is not None and id_ not in self._vault.key_ids):
            raise ConfigurationError(UnknownKey(key_id).message)

    def _is_old(self) -> ColumnElement[bool]:
        prefix = sealed_prefix(self._vault.primary_id)
        return func.substr(IntegrationSecret.ciphertext, 1, len(prefix)) != literal(prefix)

    async def _rewrap_some(self) -> int:
        async with self._sessions.begin() as session:
            question = select(IntegrationSecret).where(self._is_old()).limit(BATCH)
            secrets = (await session.scalars(question.with_for_update(skip_locked=True))).all()
            for secret in secrets:
                await self._rewrap(session, secret)
        return len(secrets)

    async def _rewrap(self, session: AsyncSession, secret: IntegrationSecret) -> None:
        context = context_of(secret.integration_id, secret.path)
        same = (IntegrationSecret.integration_id == secret.integration_id) & (IntegrationSecret.path == secret.path)
        fresh = self._vault.rewrap(secret.ciphertext, context=context)
        statement = update(IntegrationSecret).where(same).values(ciphertext=fresh)
        await session.execute(statement.execution_options(synchronize_session=False))

    async def _page(self, after: tuple[UUID, str] | None) -> Sequence[Row[UUID, str, bytes]]:
        place = tuple_(IntegrationSecret.integration_id, IntegrationSecret.path)
        question = select(IntegrationSecret.integration_id, IntegrationSecret.path, IntegrationSecret.ciphertext)
        question = question.order_by(IntegrationSecret.integration_id, IntegrationSecret.path).limit(BATCH)
        if after is not None:
            question = question.where(place > after)
        async with self._sessions() as session:
            return (await session.execute(question)).all()

    def _trouble(self, row: Row[UUID, str, bytes]) -> Trouble | None:
        try:
            self._vault.open(row.ciphertext, context=context_of(row.integration_id, row.path))
        except VaultError as error:
            return Trouble(row.integration_id, dotted(row.path), error.message)
        return None


def context_of(integration_id: UUID, path: str) -> str:
    """The one place a secret belongs to; its ciphertext opens nowhere else."""
    return f"integration_secrets/{integration_id}/{path}"
