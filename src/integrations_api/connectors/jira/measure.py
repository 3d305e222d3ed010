"""What is measured before the first page: the source's clock, its newest change, and what a time in a query means."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from integrations_api.connectors.jira.answers import QueryRefused
from integrations_api.connectors.jira.client import Issue, JiraClient
from integrations_api.connectors.jira.jql import MINUTE, NEWEST_FIRST, joined, millis, whole_minute
from integrations_api.connectors.jira.mapping import fields_of, read_moment

_SAMPLE = 50
_TRIES = 3


class Moment(Struct, frozen=True):
    """The state of the source when it was asked: its clock, its newest change."""

    now: datetime
    newest: datetime | None
    """Greatest `updated` that searches find; None where there is no issue."""
    issues: Sequence[Issue]
    """The most recently changed ones, newest first: created and updated."""


async def measure(client: JiraClient, scope: str) -> Moment:
    """One small search. Raises `ConnectorError`, also for a filter that the source does not understand."""
    found = await client.ask(f"{joined(scope)} {NEWEST_FIRST}", fields=["created", "updated"], limit=_SAMPLE)
    stamps = [stamp for issue in found.issues if (stamp := updated_of(issue))]
    return Moment(found.date or client.patience.time.now(), max(stamps, default=None), found.issues)


def updated_of(issue: Issue) -> datetime | None:
    """When it was last changed."""
    return read_moment(fields_of(issue).get("updated"))


async def sign_in(client: JiraClient) -> str:
    """The name of whoever is signed in. Raises `SignInRefused`: a search alone might answer a stranger with nothing.

    An OAuth token of Cloud need not have the scope to ask who it stands for; the gateway lets no stranger in.
    """
    if client.by_gateway:
        return "an OAuth app's user"
    user = await client.get_api("/myself")
    name = user.get("displayName") or user.get("name")
    return name if isinstance(name, str) else "a user"


async def times_are_heeded(client: JiraClient, issues: Sequence[Issue]) -> bool:
    """Whether `updated >= <milliseconds>` is understood as what it says: from its minute on an issue is found, and
    two minutes later it is not.

    Issues change while we ask, so the older ones of the sample are taken, and tried again.
    """
    for issue in list(reversed(issues))[:_TRIES]:
        moment = updated_of(issue)
        if moment is None:
            continue
        minute = whole_minute(millis(moment))
        issue_id = str(issue.get("id"))
        try:
            is_found = await _finds(client, issue_id, minute)
            if is_found and not await _finds(client, issue_id, minute + 2 * MINUTE):
                return True
        except QueryRefused:
            continue  # the issue has gone meanwhile, or the literal is not understood
    return False


async def _finds(client: JiraClient, issue_id: str, minute: int) -> bool:
    jql = f"id = {issue_id} AND updated >= {minute}"
    found = await client.ask(jql, fields=["updated"], limit=1, reconcile=[issue_id])
    return any(str(issue.get("id")) == issue_id for issue in found.issues)
