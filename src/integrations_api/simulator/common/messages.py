"""A request as a simulator sees it, and an answer as it will be sent."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct, field

JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=UTF-8"


class Call(Struct):
    """One request. `number` counts all requests to the API, from 1; `kind` is what it is for: faults choose by it."""

    number: int
    method: str
    path: str
    params: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    kind: str
    auth_kind: str = "none"
    """How the request signed in: basic, bearer, …; known once it was looked at."""
    rows: int = 0
    """How many rows the answer has."""

    def is_a(self, kind: str) -> bool:
        """Whether a fault that is set `on` this kind may concern the request."""
        return kind in ("any", self.kind)


class Trickle(Struct, frozen=True):
    """Send the body in pieces of `size` bytes with `seconds` between them."""

    size: int
    seconds: float


class Reset(Struct, frozen=True):
    """Send this many bytes of the body, then reset the connection (RST, no orderly end)."""

    after: int


class Answer(Struct):
    """Status, headers and body; `delivery` says how the body goes out when not in one piece."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delivery: Trickle | Reset | None = None

    @classmethod
    def json(cls, content: Any, status: int = 200, **headers: str) -> "Answer":
        """Underscores in the names of headers become hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            body = orjson.dumps(content)
        except TypeError:
            # Lone surrogates, which only the standard library writes.
            body = json.dumps(content).encode()
        return cls(status, {"Content-Type": JSON, **named}, body)

    @classmethod
    def html(cls, text: str, status: int = 200) -> "Answer":
        return cls(status, {"Content-Type": HTML}, text.encode())


class RefusedError(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer
