"""Issues that are no longer there: Jira keeps no log of deletions, so each suspect is looked up by its id."""

from collections.abc import Mapping
from typing import Literal

from integrations_api.connectors.errors import Refused, Retryable
from integrations_api.connectors.jira.answers import AccessRefused, NotThere, QueryRefused
from integrations_api.connectors.jira.client import JiraClient
from integrations_api.connectors.jira.jql import joined
from integrations_api.connectors.jira.measure import measure, sign_in
from integrations_api.connectors.merge import in_chunks, together
from integrations_api.connectors.records import Gone

Reason = Literal["deleted", "archived", "no_longer_visible", "out_of_filter"]

_CONTROLS = 3


class Confirmation:
    """Looks up suspects, and in the end an issue that lives: silence can then be told from loss."""

    def __init__(self, client: JiraClient, *, scope: str, concurrency: int) -> None:
        self._client = client
        self._scope = scope
        self._concurrency = concurrency
        self._projects: dict[str, bool] = {}

    async def gone(self, suspects: Mapping[str, str]) -> list[Gone]:
        """Of the given ids (with their last keys), those that the filter no longer shows.

        Raises `Refused` if the source cannot be trusted.
        """
        found: dict[str, Reason] = {}
        for chunk in in_chunks(list(suspects), self._concurrency):
            reasons = await together(self._reason(issue_id) for issue_id in chunk)
            found |= {issue_id: why for issue_id, why in zip(chunk, reasons, strict=True) if why}
        if any(why != "out_of_filter" for why in found.values()):
            await self._check_control()
        return [Gone(issue_id, await self._hidden_or(why, suspects[issue_id])) for issue_id, why in found.items()]

    async def _reason(self, issue_id: str) -> Reason | None:
        if not issue_id.isdigit():
            return "deleted"
        try:
            found = await self._client.get_api(f"/issue/{issue_id}", {"fields": "project"})
        except NotThere:
            return "deleted"
        except AccessRefused:
            return "no_longer_visible"
        if str(found.get("id")) != issue_id:
            raise Retryable("The answer is another issue than was asked for, or none", "Ask what stands before Jira")
        if await self._is_listed(issue_id, self._scope):
            return None
        # What was archived can still be opened, and no search lists it any more.
        return "out_of_filter" if self._scope and await self._is_listed(issue_id, "") else "archived"

    async def _is_listed(self, issue_id: str, scope: str) -> bool:
        jql = joined(scope, f"id = {issue_id}")
        try:
            found = await self._client.ask(jql, fields=["id"], limit=1, reconcile=[issue_id])
        except QueryRefused:
            # A query may not name an issue that is not there: it went since it was looked up.
            return False
        return any(str(issue.get("id")) == issue_id for issue in found.issues)

    async def _hidden_or(self, reason: Reason, key: str) -> Reason:
        """An issue of a project that cannot be browsed any more is most likely still there."""
        if reason != "deleted":
            return reason
        project = key.rpartition("-")[0]
        if project and not await self._is_browsable(project):
            return "no_longer_visible"
        return "deleted"

    async def _is_browsable(self, project: str) -> bool:
        if project not in self._projects:
            try:
                await self._client.get_api(f"/project/{project}")
                self._projects[project] = True
            except NotThere:
                self._projects[project] = False
        return self._projects[project]

    async def _check_control(self) -> None:
        """Whoever has lost their sign-in finds nothing: then an issue that searches list is not there either."""
        await sign_in(self._client)
        for _ in range(_CONTROLS):
            issues = (await measure(self._client, "")).issues
            if not issues:
                return
            try:
                await self._client.get_api(f"/issue/{issues[-1].get('id')}", {"fields": "project"})
            except (NotThere, AccessRefused):
                continue  # it may have been deleted since it was listed; several in a row were not
            return
        raise Refused(
            "The source does not find an issue by its id although it lists it",
            "Check the permissions of the user, and sync again later",
        )
