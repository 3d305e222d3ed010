"""The client of an OpenAI-compatible embedding service: texts go out, vectors come back, checked."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Self

import httpx
from pydantic import SecretStr

from integrations_api.connectors.bearer import TokenAuth
from integrations_api.connectors.embeddings.answers import refusal, vectors_of
from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.connectors.embeddings.errors import TextRefused, TooSlow
from integrations_api.connectors.errors import PageTooLarge, Refused, Retryable
from integrations_api.connectors.http import exchange, status_error
from integrations_api.connectors.retry import Patience, Time
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import ApplicationError

LARGEST_ANSWER = 100_000_000
"""Bytes: 2048 vectors of 4000 numbers, written out."""
PATIENCE = timedelta(seconds=60)
"""For one request of the background, retries included."""
_SLOW_REMEDY = "If it goes on, set a smaller EMBEDDINGS_BATCH"


class EmbeddingClient:
    """An async context manager; connects when it is first asked. Errors and logs never show the key or a text."""

    def __init__(self, *, url: str, api_key: SecretStr | None, policy: EgressPolicy, time: Time | None = None) -> None:
        self._base = base_address(url)
        self._auth = TokenAuth(api_key) if api_key is not None else None
        self._policy = trusting(policy, url)
        self._time = time or Time()
        self._http: httpx.AsyncClient | None = None

    async def embed(self, texts: Sequence[str], *, model: str) -> list[Vector]:
        """See `Embedder`."""
        patience = Patience(service="The embedding service", budget_seconds=PATIENCE.total_seconds(), time=self._time)
        attempts = patience.attempts()
        while True:
            try:
                return await self._ask(texts, model=model, within=PATIENCE)
            except PageTooLarge as error:
                if len(texts) > 1:
                    raise TextRefused(error.message, "Set a smaller EMBEDDINGS_BATCH") from error
                await attempts.again(error)
            except Retryable as error:
                await attempts.again(error)

    async def embed_at_once(self, text: str, *, model: str, within: timedelta) -> Vector:
        """See `Embedder`."""
        (vector,) = await self._ask([text], model=model, within=within)
        return vector

    async def _ask(self, texts: Sequence[str], *, model: str, within: timedelta) -> list[Vector]:
        client, body = self._client(), {"model": model, "input": list(texts)}
        try:
            async with asyncio.timeout(within.total_seconds()):
                answer = await exchange(client, "embeddings", {}, slot=nullcontext, body=body)
        except TimeoutError:
            raise TooSlow("The embedding service did not answer in time", _SLOW_REMEDY) from None
        error = refusal(answer, model=model) if answer.status in _EXPLAINED else status_error(answer, self._time.now())
        if error is not None:
            raise error
        return vectors_of(answer, texts=len(texts))

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            try:
                self._http = open_client(self._policy, self._base, auth=self._auth)
            except ApplicationError as refused:
                raise Refused(refused.message, "Correct EMBEDDINGS_URL") from refused
        return self._http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()


_EXPLAINED = frozenset({200, 413, *range(400, 408), *range(409, 413), *range(414, 429), *range(430, 500)})
"""Statuses that this service's own words explain; the others mean the same wherever they come from."""


def base_address(url: str) -> str:
    """The address with its version: `/v1` is added where the path ends without one."""
    plain = url.rstrip("/").removesuffix("/embeddings")
    return plain if plain.rsplit("/", 1)[-1].lower() in {"v1", "v2", "v3", "openai"} else f"{plain}/v1"


def trusting(policy: EgressPolicy, url: str) -> EgressPolicy:
    """The policy for this service: who runs this product has named its host, so it may be private and plain http."""
    address = httpx.URL(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    name = address.raw_host.decode("ascii")
    host = f"[{name}]" if ":" in name else name
    return replace(
        policy,
        allowed_hosts=(*policy.allowed_hosts, f"{host}:{port}"),
        max_response_bytes=min(policy.max_response_bytes, LARGEST_ANSWER),
    )
