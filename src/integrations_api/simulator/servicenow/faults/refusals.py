"""Faults that answer in place of the table: busy, broken, asleep, elsewhere, signed out."""

from dataclasses import field
from email.utils import formatdate
from typing import ClassVar, Literal

from integrations_api.simulator.common.general_faults import Refusal
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Call, CallKind, error_answer

from .base import Fault
from .registry import register

HIBERNATION_PAGE = """<!DOCTYPE html>
<html><head><title>Instance Hibernating page</title></head>
<body class="instance-hibernating-page"><h1>Your instance is hibernating</h1>
<p>Sign in to the developer site to wake it up.</p></body></html>
"""
ERROR_PAGE = "<html><head><title>{status}</title></head><body><h1>Service temporarily unavailable</h1></body></html>"
RULE_ID = "5a3b9c0e1f2d4a6b8c7d9e0f1a2b3c4d"
DEVELOPER_SITE = "https://developer.servicenow.com/dev.do"


@register
class RateLimited(Refusal[ServiceNowInstance, Call]):
    """429, `times` in a row.

    `kind`: `seconds` and `date` send Retry-After (with the X-RateLimit headers of a rate rule), `reset` sends the
    X-RateLimit
    headers only, `bare` sends none, as when the API semaphores are exhausted. `wait` is in seconds.
    """

    name = "rate_limited"
    kind: Literal["seconds", "date", "reset", "bare"] = "seconds"
    wait: int = 1

    def answer(self, call: Call, instance: ServiceNowInstance) -> Answer:
        detail = "Rate limit of 100 requests per hour for Table API exceeded"
        answer = error_answer(429, "Rate limit exceeded", detail if self.kind != "bare" else None)
        if self.kind == "bare":
            return answer
        now = instance.clock.now()
        reset = str(now + self.wait)
        answer.headers |= {"X-RateLimit-Limit": "100", "X-RateLimit-Reset": reset, "X-RateLimit-Rule": RULE_ID}
        if self.kind == "seconds":
            answer.headers["Retry-After"] = str(self.wait)
        elif self.kind == "date":
            answer.headers["Retry-After"] = formatdate(now + self.wait, usegmt=True)
        return answer


@register
class RateRule(Fault):
    """A rate limit rule: every answer tells the X-RateLimit headers, and past `per_hour` requests it is 429 until
    the hour ends.

    The hour is the instance's, from full hour to full hour.
    """

    name = "rate_rule"
    default_on: ClassVar[str] = "any"
    per_hour: int = 100
    _hour: int = field(default=0, init=False)
    _used: int = field(default=0, init=False)

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if not self.strikes(call):
            return None
        hour = instance.clock.now() // 3600
        if hour != self._hour:
            self._hour, self._used = hour, 0
        self._used += 1
        if self._used <= self.per_hour:
            return None
        detail = f"Rate limit of {self.per_hour} requests per hour for Table API exceeded"
        wait = str((hour + 1) * 3600 - instance.clock.now())
        answer = error_answer(429, "Rate limit exceeded", detail, Retry_After=wait)
        answer.headers |= self._headers()
        return answer

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        if self.strikes(call):
            answer.headers |= self._headers()
        return answer

    def _headers(self) -> dict[str, str]:
        reset = str((self._hour + 1) * 3600)
        return {"X-RateLimit-Limit": str(self.per_hour), "X-RateLimit-Reset": reset, "X-RateLimit-Rule": RULE_ID}


@register
class TooManyAtOnce(Refusal[ServiceNowInstance, Call]):
    """Bare 429 for every request that comes while `most` others are being answered (semaphore queue full)."""

    name = "too_many_at_once"
    default_times: ClassVar[int | None] = None
    most: int = 4
    _going: set[int] = field(default_factory=set, init=False)

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if len(self._going) >= self.most and self.strikes(call):
            return error_answer(429, "Rate limit exceeded")
        self._going.add(call.number)
        return None

    async def sent(self, call: Call, instance: ServiceNowInstance) -> None:
        self._going.discard(call.number)


@register
class ServerError(Refusal[ServiceNowInstance, Call]):
    """`status` (500, 502, 503, …) with a body in `form` json or html."""

    name = "server_error"
    status: int = 500
    form: Literal["json", "html"] = "json"

    def answer(self, call: Call, instance: ServiceNowInstance) -> Answer:
        if self.form == "html":
            return Answer.html(ERROR_PAGE.format(status=self.status), self.status)
        return error_answer(self.status, "Internal server error", "An unexpected error occurred")


@register
class Hibernating(Refusal[ServiceNowInstance, Call]):
    """The page of a developer instance that sleeps, as 200 with HTML. Until cleared, unless `times` says otherwise."""

    name = "hibernating"
    default_times: ClassVar[int | None] = None

    def answer(self, call: Call, instance: ServiceNowInstance) -> Answer:
        return Answer.html(HIBERNATION_PAGE)


@register
class HibernatingRedirect(Refusal[ServiceNowInstance, Call]):
    """A developer instance that sleeps, as 302 to the developer site."""

    name = "hibernating_redirect"
    default_times: ClassVar[int | None] = None

    def answer(self, call: Call, instance: ServiceNowInstance) -> Answer:
        return Answer(302, {"Location": DEVELOPER_SITE, "Content-Type": "text/html"})


@register
class Accepted202(Refusal[ServiceNowInstance, Call]):
    """202 with nothing: the request was dropped from the session's queue."""

    name = "accepted_202"

    def answer(self, call: Call, instance: ServiceNowInstance) -> Answer:
        return Answer(202)


@register
class TokenExpiry(Fault):
    """All access tokens end just before the requests that it strikes; refresh tokens live on."""

    name = "token_expiry"
    default_on: ClassVar[str] = "table"
    default_times: ClassVar[int | None] = 1

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if self.strikes(call):
            instance.door.expire_tokens()
        return None


@register
class Forbidden(Fault):
    """403 with `message` for a table: `table` names it."""

    name = "forbidden"
    default_on: ClassVar[str] = "table"
    table: str = "incident"

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if call.table == self.table and call.kind is not CallKind.STATS and self.strikes(call):
            return error_answer(403, "User Not Authorized", "Failed API level ACL Validation")
        return None
