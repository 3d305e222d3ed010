"""The access tokens that connectors are handed."""

import asyncio

from integrations_api.clock import Clock
from integrations_api.connectors.errors import Refused
from integrations_api.connectors.oauth import AccessTokens
from integrations_api.db.engine import Sessions
from integrations_api.egress.guard import EgressPolicy
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.oauth import repository
from integrations_api.oauth.renewal import Renewal
from integrations_api.oauth.stored import Tokens, opened, tokens_of
from integrations_api.oauth.subject import Subject, subject_of
from integrations_api.vault.cipher import Vault

_CREATE_FIRST = "Create the integration, connect it, then test it"
_STORE_FIRST = "Store the edit, then connect the integration"
_AT_ONCE = 2
"""Renewals of one process at the same time: each keeps a database connection while it waits for the server."""


class TokenKeeper:
    """Hands each integration its tokens. A renewal that has begun is finished, even if nobody waits for it any more."""

    def __init__(self, *, sessions: Sessions, vault: Vault, policy: EgressPolicy, clock: Clock) -> None:
        self._sessions = sessions
        self._vault = vault
        self._policy = policy
        self._clock = clock
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._renewals: set[asyncio.Task[Tokens]] = set()

    def tokens_for(self, integration: IntegrationForSync) -> AccessTokens | None:
        """The tokens of an integration that signs in by oauth2; of one that is not stored they are not kept either."""
        subject = subject_of(integration, policy=self._policy)
        if subject is None:
            return None
        return (
            _KeptTokens(self, subject, self._clock) if integration.is_stored else _PassingTokens(subject, self._clock)
        )

    async def find(self, subject: Subject) -> Tokens | None:
        """The stored tokens as they are. Raises `VaultError`."""
        async with self._sessions() as session:
            row = await repository.find_tokens(session, subject.integration_id)
        if row is None or row.application != subject.application.id:
            return None
        return opened(row, self._vault)

    async def renew(self, subject: Subject, *, refused: str | None) -> Tokens:
        """Tokens other than the `refused` one, stored already. Raises `ConnectorError`, `VaultError`."""
        task = asyncio.create_task(self._renewed(subject, refused))
        self._renewals.add(task)
        task.add_done_callback(self._over)
        # A run that is taken away must not take the answer with it: the old refresh token may be used up by then.
        return await asyncio.shield(task)

    async def _renewed(self, subject: Subject, refused: str | None) -> Tokens:
        async with self._at_once:
            renewal = Renewal(subject, sessions=self._sessions, vault=self._vault, clock=self._clock)
            return await renewal.run(refused=refused)

    def _over(self, task: asyncio.Task[Tokens]) -> None:
        self._renewals.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, for whoever asked may have gone.

    async def settle(self) -> None:
        """Waits for the renewals that are going on, seconds at most: what they are told must be stored."""
        await asyncio.gather(*self._renewals, return_exceptions=True)


class _KeptTokens:
    """Those of a stored integration: remembered here, renewed for all processes."""

    def __init__(self, keeper: TokenKeeper, subject: Subject, clock: Clock) -> None:
        self._keeper = keeper
        self._subject = subject
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._known: Tokens | None = None

    async def current(self) -> str:
        if not self._is_good(self._known):
            async with self._one_at_a_time:
                if not self._is_good(self._known):
                    self._known = await self._found()
        assert self._known is not None
        return self._known.access

    async def renewed(self, refused: str) -> str:
        async with self._one_at_a_time:
            if self._known is None or self._known.access == refused or not self._is_good(self._known):
                self._known = await self._keeper.renew(self._subject, refused=refused)
            return self._known.access

    async def _found(self) -> Tokens:
        stored = await self._keeper.find(self._subject)
        if stored is not None and stored.are_good(self._clock()):
            return stored
        return await self._keeper.renew(self._subject, refused=None)

    def _is_good(self, tokens: Tokens | None) -> bool:
        return tokens is not None and tokens.are_good(self._clock())


class _PassingTokens:
    """Those of an integration that is only tried: got by its config, and forgotten with it."""

    def __init__(self, subject: Subject, clock: Clock) -> None:
        self._subject = subject
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._known: Tokens | None = None

    async def current(self) -> str:
        async with self._one_at_a_time:
            if self._known is None or not self._known.are_good(self._clock()):
                self._known = await self._asked()
            return self._known.access

    async def renewed(self, refused: str) -> str:
        async with self._one_at_a_time:
            if self._known is None or self._known.access == refused:
                self._known = await self._asked()
            return self._known.access

    async def _asked(self) -> Tokens:
        if self._subject.application.needs_a_person:
            raise Refused(
                "Somebody has to sign in first, and that can be kept for a stored integration only",
                _STORE_FIRST if self._subject.is_tried else _CREATE_FIRST,
            )
        asked_at = self._clock()
        return tokens_of(await self._subject.requests.by_config(), asked_at=asked_at)
