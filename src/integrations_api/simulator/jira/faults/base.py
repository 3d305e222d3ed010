"""What a fault can do to a site and to its answers."""

from typing import Any

from integrations_api.simulator.common import faults
from integrations_api.simulator.jira.issues import Issue
from integrations_api.simulator.jira.messages import Call
from integrations_api.simulator.jira.site import JiraSite


class Fault(faults.Fault[JiraSite, Call]):
    """A way of a site to misbehave. `on` is page, probe, count, issue, comments, who, token or any."""

    def prepare(self, call: Call) -> None:
        """It was looked at who asks."""

    def select(self, call: Call, page: list[Issue]) -> list[Issue]:
        """The issues of a search's answer."""
        return page

    def limit(self, call: Call, limit: int) -> int:
        """How many issues Cloud puts into an answer."""
        return limit

    def edit_page(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """Cloud's answer to a search."""
        return answer
