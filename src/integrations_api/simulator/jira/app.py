"""The site's web application, with the authorization server and the gateway that belong to it."""

import hashlib
import json
import secrets
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from integrations_api.simulator.common.control import Control
from integrations_api.simulator.common.faults import FaultSet
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.common.signing_in import OAuthError
from integrations_api.simulator.common.web import WebSimulator

from .api import Api, kind_of
from .evolve import evolve
from .faults import BOOK, Fault
from .jql import JqlError
from .messages import Call, CallKind, error_answer, refuse
from .site import OPERATIONS, JiraSite

CLOUD_ID = hashlib.sha256(b"the simulated site").hexdigest()[:32]
_ROOTS = ("/rest/api/{version}", "/ex/jira/{cloud_id}/rest/api/{version}")
_PATHS = {
    "search/jql": "jql",
    "search/approximate-count": "count",
    "search": "search",
    "myself": "myself",
    "serverInfo": "server",
    "issue/{target}/comment": "comments",
    "issue/{target}": "issue",
    "project/{target}": "project",
}
_OAUTH = {
    "/authorize": "authorize",
    "/oauth/token": "token",
    "/oauth/token/accessible-resources": "resources",
    "/rest/oauth2/latest/authorize": "authorize",
    "/rest/oauth2/latest/token": "token",
}
ROUTES = (*(f"{root}/{path}" for root in _ROOTS for path in _PATHS), *_OAUTH)


class Simulator(WebSimulator[JiraSite, Call]):
    """Site, faults and request log behind one ASGI application, `asgi`."""

    def __init__(self, site: JiraSite, *, control: bool = False) -> None:
        faults = FaultSet(site, BOOK)
        plane = Control(site, faults, operations=OPERATIONS, evolve=partial(evolve, site)) if control else None
        super().__init__(site, faults, routes=ROUTES, control=plane)
        self.api = Api(site)

    def call_of(self, request: Request, *, number: int, body: bytes) -> Call:
        params = dict(request.query_params)
        args: dict[str, Any] = {**params, **_form(request, body)}
        path = request.url.path
        by_gateway = path.startswith("/ex/jira/")
        name = _OAUTH.get(path) or _operation(path)
        return Call(
            number=number,
            method=request.method,
            path=path,
            params={key: value if isinstance(value, str) else json.dumps(value) for key, value in args.items()},
            headers=request.headers,
            body=body,
            base_url=f"{request.url.scheme}://{request.url.netloc}",
            kind=CallKind.TOKEN if path in _OAUTH else kind_of(name, args) if name else CallKind.OTHER,
            args=args,
            name=name,
            target=request.path_params.get("target", ""),
            by_gateway=by_gateway,
        )

    def served(self, call: Call) -> Answer:
        if call.kind == CallKind.TOKEN:
            return self._oauth(call)
        if call.by_gateway and call.path.split("/")[3] != CLOUD_ID:
            raise refuse(404, "dead link")
        if self._is_no_bearer(call):
            return Answer.json({"error": "Failed to parse Connect Session Auth Token"}, 403)
        if call.name == "server":
            return self.api.server_info(call)
        call.user, call.auth_kind = self.instance.door.identify(
            call.headers.get("authorization", ""), by_gateway=call.by_gateway
        )
        for fault in self.faults.of(Fault):
            fault.prepare(call)
        if call.user is None:
            return self._stranger(call)
        try:
            return self.api.answer(call, self.faults.of(Fault))
        except JqlError as error:
            raise refuse(400, str(error)) from None

    def _is_no_bearer(self, call: Call) -> bool:
        """A Cloud site takes no bearer token, whatever is asked; its gateway does (php-jira-rest-client#528)."""
        is_bearer = call.headers.get("authorization", "").lower().startswith("bearer ")
        return is_bearer and not call.by_gateway and self.instance.flavour == "cloud"

    def _stranger(self, call: Call) -> Answer:
        """Nobody, or wrong credentials: what fails to sign in is told in a header beside the body."""
        reason = "AUTHENTICATED_FAILED" if call.auth_kind != "none" else "OUT"
        answer = error_answer(401, "Client must be authenticated to access this resource.")
        answer.headers["X-Seraph-LoginReason"] = reason
        return answer

    def _oauth(self, call: Call) -> Answer:
        door = self.instance.door
        try:
            match call.name:
                case "authorize":
                    return Answer(302, {"Location": door.authorize(call.params)})
                case "token" if call.method == "POST":
                    return Answer.json(door.grant({key: str(value) for key, value in call.args.items()}))
                case "resources":
                    return self._resources(call)
                case _:
                    raise refuse(405, "Method not allowed")
        except OAuthError as error:
            return Answer.json({"error": error.error, "error_description": error.description}, error.status)

    def _resources(self, call: Call) -> Answer:
        """The sites that a token is good for."""
        user, _ = self.instance.door.identify(call.headers.get("authorization", ""), by_gateway=True)
        if user is None:
            return Answer.json({"code": 401, "message": "Unauthorized"}, 401)
        elsewhere = {"id": "0" * 32, "name": "elsewhere", "url": "https://elsewhere.atlassian.net", "scopes": []}
        here = {"id": CLOUD_ID, "name": "site", "url": call.base_url, "scopes": ["read:jira-work"]}
        return Answer.json([elsewhere, here])

    def dressed(self, call: Call, answer: Answer) -> Answer:
        answer.headers.setdefault("X-AREQUESTID", secrets.token_hex(8))
        if self.instance.flavour == "datacenter":
            answer.headers.setdefault("X-RateLimit-Limit", "500")
            answer.headers.setdefault("X-RateLimit-Remaining", "499")
            answer.headers.setdefault("X-RateLimit-Interval-Seconds", "1")
            answer.headers.setdefault("X-RateLimit-FillRate", "100")
        return super().dressed(call, answer)


def _operation(path: str) -> str:
    """The operation that a path under one of the API's roots names, empty for none."""
    rest = path.partition("/rest/api/")[2].partition("/")[2]
    parts = rest.split("/")
    if parts[0] in ("issue", "project") and len(parts) > 1:
        parts[1] = "{target}"
    return _PATHS.get("/".join(parts), "")


def _form(request: Request, body: bytes) -> dict[str, Any]:
    """The parameters of a body: JSON or a form, nothing for anything else."""
    if not body:
        return {}
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
