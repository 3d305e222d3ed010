"""The preflight: what a sync will need, tried once, with what was seen and what an administrator can do."""

from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.http import one_line
from integrations_api.connectors.jira.answers import NotThere, SignInRefused
from integrations_api.connectors.jira.client import Found, JiraClient
from integrations_api.connectors.jira.comments import Comments
from integrations_api.connectors.jira.jql import ORDER, joined
from integrations_api.connectors.jira.mapping import fields_of
from integrations_api.connectors.jira.measure import Moment, measure, sign_in, times_are_heeded
from integrations_api.connectors.jira.reading import Cursor, check
from integrations_api.connectors.preflight import Step, clock_check, collected, in_words, safely
from integrations_api.connectors.records import Check

_SAMPLE = 50
_NEEDED = ("summary", "created", "updated")
_BROWSE = "Give the user the permission to browse the projects (Browse Projects)"


class Preflight(Struct):
    """Runs the checks one after the other; the first three decide whether the others make sense."""

    client: JiraClient
    scope: str
    fields: Sequence[str]
    custom: Sequence[str]
    page_size: int
    concurrency: int
    sample: Found | None = None
    moment: Moment | None = None
    total: int | None = None
    seconds: float = 0.0

    async def run(self) -> list[Check]:
        """Every check that could be made. Never raises for a failing one, and is bounded in time."""
        return await collected(self._checks())

    async def _checks(self) -> AsyncGenerator[Check, None]:
        for made in await self._contact():
            yield made
        if self.sample is not None:
            for name, step in self._steps():
                yield await safely(name, step)

    def _steps(self) -> Sequence[tuple[str, Step]]:
        return (
            ("fields", self._fields),
            ("order", self._order),
            ("time literal", self._time_literal),
            ("clock", self._clock),
            ("comments", self._comments),
            ("deleted issues", self._deleted),
            ("rate limit", self._rate_limit),
            ("duration", self._duration),
        )

    # ---- who and what

    async def _contact(self) -> list[Check]:
        checks: list[Check] = []
        try:
            flavour = await self.client.flavour()
            checks.append(Check("reachable", "ok", f"Jira {flavour} answers"))
            who = one_line(await sign_in(self.client))
            checks.append(Check("signed in", "ok", f"Signed in as {who}"))
            checks.append(await self._first_page())
        except ConnectorError as error:
            checks.extend(_no_contact(error, checks))
        return checks

    async def _first_page(self) -> Check:
        """One page of real issues: shows the permissions, the filter and the projects."""
        self.total = await self.client.estimate(joined(self.scope))
        time = self.client.patience.time
        began = time.monotonic()
        self.sample = await self.client.ask(
            f"{joined(self.scope)} {ORDER}", fields=self.fields, limit=min(_SAMPLE, self.page_size)
        )
        self.seconds = time.monotonic() - began
        if not self.sample.issues:
            seen = "No issue can be seen"
            return Check("issues", "warning", seen, f"{_BROWSE}, and check filter and projects")
        total = "an unknown number of" if self.total is None else f"about {self.total}"
        return Check("issues", "ok", f"Issues can be read: {total} by filter and projects")

    # ---- what a sync relies on

    async def _fields(self) -> Check:
        assert self.sample is not None
        if not self.sample.issues:
            return Check("fields", "ok", "There is no issue to look at")
        rows = [fields_of(issue) for issue in self.sample.issues]
        if missing := [name for name in _NEEDED if not any(row.get(name) for row in rows)]:
            return Check("fields", "failed", f"Not visible: {', '.join(missing)}", _BROWSE)
        if unknown := [name for name in self.custom if not any(name in row for row in rows)]:
            remedy = "Check the ids of the custom fields, and that they are on a screen of the projects"
            return Check("fields", "warning", f"Not found: {', '.join(unknown)}", remedy)
        return Check("fields", "ok", f"{len(self.fields)} fields can be read")

    async def _order(self) -> Check:
        assert self.sample is not None
        check(self.sample.issues, Cursor())
        return Check("order", "ok", "Issues come in the order of their creation")

    async def _time_literal(self) -> Check:
        self.moment = await measure(self.client, self.scope)
        if not self.moment.issues:
            return Check("time literal", "ok", "There is no issue to try it on")
        if await times_are_heeded(self.client, self.moment.issues):
            return Check("time literal", "ok", "Times in queries mean what they say, whatever the user's time zone")
        return Check(
            "time literal",
            "warning",
            "What a time in a query means could not be proved: every sync reads everything",
            "Ask the Jira administrator to rebuild the search index",
        )

    async def _clock(self) -> Check:
        now = self.moment.now if self.moment else None
        return clock_check(now, self.client.patience.time.now(), noun="issues")

    async def _comments(self) -> Check:
        assert self.sample is not None
        await Comments(self.client, concurrency=self.concurrency).complete(self.sample.issues[:1])
        if any("comment" in fields_of(issue) for issue in self.sample.issues) or not self.sample.issues:
            return Check("comments", "ok", "Comments can be read")
        return Check("comments", "warning", "Comments do not come with the issues", _BROWSE)

    async def _deleted(self) -> Check:
        return Check("deleted issues", "ok", "Jira keeps no log of deletions: full syncs look for them, one by one")

    async def _rate_limit(self) -> Check:
        return Check("rate limit", "ok", self.client.rate_limit or "No limit is announced")

    async def _duration(self) -> Check:
        if self.total is None or self.sample is None:
            return Check("duration", "ok", "A full sync takes an unknown time")
        requests = -(-self.total // self.page_size) + self.concurrency
        seconds = self.seconds * self.total / max(1, len(self.sample.issues)) / self.concurrency
        return Check("duration", "ok", f"A full sync takes about {requests} requests and {in_words(seconds)}")


def _no_contact(error: ConnectorError, so_far: Sequence[Check]) -> list[Check]:
    """The check that a failure belongs to, and before it what must have been well."""
    remedy = error.remedy or "Try again later"
    if not so_far and isinstance(error, SignInRefused):
        return [Check("reachable", "ok", "The server answers"), Check("signed in", "failed", error.message, remedy)]
    if not so_far and isinstance(error, NotThere):
        return [Check("reachable", "failed", "The server answers, but not as Jira", remedy)]
    return [Check(("reachable", "signed in", "issues")[len(so_far)], "failed", error.message, remedy)]
