"""A request as a site sees it, and its errors."""

from enum import StrEnum
from typing import Any

from msgspec import field

from integrations_api.simulator.common import messages
from integrations_api.simulator.common.messages import Answer, RefusedError

from .access import User


class CallKind(StrEnum):
    """What a request is for; faults choose by it."""

    PAGE = "page"
    """A search in order of creation, with more than ids and times: what a sync reads."""
    PROBE = "probe"
    """Any other search."""
    COUNT = "count"
    ISSUE = "issue"
    COMMENTS = "comments"
    WHO = "who"
    """Server, project and user look-ups."""
    TOKEN = "token"  # noqa: S105
    OTHER = "other"


class Call(messages.Call):
    """One request to a site. `args` are its parameters, whether they came in the query or as JSON."""

    args: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    """The API's operation: search, jql, count, issue, comments, myself, …"""
    target: str = ""
    """The issue or project that the path names."""
    by_gateway: bool = False
    """Through api.atlassian.com."""
    user: User | None = None


def error_answer(status: int, *messages: str, **headers: str) -> Answer:
    """An error in Jira's own shape."""
    return Answer.json({"errorMessages": list(messages), "errors": {}}, status, **headers)


def refuse(status: int, *messages: str) -> RefusedError:
    """The same, to be raised."""
    return RefusedError(error_answer(status, *messages))
