"""An issue carries only its first comments with it: the rest is fetched before the issue is handed on."""

import asyncio
from collections.abc import Sequence
from typing import Any

from integrations_api.connectors.jira.answers import NotThere
from integrations_api.connectors.jira.client import Issue, JiraClient
from integrations_api.connectors.jira.mapping import fields_of
from integrations_api.connectors.merge import together

_PAGE = 100
_TRIES = 3
_MOST_PAGES = 100
"""More comments than that (10,000) are a machine's; the oldest ones are kept."""


class Comments:
    """Completes issues, a few at a time."""

    def __init__(self, client: JiraClient, *, concurrency: int) -> None:
        self._client = client
        self._turns = asyncio.Semaphore(concurrency)

    async def complete(self, issues: Sequence[Issue]) -> None:
        """Puts all comments into issues that have more than they carry. Raises `ConnectorError`."""
        await together(self._one(issue) for issue in issues if _is_short(issue))

    async def _one(self, issue: Issue) -> None:
        async with self._turns:
            for _ in range(_TRIES):
                try:
                    comments, total = await self._all(str(issue.get("id")))
                except NotThere:
                    return  # deleted meanwhile: the next full sync sees that
                fields_of(issue)["comment"] = {"comments": comments, "total": total}
                # Where comments came and went while the pages were read, some may be missing: once more.
                if len(comments) == total:
                    return

    async def _all(self, issue_id: str) -> tuple[list[Any], int]:
        """Each comment once, and how many there are."""
        found: dict[str, Any] = {}
        start = total = 0
        for _ in range(_MOST_PAGES):
            params = {"startAt": str(start), "maxResults": str(_PAGE), "orderBy": "created"}
            page = await self._client.get_api(f"/issue/{issue_id}/comment", params)
            comments = page.get("comments")
            rows = [row for row in comments if isinstance(row, dict)] if isinstance(comments, list) else []
            found |= {str(row.get("id")): row for row in rows}
            start += len(rows)
            total = page["total"] if type(page.get("total")) is int else start
            if not rows or start >= total:
                break
        return list(found.values()), total


def _is_short(issue: Issue) -> bool:
    value = fields_of(issue).get("comment")
    if not isinstance(value, dict):
        return False
    comments, total = value.get("comments"), value.get("total")
    return isinstance(comments, list) and type(total) is int and total > len(comments)
