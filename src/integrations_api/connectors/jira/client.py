"""Jira's REST API, as small methods: one request each, or one with its retries.

Cloud pages by opaque tokens and tells no total; Data Center pages by position and does. Which of them answers is
asked once.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import httpx
from msgspec import Struct

from integrations_api.connectors.errors import PageTooLarge, Refused
from integrations_api.connectors.http import Answer, exchange
from integrations_api.connectors.jira.answers import issues_of, read_object, read_value
from integrations_api.connectors.records import JsonObject, Slot
from integrations_api.connectors.retry import Patience

Issue = dict[str, Any]
Flavour = Literal["Cloud", "Data Center"]

LARGEST_PAGE = 5000
"""Cloud refuses to be asked for more: "The max results parameter has to be between 1 and 5,000" (jira-plugin#646)."""

_V2, _V3 = "/rest/api/2", "/rest/api/3"


class Place(Struct, frozen=True):
    """Where a page begins: by token (Cloud) or by position (Data Center); the first page by neither."""

    token: str | None = None
    offset: int = 0


START = Place()


class Found(Struct, frozen=True):
    """One answer to a search; `following` None at its end, `total` None where it is not told."""

    issues: list[Issue]
    following: Place | None
    total: int | None
    date: datetime | None


class JiraClient:
    """Speaks to one site. Methods raise `ConnectorError`. `gateway` is where OAuth tokens of Cloud are good."""

    def __init__(self, http: httpx.AsyncClient, *, patience: Patience, slot: Slot, gateway_for: str = "") -> None:
        self.patience = patience
        self._http = http
        self._slot = slot
        self._gateway_for = gateway_for
        self._root: str | None = None
        self._flavour: Flavour | None = None
        self.rate_limit: str | None = None
        """What the source announces of its limits, in words."""

    # ---- who answers

    async def flavour(self) -> Flavour:
        """Which of the two products answers."""
        if self._flavour is None:
            info = await self.get(f"{_V2}/serverInfo")
            self._flavour = "Cloud" if str(info.get("deploymentType", "")).lower() == "cloud" else "Data Center"
        return self._flavour

    @property
    def by_gateway(self) -> bool:
        """Whether requests go through Atlassian's gateway: OAuth on Cloud."""
        return bool(self._gateway_for)

    async def _resolved_root(self) -> str:
        """The path before the API's own: empty at a site, the site's cloud id at the gateway."""
        if self._root is None:
            self._root = f"/ex/jira/{await self._cloud_id()}" if self._gateway_for else ""
        return self._root

    async def _cloud_id(self) -> str:
        value = await self._retried("/oauth/token/accessible-resources", {}, None)
        sites = [site for site in value if isinstance(site, dict)] if isinstance(value, list) else []
        for site in sites:
            cloud_id = str(site.get("id", ""))
            if _host(str(site.get("url", ""))) == _host(self._gateway_for) and re.fullmatch(r"[\w-]{1,64}", cloud_id):
                return cloud_id
        raise Refused(
            "The sign-in gives no access to this site",
            "Connect again and choose this site on Atlassian's page; check the URL of the site",
        )

    # ---- requests

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A JSON object, with retries. `path` begins with /rest."""
        root = await self._resolved_root()
        value = await self._retried(root + path, params or {}, None)
        if not isinstance(value, dict):
            raise PageTooLarge("The answer broke off")
        return value

    async def get_api(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The same below the API of whichever product answers; `path` such as /myself."""
        return await self.get((_V3 if await self.flavour() == "Cloud" else _V2) + path, params)

    async def page(
        self, jql: str, *, fields: Sequence[str], limit: int, place: Place = START, reconcile: Sequence[str] = ()
    ) -> Found:
        """One request for issues, without retries. `reconcile`: ids that Cloud looks at afresh."""
        content: dict[str, Any] = {"jql": jql, "fields": list(fields), "maxResults": limit}
        if await self.flavour() == "Cloud":
            content |= {"nextPageToken": place.token} if place.token else {}
            content |= {"reconcileIssues": [int(known) for known in reconcile if known.isdigit()]} if reconcile else {}
            return _cloud_page(*await self._posted(f"{_V3}/search/jql", content))
        content["startAt"] = place.offset
        return _datacenter_page(*await self._posted(f"{_V2}/search", content), place.offset)

    async def ask(
        self, jql: str, *, fields: Sequence[str], limit: int, place: Place = START, reconcile: Sequence[str] = ()
    ) -> Found:
        """The same with retries; fewer are asked for where it is too much."""
        return await self.patience.shrinking(
            lambda most: self.page(jql, fields=fields, limit=most, place=place, reconcile=reconcile), limit
        )

    async def estimate(self, jql: str) -> int | None:
        """About how many issues a query has; exact on Data Center."""
        if await self.flavour() == "Data Center":
            return (await self.ask(jql, fields=["created"], limit=1)).total
        root = await self._resolved_root()
        value = await self._retried(f"{root}{_V3}/search/approximate-count", {}, {"jql": jql})
        count = value.get("count") if isinstance(value, dict) else None
        return count if type(count) is int else None

    async def _posted(self, path: str, content: JsonObject) -> tuple[dict[str, Any], datetime | None]:
        answer = await self._exchange(await self._resolved_root() + path, {}, content)
        return read_object(answer, now=self.patience.time.now()), answer.date

    async def _retried(self, path: str, params: Mapping[str, str], content: JsonObject | None) -> Any:
        async def attempt() -> Any:
            answer = await self._exchange(path, params, content)
            return read_value(answer, now=self.patience.time.now())

        return await self.patience.retried(attempt)

    async def _exchange(self, path: str, params: Mapping[str, str], content: JsonObject | None) -> Answer:
        await self.patience.until_open()
        answer = await exchange(self._http, path, params, slot=self._slot, body=content)
        self.rate_limit = _announced(answer.headers) or self.rate_limit
        return answer


def _cloud_page(value: dict[str, Any], date: datetime | None) -> Found:
    token = value.get("nextPageToken")
    is_last = value.get("isLast") is True or not isinstance(token, str) or not token
    return Found(issues_of(value), None if is_last else Place(token=token), None, date)


def _datacenter_page(value: dict[str, Any], date: datetime | None, offset: int) -> Found:
    issues, total = issues_of(value), value.get("total")
    if type(total) is not int:
        raise PageTooLarge("The answer broke off")
    reached = offset + len(issues)
    return Found(issues, Place(offset=reached) if issues and reached < total else None, total, date)


def _announced(headers: httpx.Headers) -> str | None:
    """The limit that an answer's headers tell of."""
    limit, seconds = headers.get("x-ratelimit-limit", ""), headers.get("x-ratelimit-interval-seconds", "")
    if not re.fullmatch(r"\d{1,9}", limit):
        return None
    rate = headers.get("x-ratelimit-fillrate", "")
    if re.fullmatch(r"\d{1,9}", rate) and re.fullmatch(r"\d{1,9}", seconds):
        return f"{limit} requests at once, {rate} more every {seconds} s"
    return f"{limit} requests"


def _host(url: str) -> str:
    try:
        return httpx.URL(url).netloc.decode("ascii").lower()
    except (httpx.InvalidURL, ValueError):
        return ""
