"""The Table and Aggregate APIs, as small methods: one request each, or one with its retries."""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
from msgspec import Struct

from integrations_api.connectors.errors import PageTooLarge, Retryable
from integrations_api.connectors.http import Answer, count_in, exchange
from integrations_api.connectors.records import Slot
from integrations_api.connectors.retry import Patience
from integrations_api.connectors.servicenow.answers import SignInRefused, read_result, rows_of
from integrations_api.connectors.servicenow.mapping import cell
from integrations_api.connectors.servicenow.query import any_of, joined

Row = dict[str, Any]

_AGGREGATES = "/api/now/v1/stats/"
"""The version that every release has; of the Table API the second one is asked, which answers no rows with 200."""


LARGE = 10_000_000
"""Bytes of an answer from which on it is taken apart beside the event loop: 36 MB with a NUL in them stopped all others
for four seconds."""


class Rows(Struct, frozen=True):
    """One answer of the Table API, to a request for `limit` rows at most.

    `total` is the query's count before access rules, if it was asked for.
    """

    rows: list[Row]
    total: int | None
    date: datetime | None
    limit: int


class ServiceNowClient:
    """Speaks to one instance. Methods raise `ConnectorError`; a row may be `{}` (nothing of it may be seen)."""

    def __init__(
        self, http: httpx.AsyncClient, *, patience: Patience, slot: Slot, sign_in_remedy: str | None = None
    ) -> None:
        self.patience = patience
        self._sign_in_remedy = sign_in_remedy
        self._http = http
        self._slot = slot
        self._offsets: deque[float] = deque(maxlen=50)
        self.rate_limit: int | None = None
        """Requests per hour, where the source announces a rate limit rule."""

    async def page(
        self, table: str, query: str, *, fields: Sequence[str], limit: int, labels: bool = False, count: bool = False
    ) -> Rows:
        """One request for rows, without retries. `labels`: every column as value and display value."""
        params = {
            "sysparm_query": query,
            "sysparm_fields": ",".join(fields),
            "sysparm_limit": str(limit),
            "sysparm_display_value": "all" if labels else "false",
            "sysparm_exclude_reference_link": "true",
            "sysparm_suppress_pagination_header": "true",
            "sysparm_no_count": "false" if count else "true",
        }
        answer = await self._get(f"/api/now/v2/table/{table}", params)
        is_large = len(answer.body) > LARGE
        result = await asyncio.to_thread(self._result, answer, table) if is_large else self._result(answer, table)
        total = answer.headers.get("x-total-count", "") if count else ""
        return Rows(rows_of(result), count_in(total), answer.date, limit)

    async def ask(
        self,
        table: str,
        query: str,
        *,
        fields: Sequence[str],
        limit: int,
        labels: bool = False,
        count: bool = False,
        shrinks: bool = False,
    ) -> Rows:
        """The same with retries. `shrinks`: where fewer rows will do, fewer are asked for if it is too much."""

        def attempt(most: int) -> Awaitable[Rows]:
            return self.page(table, query, fields=fields, limit=most, labels=labels, count=count)

        if shrinks:
            return await self.patience.shrinking(attempt, limit)
        return await self.patience.retried(lambda: attempt(limit))

    async def find(self, table: str, sys_ids: Sequence[str], *, filter_text: str = "") -> list[str]:
        """Those of the ids that the user is shown, as the source spells them; in two halves where it is too much."""
        query = joined(filter_text, any_of("sys_id", sys_ids))
        attempts = self.patience.attempts()
        while True:
            try:
                answer = await self.page(table, query, fields=["sys_id"], limit=len(sys_ids))
                return [found for row in answer.rows if (found := cell(row.get("sys_id"))[0])]
            except PageTooLarge as error:
                if len(sys_ids) == 1:
                    await attempts.again(error)
                    continue
            except Retryable as error:
                await attempts.again(error)
                continue
            middle = len(sys_ids) // 2
            first = await self.find(table, sys_ids[:middle], filter_text=filter_text)
            return first + await self.find(table, sys_ids[middle:], filter_text=filter_text)

    async def count(self, table: str, query: str) -> int:
        """How many rows a query has before access rules. Raises `PageTooLarge` where neither API tells."""
        rows = await self.ask(table, query, fields=["sys_id"], limit=1, count=True)
        return rows.total if rows.total is not None else await self.stats(table, query)

    async def stats(self, table: str, query: str) -> int:
        """The same by the Aggregate API."""
        return await self.patience.retried(lambda: self._stats(table, query))

    async def _stats(self, table: str, query: str) -> int:
        answer = await self._get(_AGGREGATES + table, {"sysparm_count": "true", "sysparm_query": query})
        result = self._result(answer, table)
        try:
            count = count_in(str(result["stats"]["count"]))
        except (KeyError, TypeError):
            count = None
        if count is None:
            raise PageTooLarge("The count was not in the answer")
        return count

    async def values(self, table: str, column: str) -> list[str]:
        """What a column holds in the whole table, each value once, by the Aggregate API.

        Raises `PageTooLarge` at once where that takes the source too long.
        """
        params = {"sysparm_count": "true", "sysparm_group_by": column}
        attempts = self.patience.attempts()
        while True:
            try:
                groups = rows_of(self._result(await self._get(_AGGREGATES + table, params), table))
                return [str(field["value"]) for group in groups for field in group["groupby_fields"] if field["value"]]
            except (KeyError, TypeError):
                return []
            except PageTooLarge:
                raise  # There is nothing smaller to ask for.
            except Retryable as error:
                await attempts.again(error)

    def _result(self, answer: Answer, table: str) -> Any:
        try:
            return read_result(answer, table=table, now=self.patience.time.now())
        except SignInRefused as error:
            raise SignInRefused(error.message, self._sign_in_remedy or error.remedy) from None

    @property
    def clocks_read(self) -> int:
        """Answers so far that said what time it is at the source."""
        return len(self._offsets)

    @property
    def clock_spread(self) -> timedelta:
        """How far the clocks that answered lie apart: an instance has nodes, and each its own clock."""
        return timedelta(seconds=round(max(self._offsets) - min(self._offsets))) if self._offsets else timedelta(0)

    async def _get(self, path: str, params: dict[str, str]) -> Answer:
        await self.patience.until_open()
        answer = await exchange(self._http, path, params, slot=self._slot)
        if answer.date is not None:
            self._offsets.append(answer.date.timestamp() - self.patience.time.monotonic())
        if re.fullmatch(r"\d{1,9}", limit := answer.headers.get("x-ratelimit-limit", "")):
            self.rate_limit = int(limit)
        return answer
