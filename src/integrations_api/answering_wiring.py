"""The composition root of what answers: the API and the commands, over the parts that `wiring` has assembled.

Apart from it, for a worker's process imports nothing of this.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.access.account import Account
from integrations_api.access.administration import UserAdministration
from integrations_api.access.passwords import Passwords
from integrations_api.access.service import AccessService
from integrations_api.access.throttle import SignInThrottle
from integrations_api.audit.reading import AuditReader
from integrations_api.clock import Clock
from integrations_api.components import Components
from integrations_api.db.engine import Sessions, asyncpg_dsn
from integrations_api.db.notify import Listener
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.search.meaning import QueryEmbedder
from integrations_api.search.service import SearchService
from integrations_api.settings import Settings
from integrations_api.sync.control import RunControl
from integrations_api.sync.run_log import CHANNEL
from integrations_api.sync.service import SyncService
from integrations_api.sync.stream import RunStreams
from integrations_api.sync.trial import Trial
from integrations_api.vault.cipher import Vault


def add_what_answers(components: Components, *, passwords: Passwords, clock: Clock) -> None:
    """Adds the parts that a worker goes without."""
    sessions: Sessions = components[async_sessionmaker]
    _add_people(components, sessions, passwords=passwords, clock=clock)
    components.add(IntegrationService(sessions=sessions, vault=components[Vault], clock=clock))
    integrations, sources = components[IntegrationReader], components[SyncService].sources
    knowledge = components.add(KnowledgeService(sessions=sessions))
    components.add(SearchService(sessions=sessions, meaning=_meaning(components)))
    components.add(
        Trial(sessions=sessions, integrations=integrations, knowledge=knowledge, sources=sources, clock=clock)
    )
    components.add(RunControl(sessions=sessions, integrations=integrations, clock=clock))
    settings = components[Settings]
    components.add(RunStreams(sessions=sessions, ping=settings.stream_ping, most_of_user=settings.streams_per_user))


def _add_people(components: Components, sessions: Sessions, *, passwords: Passwords, clock: Clock) -> None:
    reader = components.add(AuditReader(sessions=sessions))
    throttle = components[SignInThrottle]
    components.add(
        Account(
            sessions=sessions,
            access=components[AccessService],
            passwords=passwords,
            throttle=throttle,
            audit_reader=reader,
        )
    )
    components.add(UserAdministration(sessions=sessions, passwords=passwords, throttle=throttle, clock=clock))


def _meaning(components: Components) -> QueryEmbedder | None:
    """What makes vectors of queries, where an embedding service is set up."""
    return QueryEmbedder(embedder=components[EmbeddingFiller].embedder) if EmbeddingFiller in components else None


@asynccontextmanager
async def listening(components: Components) -> AsyncIterator[None]:
    """Keeps the event streams of this process awake by the database's notifications."""
    dsn = asyncpg_dsn(components[AsyncEngine].url)
    async with Listener(dsn=dsn, channel=CHANNEL, on_nudge=components[RunStreams].nudge):
        yield
