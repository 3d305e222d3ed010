"""A request as the simulated GitHub sees it, and its refusals."""

from enum import StrEnum

from integrations_api.simulator.common import messages
from integrations_api.simulator.common.messages import Answer, RefusedError

from .model import Token


class CallKind(StrEnum):
    """What a request is for; faults choose by it."""

    PAGE = "page"
    """A list of issues."""
    ISSUE = "issue"
    COMMENTS = "comments"
    """Comments, by REST or GraphQL."""
    GRAPHQL = "graphql"
    """Any other query."""
    SIGN_IN = "sign_in"
    OTHER = "other"


class Call(messages.Call):
    """One request. `path` is without the `/api/v3` of a server, which is in `prefix`."""

    prefix: str = ""
    token: Token | None = None
    costs_nothing: bool = False
    """Whether the answer is "not modified", which the hourly limit does not count."""

    @property
    def resource(self) -> str:
        """Which of the limits counts it."""
        return "graphql" if self.path == "/graphql" else "core"


def refuse(status: int, message: str, **headers: str) -> RefusedError:
    """An error in GitHub's own shape."""
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return RefusedError(Answer.json(body, status, **headers))
