"""The hourly limits, by token and resource, and the headers that tell of them."""

from msgspec import Struct, field

from integrations_api.simulator.common.clock import Clock
from integrations_api.simulator.common.messages import Answer, RefusedError

from .messages import Call

HOUR = 3600
PER_HOUR = 5000


class Limits(Struct):
    """Counts requests; a window begins with its first request and lasts an hour."""

    clock: Clock
    per_hour: int = PER_HOUR
    status: int = 403
    """What a REST request beyond the limit is answered with, 403 or 429; GraphQL answers 200 with an error."""
    windows: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """By token and resource: when the window ends, and how many requests it has seen."""

    def _window(self, call: Call) -> tuple[int, int]:
        key = (call.token.value if call.token else "", call.resource)
        now = self.clock.true_now()
        ends, used = self.windows.get(key, (0, 0))
        if ends <= now:
            ends, used = now + HOUR, 0
            self.windows[key] = ends, used
        return ends, used

    def check(self, call: Call) -> None:
        """Raises RefusedError beyond the limit."""
        _, used = self._window(call)
        if used >= self.per_hour:
            message = "API rate limit exceeded for user ID 4711."
            if call.resource == "graphql":
                error = {"type": "RATE_LIMIT", "code": "graphql_rate_limit", "message": message}
                raise RefusedError(Answer.json({"errors": [error]}))
            raise RefusedError(Answer.json({"message": message, "documentation_url": ""}, self.status))

    def count(self, call: Call) -> None:
        """After an answer; one that says "not modified" costs nothing."""
        ends, used = self._window(call)
        self.windows[call.token.value if call.token else "", call.resource] = ends, used + (not call.costs_nothing)

    def tell(self, call: Call, headers: dict[str, str]) -> None:
        """The headers of every answer."""
        ends, used = self._window(call)
        headers.setdefault("X-RateLimit-Limit", str(self.per_hour))
        headers.setdefault("X-RateLimit-Remaining", str(max(0, self.per_hour - used)))
        headers.setdefault("X-RateLimit-Used", str(used))
        headers.setdefault("X-RateLimit-Reset", str(ends + self.clock.offset))
        headers.setdefault("X-RateLimit-Resource", call.resource)
