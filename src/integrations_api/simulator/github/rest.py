"""The REST API: issues, comments, repositories; pages, links, redirects, and what is gone."""

import base64
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from integrations_api.simulator.common.messages import Answer

from .instance import GitHubInstance
from .messages import Call, refuse
from .model import Issue, Repository, Token
from .shapes import comment_json, issue_json, repository_json

_SORTS: dict[str, Callable[[Issue], int]] = {
    "created": lambda issue: issue.created,
    "updated": lambda issue: issue.updated,
    "comments": lambda issue: len(issue.comments),
}
_NO_ACCESS = "Resource not accessible by personal access token"


class RestApi:
    """Answers calls whose token is known. Methods raise RefusedError."""

    def __init__(self, instance: GitHubInstance) -> None:
        self.instance = instance
        self._routes: Sequence[tuple[re.Pattern[str], Callable[..., Answer]]] = (
            (re.compile(r"/repos/([^/]+/[^/]+)"), self._repository),
            (re.compile(r"/repositories/(\d+)"), self._repository),
            (re.compile(r"/repos/([^/]+/[^/]+)/issues"), self._issues),
            (re.compile(r"/repositories/(\d+)/issues"), self._issues),
            (re.compile(r"/repos/([^/]+/[^/]+)/issues/comments"), self._comments_of_all),
            (re.compile(r"/repos/([^/]+/[^/]+)/issues/(\d+)"), self._issue),
            (re.compile(r"/repositories/(\d+)/issues/(\d+)"), self._issue),
            (re.compile(r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments"), self._comments),
            (re.compile(r"/(?:orgs|users)/([^/]+)/repos"), self._owned),
            (re.compile(r"/user"), self._user),
        )

    def answer(self, call: Call) -> Answer:
        """The answer to a GET; by its ETag "not modified"."""
        if call.method not in ("GET", "HEAD"):
            raise refuse(403, "The simulator's issues are changed through /__simulator__")
        for pattern, handle in self._routes:
            if match := pattern.fullmatch(call.path):
                return handle(call, *match.groups())
        raise refuse(404, "Not Found")

    # ---- what a path names

    def _held(self, call: Call, name: str) -> Repository:
        """The repository; one that has another name now redirects."""
        known = self.instance.repositories
        number = int(name) if name.isdigit() else self.instance.by_name.get(name.casefold(), 0)
        held = known.get(number)
        assert call.token is not None
        if held is None or not self.instance.may_read(call.token, held):
            raise refuse(404, "Not Found")
        if not name.isdigit() and held.full_name.casefold() != name.casefold():
            rest = call.path.removeprefix(f"/repos/{name}")
            raise self._moved(call, f"/repositories/{held.id}{rest}")
        return held

    def _moved(self, call: Call, path: str) -> Exception:
        query = f"?{urlencode(call.params)}" if call.params else ""
        location = f"{call.base_url}{call.prefix}{path}{query}"
        return refuse(301, "Moved Permanently", Location=location)

    def _with_issues(self, call: Call, name: str) -> Repository:
        held = self._held(call, name)
        assert call.token is not None
        if held.is_private and not call.token.reads_issues:
            raise refuse(403, _NO_ACCESS)
        if not held.has_issues:
            raise refuse(410, "Issues are disabled for this repo")
        return held

    # ---- handlers

    def _issues(self, call: Call, name: str) -> Answer:
        held = self._with_issues(call, name)
        found = _selected(list(held.issues.values()), call.params)
        page, link = self._page(call, held, found)
        call.rows = len(page)
        return self._json(call, [self._shown(call, issue) for issue in page], link)

    def _issue(self, call: Call, name: str, number: str) -> Answer:
        held = self._with_issues(call, name)
        if moved := held.moved.get(int(number)):
            repository, there = moved
            assert call.token is not None
            if self.instance.may_read(call.token, self.instance.repositories[repository]):
                raise self._moved(call, f"/repositories/{repository}/issues/{there}")
            raise refuse(404, "Not Found")
        if int(number) in held.gone:
            raise refuse(410, "This issue was deleted")
        issue = held.issues.get(int(number))
        if issue is None:
            raise refuse(404, "Not Found")
        return self._json(call, self._shown(call, issue))

    def _comments(self, call: Call, name: str, number: str) -> Answer:
        held = self._with_issues(call, name)
        issue = held.issues.get(int(number))
        if issue is None:
            raise refuse(410 if int(number) in held.gone else 404, "Not Found")
        shown = [comment_json(one, issue, held, _api(call)) for one in issue.comments]
        return self._numbered(call, held, f"/issues/{number}/comments", shown)

    def _comments_of_all(self, call: Call, name: str) -> Answer:
        held = self._with_issues(call, name)
        since = _since(call.params)
        said = [(one, issue) for issue in held.issues.values() for one in issue.comments]
        found = [pair for pair in said if since is None or pair[0].updated >= since]
        by_update = call.params.get("sort") == "updated"
        found.sort(key=lambda pair: (pair[0].updated if by_update else pair[0].id, pair[0].id))
        if by_update and call.params.get("direction", "desc") == "desc":
            found.reverse()
        shown = [comment_json(one, issue, held, _api(call)) for one, issue in found]
        return self._numbered(call, held, "/issues/comments", shown)

    def _repository(self, call: Call, name: str) -> Answer:
        return self._json(call, repository_json(self._held(call, name), _api(call), call.base_url))

    def _owned(self, call: Call, owner: str) -> Answer:
        assert call.token is not None
        found = owned(self.instance, call.token, owner)
        if not any(one.owner.casefold() == owner.casefold() for one in self.instance.repositories.values()):
            raise refuse(404, "Not Found")
        shown = [repository_json(one, _api(call), call.base_url) for one in found]
        return self._numbered(call, None, call.path, shown)

    def _user(self, call: Call) -> Answer:
        assert call.token is not None
        return self._json(call, {"login": call.token.login, "id": 4711, "type": "User"})

    # ---- pages

    def _page(self, call: Call, held: Repository, found: list[Issue]) -> tuple[list[Issue], str]:
        """A page by number, whose contents shift as issues change; by a cursor where there are many."""
        size = _number(call.params.get("per_page", "30"), most=100)
        by_cursor = len(held.issues) > self.instance.most_by_page
        if by_cursor and "page" in call.params:
            raise refuse(
                422,
                "Pagination with the page parameter is not supported for large datasets, please use cursor based "
                "pagination (after/before)",
            )
        if by_cursor:
            key = _key(call.params)
            after = _opened(call.params.get("after", ""))
            rest = [issue for issue in found if after is None or key(issue) > after]
            more = {"after": _sealed(key(rest[size - 1]))} if len(rest) > size else {}
            return rest[:size], self._link(call, f"/repositories/{held.id}/issues", more)
        number = _number(call.params.get("page", "1"), most=10**6)
        more = {"page": str(number + 1)} if len(found) > number * size else {}
        return found[(number - 1) * size : number * size], self._link(call, f"/repositories/{held.id}/issues", more)

    def _numbered(self, call: Call, held: Repository | None, path: str, shown: list[Any]) -> Answer:
        size, number = _number(call.params.get("per_page", "30"), most=100), _number(call.params.get("page", "1"))
        more = {"page": str(number + 1)} if len(shown) > number * size else {}
        base = f"/repositories/{held.id}{path}" if held else path
        return self._json(call, shown[(number - 1) * size : number * size], self._link(call, base, more))

    def _link(self, call: Call, path: str, more: dict[str, str]) -> str:
        if not more:
            return ""
        address = f"{call.base_url}{call.prefix}{path}"
        following, first = urlencode(call.params | more), urlencode(call.params)
        return f'<{address}?{following}>; rel="next", <{address}?{first}>; rel="first"'

    def _shown(self, call: Call, issue: Issue) -> dict[str, Any]:
        return issue_json(self.instance, issue, _api(call), call.base_url)

    def _json(self, call: Call, content: Any, link: str = "") -> Answer:
        answer = Answer.json(content)
        if link:
            answer.headers["Link"] = link
        return answer


def owned(instance: GitHubInstance, token: Token, owner: str) -> list[Repository]:
    """The repositories of an owner that a token may see, by name."""
    found = [one for one in instance.repositories.values() if one.owner.casefold() == owner.casefold()]
    return sorted((one for one in found if instance.may_read(token, one)), key=lambda one: one.name)


def _selected(issues: list[Issue], params: dict[str, str]) -> list[Issue]:
    """What a query asks for, in its order. Open issues, newest first, where it says nothing."""
    state, since = params.get("state", "open"), _since(params)
    found = [issue for issue in issues if state in ("all", issue.state) and (since is None or issue.updated >= since)]
    key = _SORTS.get(params.get("sort", "created"))
    if key is None or params.get("direction", "desc") not in ("asc", "desc"):
        raise refuse(422, "Validation Failed")
    found.sort(key=lambda issue: (key(issue), issue.id), reverse=params.get("direction", "desc") == "desc")
    return found


def _key(params: dict[str, str]) -> Callable[[Issue], tuple[int, int]]:
    by = _SORTS[params.get("sort", "created")]
    sign = 1 if params.get("direction", "desc") == "asc" else -1
    return lambda issue: (sign * by(issue), sign * issue.id)


def _sealed(key: tuple[int, int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _opened(cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    try:
        first, second = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise refuse(422, "Validation Failed") from None
    return int(first), int(second)


def _since(params: dict[str, str]) -> int | None:
    text = params.get("since")
    if not text:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise refuse(422, "Validation Failed") from None


def _number(text: str, *, most: int = 10**6) -> int:
    return min(most, max(1, int(text))) if text.isascii() and text.isdigit() else 1


def _api(call: Call) -> str:
    return call.base_url + call.prefix
