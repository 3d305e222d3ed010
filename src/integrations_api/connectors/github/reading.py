"""Reads the pages of all repositories, one after another, with the comments of their issues."""

from collections.abc import AsyncGenerator, Mapping

from integrations_api.connectors.errors import PageTooLarge, Retryable
from integrations_api.connectors.github.answers import NoLongerThere, NotVisible, well_formed
from integrations_api.connectors.github.client import GitHubClient, Reply
from integrations_api.connectors.github.comments import CommentReader
from integrations_api.connectors.github.mapping import as_raw, read_record
from integrations_api.connectors.github.survey import look_up
from integrations_api.connectors.github.walk import Cursor, Item, Position, advance, items_of
from integrations_api.connectors.page_size import PageSize
from integrations_api.connectors.records import Page, SourceRecord

LANE = "issues"
_BARE_PAGES = 50
"""So many pages of nothing but pull requests are told of by a page without issues: the run gets on."""


class IssueReader:
    """Reads from a cursor on. Pages come with the cursor that follows them; the last one's is None."""

    def __init__(self, client: GitHubClient, cursor: Cursor, *, page_size: int, by_owner: bool) -> None:
        self._client = client
        self._cursor = cursor
        self._by_owner = by_owner
        self._size = PageSize(page_size)
        self._comments = CommentReader(client)

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Every page that has issues; one without at the end, and now and then where many have none."""
        bare = 0
        while self._cursor.repositories:
            records = await self._step()
            bare = 0 if records else bare + 1
            if records or not self._cursor.repositories or bare % _BARE_PAGES == 0:
                yield Page(records, LANE, self._cursor.as_json())

    async def _step(self) -> list[SourceRecord]:
        """Reads one page and moves on. What breaks off is asked for in smaller pages."""
        attempts = self._client.patience.attempts()
        while True:
            try:
                position, records = await self._read(self._cursor.repositories[0], self._cursor.at)
            except NoLongerThere:
                # Issues were switched off since the repository was looked at: a full run asks what became of them.
                position, records = None, []
            except NotVisible:
                # One that the config names must be there; whatever the owner still has is to be read.
                if not self._by_owner or not await self._has_vanished(self._cursor.repositories[0]):
                    raise
                position, records = None, []
            except PageTooLarge as error:
                is_smaller = self._size.shrink()
                self._cursor = self._cursor.moved(self._cursor.at.again())
                await attempts.again(error, at_once=is_smaller)
                continue
            except Retryable as error:
                await attempts.again(error)
                continue
            self._size.grow(may_change=self._cursor.at.next is None)  # Never inside a second that is walked.
            self._cursor = self._cursor.moved(position)
            return records

    async def _has_vanished(self, repository: str) -> bool:
        """Whether it is not among those that the token may see any more: deleted, transferred or hidden meanwhile."""
        with well_formed():
            found, _ = await look_up(self._client, [repository])
        return found[repository] is None

    async def _read(self, repository: str, at: Position) -> tuple[Position | None, list[SourceRecord]]:
        reply = await self._listing(repository, at)
        position, fresh = advance(at, items_of(reply.value, at.anchor), reply.next)
        issues = [item for item in fresh if "pull_request" not in item]
        return position, await self._with_comments(issues)

    async def _listing(self, repository: str, at: Position) -> Reply:
        what = f"The repository {repository}"
        if at.next is not None:
            return await self._client.get(at.next.path, at.next.params, what=what)
        params: Mapping[str, str] = {
            "state": "all", "sort": "updated", "direction": "asc", "per_page": str(self._size.now),
            **({"since": at.anchor} if at.anchor else {}),
        }  # fmt: skip
        return await self._client.get(f"/repos/{repository}/issues", params, what=what)

    async def _with_comments(self, issues: list[Item]) -> list[SourceRecord]:
        asked = [issue for issue in issues if issue.get("comments") and type(issue.get("node_id")) is str]
        found = await self._comments.read([issue["node_id"] for issue in asked]) if asked else []
        comments = {issue["id"]: said for issue, said in zip(asked, found, strict=True)}
        return [read_record(as_raw(issue, comments.get(issue["id"], []))) for issue in issues]
