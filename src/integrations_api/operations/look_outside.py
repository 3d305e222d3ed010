"""The doctor's looks at the outside world: the hosts of integrations, and the embedding service."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from integrations_api.connectors.embeddings.client import EmbeddingClient
from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.reaching import reach, shown_origin
from integrations_api.connectors.records import Check
from integrations_api.connectors.registry import find_service
from integrations_api.db.engine import cause_of
from integrations_api.egress.guard import EgressPolicy
from integrations_api.integrations.applications import application_of
from integrations_api.integrations.models import Integration
from integrations_api.operations.looking import PATIENCE, Place, in_words
from integrations_api.settings import Settings

MOST_INTEGRATIONS = 10_000
MOST_HOSTS = 50
AT_ONCE = 10
WITHIN = timedelta(seconds=PATIENCE)


async def sources(place: Place) -> AsyncGenerator[Check, None]:
    """A check for each host that active integrations read from or sign in at: asked side by side, told in order."""
    try:
        async with asyncio.timeout(PATIENCE):
            hosts = await _hosts(place)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        yield Check("egress", "failed", *in_words(cause_of(error)))
        return
    if not hosts:
        yield Check("egress", "ok", "no active integration, so no host to reach")
        return
    asked = dict(hosts.most_common(MOST_HOSTS))
    turns = asyncio.Semaphore(AT_ONCE)
    for check in await asyncio.gather(*(_reached(url, many, place.policy, turns) for url, many in asked.items())):
        yield check
    if len(hosts) > len(asked):
        yield Check("egress", "warning", f"{len(hosts) - len(asked)} more hosts were not asked")


async def _hosts(place: Place) -> Counter[str]:
    """By origin, how many integrations use it."""
    question = select(Integration.service_name, Integration.auth_type, Integration.config)
    question = question.where(Integration.is_active).order_by(Integration.created_at).limit(MOST_INTEGRATIONS)
    found = Counter[str]()
    async with place.sessions() as session:
        for name, auth_type, config in await session.execute(question):
            found.update({shown_origin(url) for url in _addresses(name, auth_type, config)})
    return found


def _addresses(service_name: str, auth_type: str, config: Mapping[str, Any]) -> Iterator[str]:
    known = find_service(service_name)
    if known is None:
        return
    yield known.reached_at(auth_type, config)
    application = application_of(service_name, auth_type, config)
    if application is not None:
        yield application.server.token_url


async def _reached(url: str, many: int, policy: EgressPolicy, turns: asyncio.Semaphore) -> Check:
    used = f"{url} (of {many} integration{'s' * (many > 1)})"
    try:
        async with turns:
            found = await reach(url, policy, within=WITHIN)
    except ConnectorError as error:
        return Check("egress", "failed", f"{used}: {error.message}", error.remedy)
    seen = f"{used} answers {found.status} in {found.seconds * 1000:.0f} ms"
    if found.status >= 500:
        return Check("egress", "warning", seen, "The host is reached; ask what is wrong there")
    return Check("egress", "ok", seen)


async def embeddings(settings: Settings, policy: EgressPolicy) -> Check | None:
    """The embedding service, asked for the vector of one word; None where none is set up."""
    if settings.embeddings_model is None:
        return None
    if settings.embeddings_url is None:
        return _local()
    client = EmbeddingClient(url=settings.embeddings_url, api_key=settings.embeddings_api_key, policy=policy)
    url = shown_origin(settings.embeddings_url)
    async with client:
        try:
            vector = await client.embed_at_once("doctor", model=settings.embeddings_model, within=WITHIN)
        except ConnectorError as error:
            remedy = error.remedy or "Look after that service; searches are lexical meanwhile"
            return Check("embeddings", "failed", f"{url}: {error.message}", remedy)
    return Check("embeddings", "ok", f"{url} answers for {settings.embeddings_model} with {len(vector)} numbers")


def _local() -> Check:
    if find_spec("sentence_transformers") is None:
        remedy = "Set EMBEDDINGS_URL, or install the extra local-embeddings"
        return Check("embeddings", "failed", "EMBEDDINGS_MODEL is set, and nothing here can run it", remedy)
    return Check("embeddings", "ok", "`integrations-api serve` runs the model on this machine")
