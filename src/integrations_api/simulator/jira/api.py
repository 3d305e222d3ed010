"""The REST API, read side: v3 with page tokens (Cloud), v2 with startAt (Data Center)."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from integrations_api.simulator.common.clock import stamp
from integrations_api.simulator.common.messages import Answer

from .faults.base import Fault
from .issues import PROJECTS, Issue
from .jql import JqlError
from .messages import Call, CallKind, refuse
from .rendering import Writer
from .site import JiraSite

TOKEN_DAYS = 7
MOST = {"cloud": 100, "datacenter": 1000}
MOST_BARE = 5000
"""Cloud: rows in one answer when next to nothing of each is asked for, and the most that may be asked for at all."""
BARE = {"id", "key", "created", "updated"}
UNBOUNDED = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
NOT_THERE = "Issue does not exist or you do not have permission to see it."
NOT_FOR_YOU = "You do not have the permission to see the specified issue."
"""Data Center's answer for an issue that is there and hidden; Cloud makes no difference."""
REMOVED = (
    "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration guideline "
    "is available at https://developer.atlassian.com/changelog/#CHANGE-2046"
)


class Place(Struct, frozen=True):
    """Where a page begins, as a page token holds it."""

    offset: int
    jql: str
    issued: int
    number: int = 0

    def token(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.offset, self.jql, self.issued, self.number]).encode()).decode()

    @classmethod
    def read(cls, token: str) -> "Place":
        """Raises ValueError."""
        offset, jql, issued, number = json.loads(base64.urlsafe_b64decode(token.encode()))
        return cls(int(offset), str(jql), int(issued), int(number))


