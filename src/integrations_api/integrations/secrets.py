"""Keeping the stored secrets: which there are, whether each opens, and moving them to another encryption key."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Select, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.audit import service as audit
from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions
from integrations_api.errors import ConfigurationError, NotFound
from integrations_api.integrations.models import Integration, IntegrationSecret, OAuthTokens
from integrations_api.integrations.pointers import dotted
from integrations_api.vault.cipher import LONGEST_PREFIX, Vault, key_id_of_prefix, sealed_prefix
from integrations_api.vault.errors import UnknownKey, VaultError

BATCH = 200
"""Secrets in one transaction of a rotation: short locks, and little to do again after a crash."""


class SetSecret(Struct, frozen=True):
    """That a secret is set, and since when; never a part of one."""

    name: str
    set_at: datetime


class Progress(Struct, frozen=True):
    """How far a rotation is."""

    rewrapped: int
    remaining: int


class Trouble(Struct, frozen=True):
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
        found = []
        async with self._sessions() as session:
            if await session.get(Integration, integration_id) is None:
                raise NotFound("Integration not found")
            for place in _PLACES:
                question = select(place.path.label("path"), place.table.set_at).order_by(place.path)
                question = question.where(place.table.integration_id == integration_id, place.is_set)
                found += [SetSecret(place.name_of(row.path), row.set_at) for row in await session.execute(question)]
        return found

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
                actor=audit.COMMAND_LINE,
                details={"rewrapped": done},
            )

    async def remaining(self) -> int:
        """How many secrets are not under the first key."""
        count = 0
        async with self._sessions() as session:
            for place in _PLACES:
                question = select(func.count()).where(self._is_old(place))
                count += (await session.execute(question)).scalar_one()
        return count

    async def check(self) -> AsyncGenerator[Trouble | None, None]:
        """Opens every secret; None for one that is well."""
        for place in _PLACES:
            after: tuple[UUID, str] | None = None
            while rows := await self._page(place, after):
                for row in rows:
                    yield self._trouble(place, row)
                after = (rows[-1].integration_id, rows[-1].path)

    async def require_keys(self) -> None:
        """Raises `ConfigurationError` that names a key which stored secrets need and ENCRYPTION_KEYS lacks."""
        needed: set[str | None] = set()
        # By the driver: each start asks, and the first use of a session takes longer than all else that it does then.
        async with connected(self._sessions) as connection:
            for place in _PLACES:
                found = await connection.fetch(place.prefixes(), LONGEST_PREFIX)
                needed |= {key_id_of_prefix(prefix) for (prefix,) in found}
        for key_id in sorted(id_ for id_ in needed if id_ is not None and id_ not in self._vault.key_ids):
            raise ConfigurationError(UnknownKey(key_id).message)

    def _is_old(self, place: "_Place") -> ColumnElement[bool]:
        prefix = sealed_prefix(self._vault.primary_id)
        return place.is_set & (func.substr(place.table.ciphertext, 1, len(prefix)) != literal(prefix))

    async def _rewrap_some(self) -> int:
        count = 0
        async with self._sessions.begin() as session:
            for place in _PLACES:
                question = place.rows().where(self._is_old(place)).limit(BATCH)
                question = question.with_for_update(skip_locked=True, of=place.table)
                secrets = (await session.execute(question)).all()
                for secret in secrets:
                    await self._rewrap(session, place, secret)
                count += len(secrets)
        return count

    async def _rewrap(self, session: AsyncSession, place: "_Place", secret: "_Secret") -> None:
        fresh = self._vault.rewrap(secret.ciphertext, context=place.context_of(secret))
        statement = update(place.table).values(ciphertext=fresh)
        statement = statement.where(place.table.integration_id == secret.integration_id, place.path == secret.path)
        await session.execute(statement)

    async def _page(self, place: "_Place", after: tuple[UUID, str] | None) -> Sequence["_Secret"]:
        question = place.rows().where(place.is_set).order_by(place.table.integration_id, place.path).limit(BATCH)
        if after is not None:
            question = question.where(tuple_(place.table.integration_id, place.path) > after)
        async with self._sessions() as session:
            return (await session.execute(question)).all()

    def _trouble(self, place: "_Place", row: "_Secret") -> Trouble | None:
        try:
            self._vault.open(row.ciphertext, context=place.context_of(row))
        except VaultError as error:
            return Trouble(row.integration_id, place.name_of(row.path), error.message)
        return None


_Secret = Row[UUID, str, bytes]


class _Place(Struct, frozen=True):
    """A table with sealed values, one to an integration and path; how one is named, and what it is bound to."""

    table: type[IntegrationSecret] | type[OAuthTokens]
    path: ColumnElement[str]
    name_of: Callable[[str], str]
    context_of: Callable[[_Secret], str]

    @property
    def is_set(self) -> ColumnElement[bool]:
        return self.table.ciphertext.is_not(None)

    def prefixes(self) -> str:
        """What asks for the beginnings of all that is sealed, so many bytes of each."""
        table = self.table.__tablename__
        return f"SELECT DISTINCT substr(ciphertext, 1, $1) FROM {table} WHERE ciphertext IS NOT NULL"  # nosec B608 # noqa: S608 - our own tables

    def rows(self) -> Select[UUID, str, bytes]:
        return select(self.table.integration_id, self.path.label("path"), self.table.ciphertext)


def context_of(integration_id: UUID, path: str) -> str:
    """The one place a secret belongs to; its ciphertext opens nowhere else."""
    return f"integration_secrets/{integration_id}/{path}"


def tokens_context(integration_id: UUID) -> str:
    """The same for the tokens of an integration."""
    return f"oauth_tokens/{integration_id}"


_PLACES = (
    _Place(
        table=IntegrationSecret,
        path=IntegrationSecret.path.expression,
        name_of=dotted,
        context_of=lambda row: context_of(row.integration_id, row.path),
    ),
    _Place(
        table=OAuthTokens,
        path=literal(""),
        name_of=lambda _: "oauth tokens",
        context_of=lambda row: tokens_context(row.integration_id),
    ),
)
