"""Faults that answer in place of GitHub: limits of both kinds, broken servers, rights."""

from typing import Any, ClassVar, Literal

import orjson

from integrations_api.simulator.common.faults import Fault
from integrations_api.simulator.common.general_faults import Refusal
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.github.instance import GitHubInstance
from integrations_api.simulator.github.messages import Call

from .registry import register

_SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to "
    "GitHub Support for help, please include the request ID."
)
_UNICORN = (
    "<!DOCTYPE html><html><head><title>Unicorn!</title></head><body><h1>This page is taking too long</h1></body></html>"
)


class GitHubRefusal(Refusal[GitHubInstance, Call]):
    """Answers in place of GitHub."""


@register
class PrimaryLimit(GitHubRefusal):
    """The hourly limit is used up, `times` in a row: `status` 403 or 429, and the reset `wait` seconds away."""

    name = "primary_limit"
    status: int = 403
    wait: int = 30

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        answer = Answer.json({"message": "API rate limit exceeded for user ID 4711."}, self.status)
        reset = str(instance.clock.now() + self.wait)
        answer.headers |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Used": "5000", "X-RateLimit-Reset": reset}
        return answer


@register
class SecondaryLimit(GitHubRefusal):
    """A secondary limit, `times` in a row: with Retry-After where `wait` is above 0, else with words only.

    `status` 403, 429, or 200 as GraphQL may have it: with an error of no type, or with the message alone (`is_bare`).
    The hourly limit's reset stands in the headers as always, and means nothing here.
    """

    name = "secondary_limit"
    status: int = 403
    wait: int = 0
    is_bare: bool = False

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        said = {"message": _SECONDARY, "documentation_url": ""}
        is_listed = self.status == 200 and not self.is_bare
        answer = Answer.json({"errors": [{"message": _SECONDARY}]} if is_listed else said, self.status)
        if self.wait:
            answer.headers["Retry-After"] = str(self.wait)
        return answer


@register
class GraphLimit(GitHubRefusal):
    """GraphQL's limit is used up: 200, and an error of type `kind`; the reset is `wait` seconds away.

    RATE_LIMITED is what the documentation says, RATE_LIMIT what is sent; empty: no type, and words alone.
    """

    name = "graphql_limit"
    default_on: ClassVar[str] = "graphql"
    wait: int = 30
    kind: str = "RATE_LIMIT"

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        typed = {"type": self.kind, "code": "graphql_rate_limit"} if self.kind else {}
        answer = Answer.json({"errors": [{**typed, "message": "API rate limit already exceeded for user ID 4711."}]})
        answer.headers |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(instance.clock.now() + self.wait)}
        return answer


@register
class HourlyLimit(Fault[Any, Any]):
    """`per_hour` requests are answered, then one is refused: as if the hour passed while it is waited for."""

    name = "hourly_limit"
    per_hour: int = 60

    def __post_init__(self) -> None:
        super().__post_init__()
        self.left = self.per_hour

    async def before(self, call: Call, instance: GitHubInstance) -> Answer | None:
        if self.left > 0:
            self.left -= 1
            return None
        self.left = self.per_hour
        self.hits += 1
        return PrimaryLimit(wait=60).answer(call, instance)


@register
class ServerError(GitHubRefusal):
    """A 5xx; `form` html is the page with the unicorn, json an error in GitHub's shape."""

    name = "server_error"
    status: int = 502
    form: Literal["json", "html"] = "json"

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        if self.form == "html":
            return Answer.html(_UNICORN, self.status)
        return Answer.json({"message": "Server Error"}, self.status)


@register
class WebPage(GitHubRefusal):
    """200 with a web page: what a proxy or a sign-in portal in between answers."""

    name = "web_page"

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        return Answer.html("<!DOCTYPE html><html><body>Please sign in to the network</body></html>")


@register
class SingleSignOn(GitHubRefusal):
    """The organization asks for single sign-on, and the token was not authorized for it.

    REST answers 403 with a header, GraphQL 200 with an error; who signs in may be asked all the same.
    """

    name = "single_sign_on"
    default_on: ClassVar[str] = "page"
    default_times: ClassVar[int | None] = None

    async def before(self, call: Call, instance: GitHubInstance) -> Answer | None:
        return None if b"viewer" in call.body else await super().before(call, instance)

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        message = "Resource protected by organization SAML enforcement."
        if call.path == "/graphql":
            extensions = {"saml_failure": True}
            error = {"type": "FORBIDDEN", "path": ["r0"], "extensions": extensions, "message": message}
            return Answer.json({"data": {"r0": None}, "errors": [error]})
        answer = Answer.json({"message": message}, 403)
        answer.headers["X-GitHub-SSO"] = "required; url=https://github.com/orgs/harbour-it/sso?authorization_request=x"
        return answer


@register
class OrganizationPolicy(GitHubRefusal):
    """An organization keeps out this kind of token, or this address: REST answers 403, GraphQL 200 with an error."""

    name = "organization_policy"
    default_times: ClassVar[int | None] = None
    WORDS: ClassVar[dict[str, str]] = {
        "address": "Although you appear to have the correct authorization credentials, the `harbour-it` organization "
        "has an IP allow list enabled, and your IP address is not permitted to access this resource.",
        "token": "`harbour-it` forbids access via a personal access token (classic). Please use a GitHub App, OAuth "
        "App, or a personal access token with fine-grained permissions.",
    }

    what: Literal["address", "token"] = "address"

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        message = self.WORDS[self.what]
        if call.path == "/graphql":
            return Answer.json({"data": None, "errors": [{"type": "FORBIDDEN", "path": ["r0"], "message": message}]})
        return Answer.json({"message": message, "status": "403"}, 403)


@register
class ResourceLimits(GitHubRefusal):
    """A query for more than `most` repositories, or for the comments of more issues, costs more than one may."""

    name = "resource_limits"
    default_times: ClassVar[int | None] = None
    most: int = 1

    async def before(self, call: Call, instance: GitHubInstance) -> Answer | None:
        is_much = call.path == "/graphql" and self._asked(call) > self.most
        return self.answer(call, instance) if is_much and self.strikes(call) else None

    def _asked(self, call: Call) -> int:
        of_an_owner: int = orjson.loads(call.body).get("variables", {}).get("first", 0)
        return max(of_an_owner, call.body.count(b": repository("), call.body.count(b"_kwDO"))

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        error = {
            "type": "RESOURCE_LIMITS_EXCEEDED",
            "path": ["r0"],
            "message": "Resource limits for this query exceeded.",
        }
        return Answer.json({"data": {"r0": None}, "errors": [error]})


@register
class GraphError(GitHubRefusal):
    """Something behind GraphQL does not answer, `times` in a row: 200, and an error of type `kind`."""

    name = "graphql_error"
    default_on: ClassVar[str] = "graphql"
    kind: str = "SERVICE_UNAVAILABLE"

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        message = "Something went wrong while executing your query. Please include `0401:6C25` when reporting this."
        return Answer.json({"data": None, "errors": [{"type": self.kind, "message": message}]})


@register
class GraphTimeout(GitHubRefusal):
    """A query for the comments of more than `most` issues at once runs into GitHub's time limit."""

    name = "graphql_timeout"
    default_on: ClassVar[str] = "comments"
    default_times: ClassVar[int | None] = None
    most: int = 5

    async def before(self, call: Call, instance: GitHubInstance) -> Answer | None:
        return self.answer(call, instance) if call.body.count(b"_kwDO") > self.most and self.strikes(call) else None

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        message = "Something went wrong while executing your query. This may be the result of a timeout."
        return Answer.json({"data": None, "errors": [{"message": message}]})
