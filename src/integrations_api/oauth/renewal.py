"""One renewal of an integration's tokens, by the one process that holds the lock of their row.

The lock is held from before the question to the authorization server until its answer is stored; the others wait for
that, seconds at most, and find the new token. So a refresh token that rotates is used once. docs/decisions/oauth.md
tells what happens when a process dies in between.
"""

import asyncio
from datetime import timedelta

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import Clock
from integrations_api.connectors.errors import Refused, Retryable
from integrations_api.connectors.token_answers import LONGEST_REQUEST, GrantRefused, TokenAnswer
from integrations_api.db.engine import Sessions, cause_of, is_lost_connection
from integrations_api.integrations.applications import application_of
from integrations_api.integrations.repository import find as find_integration
from integrations_api.logs import get_logger
from integrations_api.oauth import repository
from integrations_api.oauth.losing import mark_lost, words_for
from integrations_api.oauth.stored import Tokens, opened, sealed, tokens_of
from integrations_api.oauth.subject import Subject
from integrations_api.vault.cipher import Vault

log = get_logger(__name__)

LOCK_PATIENCE = LONGEST_REQUEST + timedelta(seconds=5)
"""How long the lock is waited for, and how long a process that stands still can keep it."""
STORE_PATIENCE = timedelta(seconds=30)
"""How long an answer is tried to be stored while the database is away: its refresh token may be the only good one."""


class Renewal:
    """Used once: `run`."""

    def __init__(self, subject: Subject, *, sessions: Sessions, vault: Vault, clock: Clock) -> None:
        self._subject = subject
        self._id = subject.integration_id
        self._sessions = sessions
        self._vault = vault
        self._clock = clock
        self._generation = 0
        self._had_refresh_token = False
        self._known_reason: str | None = None
        self._got: Tokens | None = None

    async def run(self, *, refused: str | None) -> Tokens:
        """Tokens other than the `refused` one: those another process has got meanwhile, else new ones.

        Raises `ConnectorError`, and `VaultError` where what is stored does not open.
        """
        await self._ensure_row()
        try:
            tokens = await self._under_lock(refused)
        except (DBAPIError, OSError) as error:
            if isinstance(cause_of(error), asyncpg.LockNotAvailableError):
                raise Retryable("Another process is renewing the access at this moment") from None
            if self._got is None or not is_lost_connection(error):
                raise
            tokens = await self._stored_late(self._got)
        if tokens is not None:
            return tokens
        why = self._known_reason or words_for(
            self._subject, generation=self._generation, had_refresh_token=self._had_refresh_token
        )
        await mark_lost(self._sessions, self._subject, why=why, generation=self._generation)
        raise self._subject.needs_connection(why)

    async def _ensure_row(self) -> None:
        async with self._sessions.begin() as session:
            application = self._subject.application.id
            if not await repository.ensure_tokens_row(session, self._id, application=application):
                raise Refused("The integration was deleted")

    async def _under_lock(self, refused: str | None) -> Tokens | None:
        """None where somebody has to sign in."""
        written = False
        async with self._sessions.begin() as session:
            row = await repository.lock_tokens(session, self._id, patience=LOCK_PATIENCE)
            await self._require_unedited(session)
            if row is None:  # An edit has just dropped it.
                raise Retryable("The configuration is being changed at this moment")
            held = opened(row, self._vault) if row.application == self._subject.application.id else None
            if held is not None and held.access != refused and held.are_good(self._clock()):
                return held
            self._generation, self._had_refresh_token = row.generation, held is not None and held.refresh is not None
            asked_at = self._clock()
            answer = await self._asked(held)
            if answer is not None:
                self._got = tokens_of(answer, asked_at=asked_at, refresh=held.refresh if held else None)
            if answer is not None or held is not None:
                written = await self._write(session, self._got)
        self._generation += written  # Not before it is committed: else what is lost there would not be stored again.
        return self._got

    async def _require_unedited(self, session: AsyncSession) -> None:
        """A run goes on with the config it began with; its tokens must not take the place of the new one's."""
        row = await find_integration(session, self._id)
        application = None if row is None else application_of(row.service_name, row.auth_type, row.config)
        if application is None or application.id != self._subject.application.id:
            raise Refused("The configuration was changed in the meantime", "Sync again, with the new configuration")
        self._known_reason = row.needs_connection if row else None

    async def _asked(self, held: Tokens | None) -> TokenAnswer | None:
        """What the server gives; None where it gives nothing more without a person."""
        requests, needs_a_person = self._subject.requests, self._subject.application.needs_a_person
        if held is not None and held.refresh is not None:
            try:
                return await requests.by_refresh_token(held.refresh)
            except GrantRefused:
                if self._subject.is_tried:
                    raise  # What was sent may be wrong, and what is stored is kept until that is refused.
                if needs_a_person:
                    return None
        return None if needs_a_person else await requests.by_config()

    async def _write(self, session: AsyncSession, tokens: Tokens | None) -> bool:
        """Stores new tokens, or (None) that the old ones are good for nothing; not where others did so since."""
        return await repository.write_tokens(
            session,
            self._id,
            application=self._subject.application.id,
            ciphertext=None if tokens is None else sealed(tokens, self._id, self._vault),
            renew_at=None if tokens is None else tokens.renew_at,
            after_generation=self._generation,
        )

    async def _stored_late(self, tokens: Tokens) -> Tokens:
        """Stores an answer whose transaction was lost with its connection, unless somebody has got newer tokens."""
        log.warning("oauth.stored_late", integration_id=str(self._id))
        async with asyncio.timeout(STORE_PATIENCE.total_seconds()):
            while True:
                try:
                    async with self._sessions.begin() as session:
                        if await self._write(session, tokens):
                            return tokens
                        row = await repository.find_tokens(session, self._id)
                    # Either ours were stored after all, or another process was faster.
                    return (opened(row, self._vault) if row else None) or tokens
                except (DBAPIError, OSError) as error:
                    if not is_lost_connection(error):
                        raise
                    await asyncio.sleep(0.5)
