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
                    comments = await self._all(str(issue.get("id")))
                except NotThere:
                    return  # deleted meanwhile: the next full sync sees that
                if comments is not None:
                    fields_of(issue)["comment"] = {"comments": comments, "total": len(comments)}
                    return
        # Comments that come and go all the time are read again by the sync that reads the issue's next change.

    async def _all(self, issue_id: str) -> list[Any] | None:
        """Each comment once, oldest first; None where the pages shifted while they were read."""
        found: list[Any] = []
        for _ in range(_MOST_PAGES):
            # One from the page before: where it is not there again, others before it came or went.
            start = max(0, len(found) - 1)
            params = {"startAt": str(start), "maxResults": str(_PAGE), "orderBy": "created"}
            page = await self._client.get_api(f"/issue/{issue_id}/comment", params)
            comments, total = page.get("comments"), page.get("total")
            rows = [row for row in comments if isinstance(row, dict)] if isinstance(comments, list) else []
            if found and (not rows or rows[0].get("id") != found[-1].get("id")):
                return None
            new = rows[1:] if found else rows
            found += new
            if not new or type(total) is not int or len(found) >= total:
                break
        return found


def _is_short(issue: Issue) -> bool:
    value = fields_of(issue).get("comment")
    if not isinstance(value, dict):
        return False
    comments, total = value.get("comments"), value.get("total")
    return isinstance(comments, list) and type(total) is int and total > len(comments)
