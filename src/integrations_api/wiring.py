"""The composition root: every part is built here, once, for the application, the worker and the command line.

What only a worker has is built in `worker_wiring`, which the API's process does not import, and what only answers in
`answering_wiring`, which a worker's does not.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.access.api_keys import ApiKeys
from integrations_api.access.passwords import Passwords
from integrations_api.access.rates import Rates
from integrations_api.access.service import AccessService
from integrations_api.access.throttle import SignInThrottle
from integrations_api.access.tokens import Tokens
from integrations_api.audit.sealing import AuditSealer
from integrations_api.clock import Clock, utc_now
from integrations_api.components import Components
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.retry import Time
from integrations_api.db.compatibility import require_served, schema_of
from integrations_api.db.engine import Sessions, asyncpg_dsn, close_engine, create_engine, create_sessions
from integrations_api.egress.guard import EgressPolicy
from integrations_api.egress.proxy_setting import read_proxy
from integrations_api.errors import ConfigurationError
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.knowledge.retention import Keep, Retention
from integrations_api.oauth.service import OAuthService
from integrations_api.oauth.tokens import TokenKeeper
from integrations_api.operations.exposition import Exposition
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.settings import Settings
from integrations_api.sync.registered import RegisteredSources
from integrations_api.sync.runs import PLANS_KEPT
from integrations_api.sync.service import SyncService
from integrations_api.sync.slots import MARGIN, HostSlots
from integrations_api.sync.sources import Sources
from integrations_api.sync.tickets import Tickets
from integrations_api.vault.bootstrap import ProcessSecrets, resolve_secrets
from integrations_api.vault.cipher import Vault


@asynccontextmanager
async def assemble(
    settings: Settings,
    *,
    database_url: str | None = None,
    clock: Clock = utc_now,
    passwords: Passwords | None = None,
    sources: Sources | None = None,
    answering: bool = True,
) -> AsyncIterator[Components]:
    """All parts, ready to use, and closed in the end; what answers requests only where somebody may ask.

    `database_url` is that of the bundled PostgreSQL once it runs; without it DATABASE_URL is used. Tests give
    cheap `passwords`, `sources` in memory and a clock of their own. Does not look at the schema: see `require_schema`.
    Raises `ConfigurationError` for secrets that are missing or unsafe.
    """
    secrets = resolve_secrets(settings)
    components = Components()
    components.add(settings)
    engine = components.add(
        create_engine(
            _resolved_url(settings, database_url),
            pool_size=settings.database_pool_size,
            idle_limit=settings.worker_silence,
        )
    )
    slots = HostSlots(
        dsn=asyncpg_dsn(engine.url),
        limit=settings.sync_requests_per_host,
        silence=settings.egress_timeout + MARGIN,
    )
    try:
        async with slots, AsyncExitStack() as stack:
            passwords = passwords or Passwords()
            _add_ground_floor(components, secrets=secrets, passwords=passwords, clock=clock)
            await _add_embeddings(components, stack)
            tokens = _add_tokens(components, stack, clock=clock)
            _add_rooms(components, sources=sources or registered_sources(settings, slots, tokens=tokens), clock=clock)
            if answering:
                from integrations_api.answering_wiring import add_what_answers

                add_what_answers(components, passwords=passwords, clock=clock)
            yield components
    finally:
        await close_engine(engine)


def _add_ground_floor(components: Components, *, secrets: ProcessSecrets, passwords: Passwords, clock: Clock) -> None:
    sessions = components.add(create_sessions(components[AsyncEngine]), as_=async_sessionmaker)
    components.add(Vault(secrets.keyring))
    components.add(AuditSealer(sessions=sessions, vault=components[Vault], clock=clock))
    keys = components.add(ApiKeys(sessions=sessions, clock=clock))
    rates = components.add(Rates(sessions=sessions, factor=components[Settings].access_rate_factor))
    throttle = components.add(SignInThrottle(sessions=sessions))
    components.add(
        AccessService(
            sessions=sessions,
            keys=keys,
            throttle=throttle,
            rates=rates,
            tokens=Tokens(secret=secrets.secret_key.get_secret_value(), clock=clock),
            passwords=passwords,
            token_lifetime=timedelta(minutes=components[Settings].access_token_minutes),
            clock=clock,
        )
    )


async def _add_embeddings(components: Components, stack: AsyncExitStack) -> None:
    """The parts that speak to the embedding service, where one is set up."""
    settings = components[Settings]
    if settings.embeddings_url is None or settings.embeddings_model is None:
        return
    from integrations_api.connectors.embeddings.client import EmbeddingClient

    client = EmbeddingClient(
        url=settings.embeddings_url, api_key=settings.embeddings_api_key, policy=egress_policy(settings)
    )
    components.add(
        EmbeddingFiller(
            sessions=components[async_sessionmaker],
            embedder=await stack.enter_async_context(client),
            model=settings.embeddings_model,
            batch=settings.embeddings_batch,
        )
    )


def _add_tokens(components: Components, stack: AsyncExitStack, *, clock: Clock) -> TokenKeeper:
    """The keeper of tokens; when the process ends, it is waited for until what it was told is stored."""
    sessions, policy = components[async_sessionmaker], egress_policy(components[Settings])
    keeper = components.add(TokenKeeper(sessions=sessions, vault=components[Vault], policy=policy, clock=clock))
    stack.push_async_callback(keeper.settle)
    return keeper


def _add_rooms(components: Components, *, sources: Sources, clock: Clock) -> None:
    sessions: Sessions = components[async_sessionmaker]
    integrations = components.add(IntegrationReader(vault=components[Vault]))
    _add_connecting(components, clock=clock)
    components.add(SecretKeeper(sessions=sessions, vault=components[Vault]))
    components.add(Retention(sessions=sessions, clock=clock, keep=what_is_kept(components[Settings])))
    components.add(SyncService(sessions=sessions, integrations=integrations, sources=sources))
    components.add(Tickets(sessions=sessions, access=components[AccessService], clock=clock))
    components.add(Exposition(engine=components[AsyncEngine]))


def _add_connecting(components: Components, *, clock: Clock) -> None:
    components.add(
        OAuthService(
            sessions=components[async_sessionmaker],
            vault=components[Vault],
            integrations=components[IntegrationReader],
            access=components[AccessService],
            policy=egress_policy(components[Settings]),
            public_url=components[Settings].public_url,
            clock=clock,
        )
    )


def what_is_kept(settings: Settings) -> Keep:
    """What the settings say about how long things are kept."""
    days = settings.knowledge_keep_raw_days
    return Keep(
        versions=settings.knowledge_keep_versions,
        raw=None if days is None else timedelta(days=days),
        rejections=settings.sync_keep_events,
        resumable=PLANS_KEPT,
    )


def registered_sources(
    settings: Settings, slots: HostSlots, *, tokens: TokenKeeper | None = None, time: Time | None = None
) -> Sources:
    """The real services, reached through the egress guard; tests give another `time` to wait by.

    Without `tokens` nothing can be synced that signs in by oauth2.
    """
    context = ConnectorContext(
        page_size=settings.sync_page_size,
        concurrency=settings.sync_fetch_concurrency,
        overlap_seconds=settings.sync_overlap.total_seconds(),
        retry_budget_seconds=settings.sync_retry_budget.total_seconds(),
    )
    return RegisteredSources(context=context, policy=egress_policy(settings), slots=slots, tokens=tokens, time=time)


def egress_policy(settings: Settings) -> EgressPolicy:
    """What the settings say about going out."""
    return EgressPolicy(
        allowed_hosts=settings.egress_allowed_hosts,
        ca_file=settings.egress_ca_file,
        proxy=read_proxy(settings.egress_proxy),
        no_proxy=settings.egress_no_proxy,
        timeout=settings.egress_timeout,
        max_response_bytes=settings.egress_max_response_bytes,
    )


async def require_schema(engine: AsyncEngine) -> None:
    """Raises `ConfigurationError` unless the database's schema serves this release: its own, or a later one's."""
    async with engine.connect() as connection:
        require_served(*await schema_of(connection))


def _resolved_url(settings: Settings, database_url: str | None) -> str:
    if database_url is not None:
        return database_url
    if settings.database_url is None:
        raise ConfigurationError("No database: set DATABASE_URL, or start the bundled one first")
    return settings.database_url.get_secret_value()
