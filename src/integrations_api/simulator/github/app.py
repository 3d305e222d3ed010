"""The web application of the simulated GitHub: REST and GraphQL, tokens, limits, ETags."""

import hashlib
import secrets
from functools import partial

from starlette.requests import Request

from integrations_api.simulator.common.control import Control
from integrations_api.simulator.common.faults import FaultSet
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.common.web import WebSimulator

from .door import Door
from .faults import BOOK
from .generate import evolve
from .graph import GraphApi
from .instance import OPERATIONS, GitHubInstance
from .limits import Limits
from .messages import Call, CallKind, refuse
from .rest import RestApi
from .shapes import written

SERVER_PREFIX = "/api/v3"


class Simulator(WebSimulator[GitHubInstance, Call]):
    """Answers as api.github.com does, and under `/api/v3` and `/api/graphql` as an Enterprise Server does."""

    def __init__(self, instance: GitHubInstance, *, control: bool = False) -> None:
        faults = FaultSet(instance, BOOK)
        plane = Control(instance, faults, operations=OPERATIONS, evolve=partial(evolve, instance)) if control else None
        super().__init__(instance, faults, routes=(), control=plane)
        self.limits = Limits(instance.clock)
        self.rest = RestApi(instance)
        self.graph = GraphApi(instance)
        self.door = Door(instance)

    def call_of(self, request: Request, *, number: int, body: bytes) -> Call:
        path, prefix = request.url.path, ""
        if path == "/api/graphql":
            path = "/graphql"
        elif path.startswith(f"{SERVER_PREFIX}/"):
            path, prefix = path.removeprefix(SERVER_PREFIX), SERVER_PREFIX
        return Call(
            number=number,
            method=request.method,
            path=path,
            params=dict(request.query_params),
            headers=request.headers,
            body=body,
            base_url=f"{request.url.scheme}://{request.url.netloc}",
            kind=_kind(path, body),
            prefix=prefix,
        )

    def served(self, call: Call) -> Answer:
        """Raises RefusedError."""
        if not call.headers.get("user-agent"):
            raise refuse(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent"
            )
        if call.kind is CallKind.SIGN_IN:
            return self.door.answer(call)
        self._sign_in(call)
        self.limits.check(call)
        is_graph = call.path == "/graphql"
        answer = self.graph.answer(call) if is_graph else _or_not_modified(call, self.rest.answer(call))
        self.limits.count(call)
        return answer

    def _sign_in(self, call: Call) -> None:
        scheme, _, value = call.headers.get("authorization", "").partition(" ")
        token = self.instance.tokens.get(value.strip()) if scheme.lower() in ("bearer", "token") else None
        if token is not None and token.expires is not None and token.expires <= self.instance.clock.true_now():
            token = None
        if token is None:
            raise refuse(401, "Bad credentials" if value else "Requires authentication")
        call.token, call.auth_kind = token, scheme.lower()

    def dressed(self, call: Call, answer: Answer) -> Answer:
        headers = answer.headers
        headers.setdefault("Server", "github.com")
        headers.setdefault("X-GitHub-Request-Id", secrets.token_hex(8).upper())
        headers.setdefault("X-GitHub-Media-Type", "github.v3; format=json")
        self.limits.tell(call, headers)
        if (token := call.token) is not None:
            if token.scopes is not None:
                headers.setdefault("X-OAuth-Scopes", token.scopes)
            if (until := written(token.expires)) is not None:
                shown = until.replace("T", " ").replace("Z", " UTC")
                headers.setdefault("GitHub-Authentication-Token-Expiration", shown)
        return super().dressed(call, answer)


def _kind(path: str, body: bytes) -> CallKind:
    if path == "/graphql":
        return CallKind.COMMENTS if b"comments(" in body else CallKind.GRAPHQL
    if path.startswith("/login/"):
        return CallKind.SIGN_IN
    if path.endswith("/comments"):
        return CallKind.COMMENTS
    if path.endswith("/issues"):
        return CallKind.PAGE
    return CallKind.ISSUE if "/issues/" in path else CallKind.OTHER


def _or_not_modified(call: Call, answer: Answer) -> Answer:
    if answer.status != 200:
        return answer
    etag = f'W/"{hashlib.sha256(answer.body).hexdigest()}"'
    if call.headers.get("if-none-match") == etag:
        call.costs_nothing = True
        return Answer(304, {"ETag": etag})
    answer.headers["ETag"] = etag
    return answer
