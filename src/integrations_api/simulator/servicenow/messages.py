"""A request as the simulator sees it, and an answer as it will be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from .access import User

JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=UTF-8"


class CallKind(StrEnum):
    """What a request is for; faults choose by it."""

    PAGE = "page"
    """A list of more than one row."""
    PROBE = "probe"
    """A list of at most one row, or of rows named by id."""
    ROW = "row"
    STATS = "stats"
    TOKEN = "token"  # noqa: S105
    OTHER = "other"


@dataclass(slots=True)
class Call:
    """One request. `number` counts all requests to the API, from 1."""

    number: int
    method: str
    path: str
    params: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    kind: CallKind
    version: str = ""
    table: str = ""
    sys_id: str = ""
    user: User | None = None
    auth_kind: str = "none"
    literal_zone: str | None = None
    rows: int = 0

    @property
    def limit(self) -> int:
        """The page size asked for; 10,000 when none was or it is no number."""
        text = self.params.get("sysparm_limit", "")
        return int(text) if text.isdigit() else 10_000


@dataclass(frozen=True, slots=True)
class Trickle:
    """Send the body in pieces of `size` bytes with `seconds` between them."""

    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reset:
    """Send this many bytes of the body, then reset the connection (RST, no orderly end)."""

    after: int


@dataclass(slots=True)
class Answer:
    """Status, headers and body; `delivery` says how the body goes out when not in one piece."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delivery: Trickle | Reset | None = None

    @classmethod
    def json(cls, content: Any, status: int = 200, **headers: str) -> "Answer":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, {"Content-Type": JSON, **named}, orjson.dumps(content))

    @classmethod
    def html(cls, text: str, status: int = 200) -> "Answer":
        return cls(status, {"Content-Type": HTML}, text.encode())

    @classmethod
    def error(cls, status: int, message: str, detail: str | None = None, **headers: str) -> "Answer":
        """An error in ServiceNow's own shape."""
        return cls.json({"error": {"message": message, "detail": detail}, "status": "failure"}, status, **headers)


class RefusedError(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refuse(status: int, message: str, detail: str | None = None) -> RefusedError:
    return RefusedError(Answer.error(status, message, detail))
