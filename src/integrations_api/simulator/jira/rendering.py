"""Issues, comments and people as the REST API writes them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any

from integrations_api.simulator.company import people

from .access import Flavour, User
from .bodies import adf, wiki
from .issues import (
    CUSTOM_FIELD,
    DETECTED,
    ISSUE_TYPES,
    PRIORITIES,
    PROJECTS,
    RESOLUTIONS,
    SPRINT,
    STATUSES,
    Comment,
    Issue,
)

Json = dict[str, Any]

COMMENTS_SHOWN = {"cloud": 20, "datacenter": 1_000_000}
"""How many comments an issue carries with it; the rest is behind its comment page."""
_ADDRESSES = count(0x1F39A2)
_PERSON = {person["user_name"]: person for person in people.PEOPLE}


def _stamp(moment: int, zone: timezone) -> str:
    """`2026-03-02T09:00:00.000+0000`: with the server's offset, which readers must not take for UTC."""
    local = datetime.fromtimestamp(moment // 1000, UTC).astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}{local:%z}"


class Writer:
    """Writes for one flavour; `base_url` is the site's address."""

    def __init__(self, flavour: Flavour, base_url: str) -> None:
        self.flavour: Flavour = flavour
        self.base_url = base_url
        self.api = f"{base_url}/rest/api/{3 if flavour == 'cloud' else 2}"
        self.body = adf if flavour == "cloud" else wiki
        # Data Center writes times in the server's zone.
        self._zone = UTC if flavour == "cloud" else timezone(timedelta(hours=2))

    def issue(self, issue: Issue, fields: Sequence[str]) -> Json:
        """An issue with those of the fields that it has; `*all` and `*navigable` stand for all."""
        row: Json = {"id": issue.id, "key": issue.key, "self": f"{self.api}/issue/{issue.id}"}
        wanted = {name for name in fields if name not in ("id", "key")}
        if wanted:
            known = self._fields(issue)
            every = wanted & {"*all", "*navigable"}
            row["fields"] = known if every else {name: known[name] for name in known if name in wanted}
        return row

    def _fields(self, issue: Issue) -> Json:
        return {
            **self._texts(issue),
            **self._choices(issue),
            "created": self.time(issue.created),
            "updated": self.time(issue.updated),
            "resolutiondate": self.time(issue.resolved) if issue.resolved else None,
            "duedate": issue.due or None,
            "reporter": self.person(issue.reporter),
            "creator": self.person(issue.reporter),
            "assignee": self.person(issue.assignee) if issue.assignee else None,
            "labels": list(issue.labels),
            "comment": self.comments(issue, start=0, limit=COMMENTS_SHOWN[self.flavour]),
            CUSTOM_FIELD: self._named("customFieldOption", "1", issue.business_unit, "value"),
            DETECTED: self.time(issue.created),
            SPRINT: [self._sprint(issue)],
        }

    def _sprint(self, issue: Issue) -> Any:
        """Data Center writes it as Java does, with an address that is another one each time."""
        name = f"{issue.project} sprint 1"
        if self.flavour == "cloud":
            return {"id": 1, "name": name, "state": "active", "boardId": 1}
        held = f"id=1,rapidViewId=1,state=ACTIVE,name={name},startDate=<null>,endDate=<null>,sequence=1"
        return f"com.atlassian.greenhopper.service.sprint.Sprint@{next(_ADDRESSES):x}[{held}]"

    def _texts(self, issue: Issue) -> Json:
        return {
            "summary": issue.summary,
            "description": self.body(issue.description) if issue.description else None,
            "environment": self.body(issue.environment) if issue.environment else None,
        }

    def _choices(self, issue: Issue) -> Json:
        status_id, category_key, category = STATUSES[issue.status]
        return {
            "status": {
                "id": status_id,
                "name": issue.status,
                "statusCategory": {"key": category_key, "name": category},
            },
            "priority": self._named("priority", PRIORITIES[issue.priority], issue.priority),
            "issuetype": self._named("issuetype", ISSUE_TYPES[issue.issue_type], issue.issue_type),
            "resolution": self._named("resolution", RESOLUTIONS.get(issue.resolution, ""), issue.resolution),
            "project": {"id": str(1000 + len(issue.project)), "key": issue.project, "name": PROJECTS[issue.project]},
            "components": [self._named("component", str(3000 + len(name)), name) for name in issue.components],
        }

    def _named(self, kind: str, identity: str, name: str, label: str = "name") -> Json | None:
        return {"self": f"{self.api}/{kind}/{identity}", "id": identity, label: name} if name else None

    def comments(self, issue: Issue, *, start: int, limit: int) -> Json:
        """One page of an issue's comments, oldest first."""
        shown = issue.comments[start : start + limit]
        return {
            "comments": [self._comment(issue, comment) for comment in shown],
            "maxResults": limit,
            "total": len(issue.comments),
            "startAt": start,
        }

    def _comment(self, issue: Issue, comment: Comment) -> Json:
        return {
            "id": comment.id,
            "self": f"{self.api}/issue/{issue.id}/comment/{comment.id}",
            "author": self.person(comment.author),
            "body": self.body(comment.text),
            "created": self.time(comment.created),
            "updated": self.time(comment.created),
            # Data Center tells it only where the properties of single comments are asked for.
            **({"jsdPublic": comment.is_public} if self.flavour == "cloud" else {}),
        }

    def person(self, user_name: str) -> Json:
        known = _PERSON.get(user_name)
        name = known["name"] if known else user_name.title()
        shown: Json = {"displayName": name, "active": True}
        if self.flavour == "cloud":
            account = known["sys_id"][:24] if known else f"712020:{user_name}"
            return shown | {"accountId": account, "accountType": "atlassian"}
        return shown | {"name": user_name, "key": f"JIRAUSER{10_000 + len(user_name)}"}

    def myself(self, user: User) -> Json:
        return self.person(user.user_name) | {
            "displayName": user.display_name,
            "emailAddress": user.email,
            "timeZone": user.time_zone,
        }

    def time(self, moment: int) -> str:
        return _stamp(moment, self._zone)
