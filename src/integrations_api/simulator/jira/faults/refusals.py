"""Faults that answer in place of the site: busy, broken, signed out."""

from datetime import UTC, datetime
from email.utils import formatdate
from typing import ClassVar, Literal

from integrations_api.simulator.common.general_faults import Refusal
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.jira.messages import Call, error_answer
from integrations_api.simulator.jira.site import JiraSite

from .base import Fault
from .registry import register


@register
class RateLimited(Refusal[JiraSite, Call]):
    """429, `times` in a row.

    `kind`: `seconds` and `date` send Retry-After, `reset` an X-RateLimit-Reset in ISO 8601 only, `bucket` what Data
    Center sends (Retry-After and the bucket's headers), `zero` the same with Retry-After 0. `wait` is in seconds.
    """

    name = "rate_limited"
    kind: Literal["seconds", "date", "reset", "bucket", "zero"] = "seconds"
    wait: int = 1
    reason: str = "jira-burst-based"

    def answer(self, call: Call, instance: JiraSite) -> Answer:
        answer = error_answer(429, "Rate limit exceeded.")
        until = instance.clock.now() + self.wait
        match self.kind:
            case "seconds":
                answer.headers["Retry-After"] = str(self.wait)
            case "date":
                answer.headers["Retry-After"] = formatdate(until, usegmt=True)
            case "reset":
                answer.headers["X-RateLimit-Reset"] = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%MZ}"
            case "bucket" | "zero":
                wait = 0 if self.kind == "zero" else self.wait
                answer.headers |= {"Retry-After": str(wait), "X-RateLimit-Remaining": "0"}
        if self.kind not in ("bucket", "zero"):
            answer.headers |= {"RateLimit-Reason": self.reason, "X-RateLimit-NearLimit": "true"}
        return answer


@register
class ServerError(Refusal[JiraSite, Call]):
    """`status` (500, 502, 503, …) with a body in `form` json or html; `retry_after` seconds where it is not 0."""

    name = "server_error"
    status: int = 503
    form: Literal["json", "html"] = "html"
    retry_after: int = 0

    def answer(self, call: Call, instance: JiraSite) -> Answer:
        page = "<html><head><title>Unavailable</title></head><body><h1>Service unavailable</h1></body></html>"
        is_page = self.form == "html"
        answer = Answer.html(page, self.status) if is_page else error_answer(self.status, "Internal server error")
        if self.retry_after:
            answer.headers["Retry-After"] = str(self.retry_after)
        return answer


@register
class WebPage(Refusal[JiraSite, Call]):
    """200 with a page for people: maintenance, or a sign-in form before the site."""

    name = "web_page"

    def answer(self, call: Call, instance: JiraSite) -> Answer:
        return Answer.html("<!DOCTYPE html><html><head><title>Log in</title></head><body>Log in</body></html>")


@register
class CredentialsExpire(Fault):
    """The credentials stop working: `form` unauthorized answers 401; anonymous answers searches 200 and empty, and
    looks for single things 404, with no sign but a header."""

    name = "credentials_expire"
    default_on: ClassVar[str] = "any"
    form: Literal["unauthorized", "anonymous"] = "unauthorized"

    def prepare(self, call: Call) -> None:
        if self.form == "unauthorized" and self.strikes(call):
            call.user = None

    async def before(self, call: Call, instance: JiraSite) -> Answer | None:
        if self.form == "unauthorized" or call.name in ("server", "myself") or not self.strikes(call):
            return None
        if call.name in ("jql", "search"):
            answer = Answer.json({"issues": [], "isLast": True, "total": 0, "startAt": 0, "maxResults": 50})
        else:
            answer = error_answer(404, "Issue does not exist or you do not have permission to see it.")
        answer.headers["X-Seraph-LoginReason"] = "AUTHENTICATED_FAILED"
        return answer


@register
class AccessTokensExpire(Fault):
    """All OAuth access tokens end just before the requests that it strikes; refresh tokens live on."""

    name = "access_tokens_expire"
    default_times: ClassVar[int | None] = 1

    async def before(self, call: Call, instance: JiraSite) -> Answer | None:
        if self.strikes(call):
            instance.door.expire_tokens()
        return None


@register
class NoAccess(Refusal[JiraSite, Call]):
    """403: the user may sign in and is shown nothing of this kind."""

    name = "no_access"
    default_times: ClassVar[int | None] = None

    def answer(self, call: Call, instance: JiraSite) -> Answer:
        return error_answer(403, "You do not have the permission to see the specified issue.")


@register
class Captcha(Refusal[JiraSite, Call]):
    """Data Center after too many failed sign-ins: 403 until somebody signs in in a browser."""

    name = "captcha"
    default_times: ClassVar[int | None] = None

    def answer(self, call: Call, instance: JiraSite) -> Answer:
        return error_answer(
            403,
            "Basic Authentication Failure",
            X_Authentication_Denied_Reason="CAPTCHA_CHALLENGE; login-url=/login.jsp",
        )