class Api:
    """Answers for a signed-in user. The caller holds the site's lock. Methods raise RefusedError."""

    def __init__(self, site: JiraSite) -> None:
        self.site = site

    def answer(self, call: Call, faults: Sequence[Fault]) -> Answer:
        """The answer to any operation."""
        match call.name:
            case "search" if self.site.flavour == "cloud":
                raise refuse(410, REMOVED)
            case "search":
                return self._search(call, faults)
            case "jql" if self.site.flavour == "cloud":
                return self._search_by_token(call, faults)
            case "count" if self.site.flavour == "cloud":
                return Answer.json({"count": len(self._found(call))})
            case "issue":
                return Answer.json(self._writer(call).issue(self._issue(call), _fields(call, "*all")))
            case "comments":
                return self._comments(call)
            case "project":
                return self._project(call)
            case "myself":
                assert call.user is not None
                return Answer.json(self._writer(call).myself(call.user))
            case _:
                raise refuse(404, "dead link")

    def server_info(self, call: Call) -> Answer:
        """Open to everybody."""
        is_cloud = self.site.flavour == "cloud"
        info = {
            "baseUrl": call.base_url,
            "version": "1001.0.0-SNAPSHOT" if is_cloud else "10.3.2",
            "deploymentType": "Cloud" if is_cloud else "Server",
            "serverTime": stamp(self.site.clock.now()).replace(" ", "T") + ".000+0000",
            "serverTitle": "Jira",
        }
        return Answer.json(info)

    # ---- searches

    def _search(self, call: Call, faults: Sequence[Fault]) -> Answer:
        found = self._found(call)
        start, limit = _number(call, "startAt", 0), _number(call, "maxResults", 50)
        if start + min(limit, MOST["datacenter"]) > self.site.window and start < len(found):
            raise refuse(500, "Search limit exceeded")
        limit = min(limit, MOST["datacenter"])
        page = self._shaped(call, found[start : start + limit], faults)
        rows = self._rows(call, page, "*navigable")
        return Answer.json({"startAt": start, "maxResults": limit, "total": len(found), "issues": rows})

    def _search_by_token(self, call: Call, faults: Sequence[Fault]) -> Answer:
        if not self.site.parse(self._jql(call), self._user(call)).is_bounded:
            raise refuse(400, UNBOUNDED)
        found = self._found(call)
        start = self._offset(call)
        is_bare = set(_fields(call, "id")) <= BARE
        if not 1 <= (asked := _number(call, "maxResults", 50)) <= MOST_BARE:
            raise refuse(400, "The max results parameter has to be between 1 and 5,000.")
        limit = min(asked, MOST_BARE if is_bare else MOST["cloud"])
        for fault in faults:
            limit = fault.limit(call, limit)
        page = self._shaped(call, found[start : start + limit], faults)
        answer: dict[str, Any] = {"issues": self._rows(call, page, "id"), "isLast": start + limit >= len(found)}
        if not answer["isLast"]:
            place = Place(start + limit, call.args["jql"], self.site.clock.true_now(), call.number)
            answer["nextPageToken"] = place.token()
        for fault in faults:
            answer = fault.edit_page(call, answer)
        return Answer.json(answer)

    def _offset(self, call: Call) -> int:
        token = call.args.get("nextPageToken")
        if not token:
            return 0
        try:
            place = Place.read(str(token))
        except (ValueError, TypeError):
            raise refuse(400, "Invalid nextPageToken") from None
        age = self.site.clock.true_now() - place.issued
        if place.jql != call.args.get("jql") or age > TOKEN_DAYS * 86_400:
            raise refuse(400, "The nextPageToken is invalid or expired")
        return place.offset

    def _found(self, call: Call) -> list[Issue]:
        jql = self._jql(call)
        try:
            return self.site.search(jql, self._user(call), reconcile=map(str, call.args.get("reconcileIssues") or ()))
        except JqlError as error:
            raise refuse(400, str(error)) from None

    def _jql(self, call: Call) -> str:
        return str(call.args.get("jql") or "")

    def _shaped(self, call: Call, page: list[Issue], faults: Sequence[Fault]) -> list[Issue]:
        for fault in faults:
            page = fault.select(call, page)
        call.rows = len(page)
        return page

    def _rows(self, call: Call, page: Sequence[Issue], default: str) -> list[dict[str, Any]]:
        writer, fields = self._writer(call), _fields(call, default)
        return [writer.issue(issue, fields) for issue in page]

    # ---- single things

    def _issue(self, call: Call) -> Issue:
        issue = self.site.find(call.target)
        if issue is not None:
            return issue
        if self.site.flavour == "datacenter":
            raise refuse(403, NOT_FOR_YOU) if self.site.exists(call.target) else refuse(404, "Issue Does Not Exist")
        raise refuse(404, NOT_THERE)

    def _comments(self, call: Call) -> Answer:
        limit = min(_number(call, "maxResults", 50), 100)
        page = self._writer(call).comments(self._issue(call), start=_number(call, "startAt", 0), limit=limit)
        return Answer.json(page)

    def _project(self, call: Call) -> Answer:
        key = call.target.upper()
        if key not in self.site.projects():
            raise refuse(404, f"No project could be found with key '{key}'.")
        return Answer.json({"id": str(1000 + len(key)), "key": key, "name": PROJECTS[key]})

    def _user(self, call: Call) -> Any:
        assert call.user is not None
        return call.user

    def _writer(self, call: Call) -> Writer:
        return Writer(self.site.flavour, call.base_url)


def kind_of(name: str, args: dict[str, Any]) -> CallKind:
    """What a request is for."""
    if name in ("jql", "search"):
        fields = set(_names(args.get("fields")))
        if not fields <= BARE and "order by created" in str(args.get("jql")).lower():
            return CallKind.PAGE
        return CallKind.PROBE
    known = {"count": CallKind.COUNT, "issue": CallKind.ISSUE, "comments": CallKind.COMMENTS}
    return known.get(name, CallKind.WHO)


def _fields(call: Call, default: str) -> list[str]:
    return _names(call.args.get("fields")) or [default]


def _names(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(name) for name in value]
    return [name for name in str(value or "").split(",") if name]


def _number(call: Call, name: str, default: int) -> int:
    value = str(call.args.get(name, default))
    if not value.isdigit():
        raise refuse(400, f"The value '{value}' is not a valid integer for {name}")
    return int(value)
