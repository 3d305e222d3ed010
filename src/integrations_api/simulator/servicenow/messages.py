"""A request as an instance sees it, and its errors."""

from enum import StrEnum

from integrations_api.simulator.common import messages
from integrations_api.simulator.common.messages import Answer, RefusedError

from .access import User


class CallKind(StrEnum):
    """What a request is for; faults choose by it."""

    PAGE = "page"
    """A list of more than one row."""
    PROBE = "probe"
    """A list of at most one row, or of rows named by id."""
    ROW = "row"
    STATS = "stats"
    TOKEN = "token"  # noqa: S105
    AUTHORIZE = "authorize"
    OTHER = "other"


class Call(messages.Call):
    """One request to an instance."""

    version: str = ""
    table: str = ""
    sys_id: str = ""
    user: User | None = None
    literal_zone: str | None = None

    def is_a(self, kind: str) -> bool:
        """`table` stands for pages, probes and single rows alike."""
        if kind == "table":
            return self.kind in (CallKind.PAGE, CallKind.PROBE, CallKind.ROW)
        return kind in ("any", self.kind)

    @property
    def limit(self) -> int:
        """The page size asked for; 10,000 when none was or it is no number."""
        text = self.params.get("sysparm_limit", "")
        return int(text) if text.isdigit() else 10_000


def error_answer(status: int, message: str, detail: str | None = None, **headers: str) -> Answer:
    """An error in ServiceNow's own shape."""
    return Answer.json({"error": {"message": message, "detail": detail}, "status": "failure"}, status, **headers)


def refuse(status: int, message: str, detail: str | None = None) -> RefusedError:
    """The same, to be raised."""
    return RefusedError(error_answer(status, message, detail))
