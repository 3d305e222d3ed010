"""Tickets for a browser's EventSource, which sends no bearer token: each for one run, first used within a minute."""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from integrations_api.access.one_time import digest_of
from integrations_api.access.principal import Principal
from integrations_api.access.service import AccessService
from integrations_api.clock import Clock
from integrations_api.db.engine import Sessions
from integrations_api.errors import NotFound, Unauthenticated
from integrations_api.sync import repository
from integrations_api.sync.models import StreamTicket

FIRST_USE = timedelta(seconds=60)
LIFETIME = timedelta(hours=24)
"""How long a ticket that was used in time serves reconnects."""
PREFIX = "iat_"
"""Recognisable, so that logs and scanners can mask it."""


class GivenTicket(Struct, frozen=True):
    """A ticket as it is shown, once."""

    text: str
    first_use_within: timedelta


class Tickets:
    """Gives tickets out and takes them; only their hashes are stored."""

    def __init__(self, *, sessions: Sessions, access: AccessService, clock: Clock) -> None:
        self._sessions = sessions
        self._access = access
        self._clock = clock

    async def give(self, run_id: UUID, *, principal: Principal) -> GivenTicket:
        """A new ticket for a run. Raises `NotFound`, and `Unauthenticated` for an API key that has ended meanwhile."""
        generation = await self._access.generation_of(principal.user_id)
        text = PREFIX + secrets.token_urlsafe(32)
        ticket = StreamTicket(
            hash=digest_of(text),
            run_id=run_id,
            user_id=principal.user_id,
            token_generation=generation,
            api_key_id=principal.api_key_id,
            expires_at=principal.expires_at,
            created_at=self._clock(),
        )
        try:
            async with self._sessions.begin() as session:
                if await repository.find_run(session, run_id) is None:
                    raise NotFound("Sync run not found")
                session.add(ticket)
        except IntegrityError:  # The run or the key was deleted while we looked at it.
            if principal.api_key_id is not None:
                await self._access.recognise_key(principal.api_key_id, credential=principal.credential)
            raise NotFound("Sync run not found") from None
        return GivenTicket(text=text, first_use_within=FIRST_USE)

    async def redeem(self, text: str, *, run_id: UUID | None) -> Principal:
        """Who the ticket stands for, with the permissions he has now. Raises `Unauthenticated`, also without a run.

        A ticket ends with the token or the API key that it was asked for with.
        """
        now = self._clock()
        async with self._sessions.begin() as session:
            ticket = await session.get(StreamTicket, digest_of(text))
            if ticket is None or ticket.run_id != run_id or not _is_good(ticket, now):
                raise Unauthenticated("The ticket is not valid for this run or has expired: ask for a new one")
            if ticket.used_at is None:  # Only its first use is written down: the database may be read-only meanwhile.
                unused = update(StreamTicket).where(StreamTicket.hash == ticket.hash, StreamTicket.used_at.is_(None))
                await session.execute(unused.values(used_at=now))
        shown = f"ticket:{digest_of(text).hex()[:12]}"
        if ticket.api_key_id is not None:
            return await self._access.recognise_key(ticket.api_key_id, credential=shown)
        return await self._access.recognise(ticket.user_id, generation=ticket.token_generation, credential=shown)

    async def prune(self) -> None:
        """Forgets tickets that nothing can be done with any more."""
        now = self._clock()
        too_late = StreamTicket.used_at.is_(None) & (StreamTicket.created_at <= now - FIRST_USE)
        async with self._sessions.begin() as session:
            await session.execute(delete(StreamTicket).where(too_late | (StreamTicket.created_at < now - LIFETIME)))


def _is_good(ticket: StreamTicket, now: datetime) -> bool:
    in_time = ticket.used_at is not None or ticket.created_at > now - FIRST_USE
    outlived = ticket.expires_at is not None and ticket.expires_at <= now
    return in_time and not outlived and ticket.created_at > now - LIFETIME
