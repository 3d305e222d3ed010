"""The preflight: what a sync will need, tried once, with what was seen and what an administrator can do."""

import re
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.github.answers import SignInRefused, well_formed
from integrations_api.connectors.github.client import GitHubClient
from integrations_api.connectors.github.comments import CommentReader
from integrations_api.connectors.github.config import GitHubConfig
from integrations_api.connectors.github.survey import Repository, Survey, survey
from integrations_api.connectors.github.walk import Item, items_of, stamp
from integrations_api.connectors.http import count_in, one_line
from integrations_api.connectors.preflight import Step, clock_check, collected, safely
from integrations_api.connectors.records import Check

_SAMPLE = 30
_EXPIRES_SOON = timedelta(days=14)
_READS_ONLY = frozenset({"repo", "public_repo", "read:org", "read:user", "user:email", "read:project", "repo:status"})
_BEYOND_ALL = timedelta(days=1)
_LONGER_THAN_AN_HOUR = (
    "Have the operator set SYNC_RETRY_BUDGET to more than an hour, such as 70m, so that the sync waits at the limit, "
    "or resume the run whenever it has failed there"
)


class Preflight(Struct):
    """Runs the checks one after the other; without a sign-in and repositories the others make no sense."""

    client: GitHubClient
    config: GitHubConfig
    page_size: int
    found: Survey | None = None
    sample: list[Item] = field(default_factory=list)
    date: datetime | None = None
    seconds: float = 0.0

    async def run(self) -> list[Check]:
        """Every check that could be made. Never raises for a failing one, and is bounded in time."""
        return await collected(self._checks())

    async def _checks(self) -> AsyncGenerator[Check, None]:
        contact = await self._contact()
        for made in contact:
            yield made
        if contact[-1].status != "failed":
            yield await safely("repositories", _taken_apart(self._repositories))
        if self.found is not None:
            for name, step in self._steps():
                yield await safely(name, _taken_apart(step))

    def _steps(self) -> Sequence[tuple[str, Step]]:
        return (
            ("issues", self._issues),
            ("comments", self._comments),
            ("token", self._token),
            ("rate limit", self._rate_limit),
            ("clock", self._clock),
            ("duration", self._duration),
        )

    async def _contact(self) -> list[Check]:
        began = self.client.patience.time.monotonic()
        try:
            graph = await self.client.patience.retried(lambda: self.client.query("query { viewer { login } }", {}))
            with well_formed():
                who = (graph.data.get("viewer") or {}).get("login") or "somebody"
        except SignInRefused as error:
            reachable = Check("reachable", "ok", "The server answers")
            return [reachable, Check("signed in", "failed", error.message, error.remedy)]
        except ConnectorError as error:
            return [Check("reachable", "failed", error.message, error.remedy or "Try again later")]
        self.seconds = self.client.patience.time.monotonic() - began
        self.date = graph.date
        return [
            Check("reachable", "ok", f"Answered in {self.seconds * 1000:.0f} ms"),
            Check("signed in", "ok", f"Signed in as {one_line(str(who))}"),
        ]

    async def _repositories(self) -> Check:
        self.found = await survey(self.client, self.config)
        readable = self.found.readable
        if not readable:
            return Check("repositories", "failed", "No repository with issues can be seen", "Check names and access")
        archived = sum(1 for one in readable if one.is_archived)
        issues = sum(one.total for one in readable)
        seen = f"{len(readable)} with {issues} issues{f', {archived} of them archived' if archived else ''}"
        if notes := self.found.notes():
            return Check("repositories", "warning", f"{seen}. {'. '.join(notes)}", "Correct the list of repositories")
        return Check("repositories", "ok", seen)

    async def _issues(self) -> Check:
        """A page as a sync reads it, and whether bound and order are honoured."""
        largest = self._largest()
        path, what = f"/repos/{largest.name}/issues", f"The repository {largest.name}"
        params = {"state": "all", "sort": "updated", "per_page": str(min(_SAMPLE, self.page_size))}
        newest = await self.client.ask(path, {**params, "direction": "desc"}, what=what)
        self.sample = list(reversed(items_of(list(reversed(newest.value)), None)))
        if not self.sample:
            return Check("issues", "warning", f"There is no issue in {largest.name} yet", "Test again with issues")
        bound = self.sample[-1]["updated_at"]
        again = await self.client.ask(path, {**params, "direction": "asc", "since": bound}, what=what)
        items_of(again.value, bound)
        beyond = stamp(datetime.now(UTC) + _BEYOND_ALL if self.date is None else self.date + _BEYOND_ALL)
        later = await self.client.ask(path, {**params, "direction": "asc", "since": beyond}, what=what)
        if later.value:
            return Check("issues", "failed", "The lower bound of time is ignored", "Ask why since= is not honoured")
        return Check("issues", "ok", f"Issues of {largest.name} can be read, in the order asked for")

    def _largest(self) -> Repository:
        assert self.found is not None
        return max(self.found.readable, key=lambda one: one.total)

    async def _comments(self) -> Check:
        talked_about = [item for item in self.sample if item.get("comments") and "pull_request" not in item]
        if not talked_about:
            return Check("comments", "ok", "None of the latest issues has comments")
        issue = talked_about[0]
        reader = CommentReader(self.client)
        (found,) = await self.client.patience.retried(lambda: reader.read([issue["node_id"]]))
        return Check("comments", "ok", f"Comments can be read: {len(found)} of issue {issue['number']}")

    async def _token(self) -> Check:
        headers = self.client.headers
        expires = _expiry(headers.get("github-authentication-token-expiration", ""))
        seen = f"Expires on {expires:%Y-%m-%d}" if expires else "No expiry is announced"
        if expires and expires - (self.date or self.client.patience.time.now()) < _EXPIRES_SOON:
            return Check("token", "warning", seen, "Make a new token in time: without one every sync fails")
        scopes = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip()}
        if wide := sorted(scopes - _READS_ONLY):
            seen = f"The token may do more than reading: {', '.join(wide[:8])}"
            return Check("token", "warning", seen, "Use a fine-grained token with Issues: read-only")
        return Check("token", "ok", seen)

    async def _rate_limit(self) -> Check:
        headers = self.client.headers
        limit = count_in(headers.get("x-ratelimit-limit", ""))
        remaining = count_in(headers.get("x-ratelimit-remaining", ""))
        if limit is None or remaining is None:
            return Check("rate limit", "ok", "No rate limit is announced")
        seen = f"{limit} requests per hour, {remaining} left"
        if limit < 1000 or remaining < limit // 10:
            return Check("rate limit", "warning", seen, "Give the sync a token of its own: the limit is by user")
        return Check("rate limit", "ok", seen)

    async def _clock(self) -> Check:
        return clock_check(self.date, self.client.patience.time.now(), noun="issues")

    async def _duration(self) -> Check:
        assert self.found is not None
        pages = sum(max(1, -(-one.total // self.page_size)) for one in self.found.readable)
        pulls = ", and one more for every 100 pull requests"  # They stand among the issues, and no count tells of them.
        seen = f"A full sync takes about {2 * pages} requests{pulls}"
        # Half of them are of GraphQL, which has a limit of its own.
        limit = count_in(self.client.headers.get("x-ratelimit-limit", ""))
        if limit is not None and pages > limit:
            return Check("duration", "warning", f"{seen}: more than an hour allows", _LONGER_THAN_AN_HOUR)
        return Check("duration", "ok", seen)


def _taken_apart(step: Step) -> Step:
    """A step that fails in words where an answer is not what was asked for."""

    async def taken_apart() -> Check:
        with well_formed():
            return await step()

    return taken_apart


def _expiry(text: str) -> datetime | None:
    """`2026-12-01 10:30:00 UTC`, or with an offset in place of the zone's name."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (UTC|[+-]\d{4})", text.strip())
    if match is None:
        return None
    return datetime.strptime(f"{match[1]} {match[2].replace('UTC', '+0000')}", "%Y-%m-%d %H:%M:%S %z")
