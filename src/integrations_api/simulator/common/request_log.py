"""What was asked of the simulator: for tests that count requests and look at them."""

import threading
from collections import deque
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from .messages import Call

KEPT = 20_000


class LoggedRequest(Struct):
    """One request; `at` is the instance's UTC second, `status` 0 until the answer is known."""

    number: int
    method: str
    path: str
    kind: str
    params: dict[str, str]
    auth: str
    at: str
    status: int = 0
    rows: int = 0
    bytes: int = 0
    sent_cookies: bool = False


class RequestLog(Struct):
    """The latest requests and some counters."""

    requests: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=KEPT))
    total: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, call: Call, at: str) -> LoggedRequest:
        entry = LoggedRequest(
            call.number,
            call.method,
            call.path,
            str(call.kind),
            call.params,
            call.auth_kind,
            at,
            sent_cookies="cookie" in call.headers,
        )
        with self.lock:
            self.requests.append(entry)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return entry

    def next_number(self) -> int:
        with self.lock:
            self.total += 1
            return self.total

    def end(self) -> None:
        with self.lock:
            self.in_flight -= 1

    def clear(self) -> None:
        """Forgets the requests; those in flight stay counted, and numbers go on."""
        with self.lock:
            self.requests.clear()
            self.most_in_flight = self.in_flight

    def as_json(self) -> dict[str, Any]:
        with self.lock:
            return {
                "total": self.total,
                "in_flight": self.in_flight,
                "most_in_flight": self.most_in_flight,
                "requests": [asdict(entry) for entry in self.requests],
            }
