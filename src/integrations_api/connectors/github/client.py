"""The REST and GraphQL APIs, as small methods: one request each, or one with its retries.

Requests are made one after another: GitHub asks for it, and punishes concurrency by secondary limits.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
from msgspec import Struct

from integrations_api.connectors.errors import ConnectorError, RateLimited, Refused, Retryable
from integrations_api.connectors.github.answers import content_of, failure, graph_failure
from integrations_api.connectors.github.config import Addresses
from integrations_api.connectors.http import Answer, exchange
from integrations_api.connectors.records import JsonObject, Slot
from integrations_api.connectors.retry import Patience

_NEXT = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel="next"')
_MOST_HOPS = 3
_KEPT_ANSWERS = 32
_KEPT_BYTES = 1_000_000
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class Link(Struct, frozen=True):
    """Where the next page is: a path below the API's own, and its query, as the source gave them."""

    path: str
    params: Mapping[str, str]

    def as_json(self) -> JsonObject:
        """For a cursor."""
        return {"path": self.path, "params": dict(self.params)}


class Reply(Struct, frozen=True):
    """A good answer of the REST API."""

    value: Any
    next: Link | None
    date: datetime | None


class Graph(Struct, frozen=True):
    """An answer of GraphQL; `missing` are the paths in it that were not found."""

    data: Mapping[str, Any]
    missing: frozenset[tuple[Any, ...]]
    date: datetime | None


class GitHubClient:
    """Speaks to one GitHub. Methods raise `ConnectorError`."""

    def __init__(self, http: httpx.AsyncClient, *, addresses: Addresses, patience: Patience, slot: Slot) -> None:
        self.patience = patience
        self._http = http
        self._addresses = addresses
        self._slot = slot
        self._strikes = 0
        self._known: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, Reply]] = OrderedDict()
        self.headers: httpx.Headers = httpx.Headers()
        """Of the last answer of the REST API: limits, scopes and the token's expiry stand there."""

    async def get(self, path: str, params: Mapping[str, str], *, what: str) -> Reply:
        """One page of the REST API, without retries; `what` is what errors call it.

        The same page again is asked for by its ETag: "not modified" costs nothing of the hourly limit. A repository
        or issue that has moved is followed, on this host only.
        """
        for _ in range(_MOST_HOPS):
            key = (path, tuple(sorted(params.items())))
            etag, kept = self._known.get(key, ("", None))
            headers = {**_HEADERS, "If-None-Match": etag} if kept else _HEADERS
            answer = await self._send(self._addresses.rest + path, params, headers=headers)
            self.headers = answer.headers
            if kept is not None and answer.status == 304:
                return kept
            if answer.status not in {301, 302, 307, 308}:
                self._check(answer, what)
                return self._keep(key, answer)
            path, params = self._moved_to(answer)
        raise Refused(f"{what} has moved too often", "Enter the name it has now")

    async def ask(self, path: str, params: Mapping[str, str], *, what: str) -> Reply:
        """The same with retries."""
        return await self.patience.retried(lambda: self.get(path, params, what=what))

    async def query(self, query: str, variables: JsonObject) -> Graph:
        """One GraphQL query, without retries. What was not found is told; any other error is raised."""
        body = {"query": query, "variables": variables}
        answer = await self._send(self._addresses.graphql, {}, headers=_HEADERS, body=body)
        if answer.status != 200:
            self._check(answer, "The GraphQL API")
        value = content_of(answer)
        missing, error = graph_failure(value, answer, now=self.patience.time.now(), strikes=self._strikes)
        self._raise(error)
        data = value.get("data") if isinstance(value, dict) else None
        if not isinstance(data, dict):
            raise Retryable("The answer broke off")
        return Graph(data, frozenset(missing), answer.date)

    async def _send(
        self, path: str, params: Mapping[str, str], *, headers: Mapping[str, str], body: JsonObject | None = None
    ) -> Answer:
        await self.patience.until_open()
        return await exchange(self._http, path, params, slot=self._slot, headers=headers, body=body)

    def _check(self, answer: Answer, what: str) -> None:
        self._raise(failure(answer, now=self.patience.time.now(), strikes=self._strikes, what=what))

    def _raise(self, error: ConnectorError | None) -> None:
        """Raises what went wrong, if anything did; counts the limits that follow each other."""
        self._strikes = self._strikes + 1 if isinstance(error, RateLimited) else 0
        if error is not None:
            raise error

    def _keep(self, key: tuple[str, tuple[tuple[str, str], ...]], answer: Answer) -> Reply:
        reply = Reply(content_of(answer), self._next(answer), answer.date)
        if (etag := answer.headers.get("etag")) and len(answer.body) <= _KEPT_BYTES:
            self._known[key] = (etag, reply)
            self._known.move_to_end(key)
            if len(self._known) > _KEPT_ANSWERS:
                self._known.popitem(last=False)
        return reply

    def _next(self, answer: Answer) -> Link | None:
        """The link that the source itself gives: how pages are numbered is its own affair."""
        found = _NEXT.search(answer.headers.get("link", ""))
        return self._link(found[1]) if found else None

    def _link(self, address: str) -> Link:
        """Only path and query are taken: the token goes to the configured host and to no other."""
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            raise Refused("The source names an address that cannot be read", "Check the URL") from None
        if not url.path.startswith(f"{self._addresses.rest}/"):
            raise Refused("The source names an address outside its API", "Check the URL")
        return Link(url.path.removeprefix(self._addresses.rest), dict(url.params))

    def _moved_to(self, answer: Answer) -> tuple[str, Mapping[str, str]]:
        location = answer.headers.get("location", "")
        origin = httpx.URL(self._addresses.origin)
        try:
            url = origin.join(location)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if (url.scheme, url.host, url.port) != (origin.scheme, origin.host, origin.port):
            raise Refused("The server redirects to another address", "Enter the URL that the redirect leads to")
        link = self._link(str(url))
        return link.path, link.params
