"""Sends every operation of the OpenAPI what fits its description and what does not, and judges the answers.

Imported by the tests that attack, when they do: it takes seconds, and most processes of a test run attack nothing.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.specs.openapi import checks

from integrations_api.access.permissions import Permission
from tests.support.applications import bare_app
from tests.support.asgi import Answer
from tests.support.attacking import METRICS_TOKEN, Attacked, Headers

Sent = Case[Any]
SignIn = Callable[[], Awaitable[Headers]]

FULL = os.environ.get("ATTACK") == "full"
SEED = int(os.environ.get("ATTACK_SEED", "1"))
EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "40")) if FULL else 2
CHECKS: list[CheckFunction] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
MAY_BE_AWAY = {
    "GET /readyz",
    "GET /integrations/preview/{integration_id}",
    "POST /integrations/preview/{integration_id}",
}
"""A 503 there tells of the worker that has left, or of a source that does not answer."""
BEFORE_ANY_ROUTE = {413, 414, 431}
NUL = b"The URL must not contain NUL characters"
"""What is refused alike for everybody, before it is known which route is meant."""


@dataclass
class Operation:
    """An operation of the description, and who may call it."""

    described: Any
    permission: str | None
    is_public: bool

    @property
    def label(self) -> str:
        return str(self.described.label)

    def cases(self, world: Attacked) -> list[Sent]:
        """Requests that fit and requests that do not, at things that are there and at things that are not."""
        names = [parameter.name for parameter in self.described.path_parameters]
        there = {"path_parameters": world.known(names)}
        drawn = _drawn(self.described, GenerationMode.POSITIVE, there)
        drawn += _drawn(self.described, GenerationMode.POSITIVE, {})[-EXAMPLES // 2 :] if names else []
        if self.described.query or self.described.body or _is_typed(self.described.path_parameters):
            bodied = self.described.query or self.described.body
            drawn += _drawn(self.described, GenerationMode.NEGATIVE, there if bodied else {})
        return drawn + (_borders(self.described) if FULL else [])


def _is_typed(parameters: Any) -> bool:
    return any({"format", "minimum"} & set(parameter.definition.get("schema", {})) for parameter in parameters)


def _drawn(described: Any, mode: GenerationMode, fixed: dict[str, Any]) -> list[Sent]:
    found: list[Sent] = []

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(described.as_strategy(generation_mode=mode, feedback=NO_FEEDBACK, **fixed))
    def collect(case: Sent) -> None:
        found.append(case)

    collect()
    return found


def _borders(described: Any) -> list[Sent]:
    """The borders of the schemas: each bound and one beyond, each field left out, each type for another."""
    schema = described.schema
    config = schema.config.generation_for(operation=described)
    modes = list(GenerationMode)
    found = list(schema.iter_coverage_cases(described, generation_modes=modes, generation_config=config))
    return [case for case in found if case.method.lower() == described.method]


def operations(tags: set[str]) -> list[Operation]:
    """Those of these tags; what deletes comes last."""
    description = bare_app().openapi()
    config = schemathesis.Config()
    config.projects.default.generation.with_security_parameters = False
    config.projects.default.checks.negative_data_rejection.expected_statuses = ["4XX"]
    schema = schemathesis.openapi.from_dict(description, config=config)
    found = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        described = result.ok()
        raw = description["paths"][described.path][described.method]
        if raw["tags"][0] in tags:
            permission = raw["x-permission"]
            found.append(Operation(described, None if permission == "public" else permission, permission == "public"))
    return sorted(found, key=lambda one: one.described.method == "delete")


@dataclass
class Attack:
    """Sends, judges and counts."""

    world: Attacked
    sent: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, set[int]] = field(default_factory=dict)

    async def run(self, operation: Operation) -> None:
        """Everything about one operation: first all who may not, then those who may."""
        cases = operation.cases(self.world)
        await self._who_may_not(operation, 0)  # Makes the users it takes.
        before = await self.world.state()
        for number, case in enumerate(cases if FULL else [cases[0], cases[-1]]):
            await self._refused(operation, case, number)
        if await self.world.state() != before:
            self.problems[operation.label] = "something was done for somebody who may not"
        for number, case in enumerate(cases):
            await self._allowed(operation, case, number)

    async def _refused(self, operation: Operation, case: Sent, number: int) -> None:
        for who, headers, status, message in await self._who_may_not(operation, number):
            answer = await self._judged(operation, case, who, headers)
            if answer.status in BEFORE_ANY_ROUTE or NUL in answer.body:
                continue
            if answer.status != status or (message and message.encode() not in answer.body):
                self.problems[f"{operation.label} as {who}"] = (
                    f"{answer.status} {answer.body[:200]!r} for {case.body!r}"
                )

    async def _who_may_not(self, operation: Operation, number: int) -> list[tuple[str, Headers, int, str | None]]:
        world, permission = self.world, operation.permission
        if operation.is_public:
            return []
        nobody: Headers = [] if number % 2 else [("Authorization", "Bearer e30.e30.e30")]
        found: list[tuple[str, Headers, int, str | None]] = [("nobody", nobody, 401, None)]
        if operation.label == "GET /metrics":
            return [*found, ("admin", await world.admin(), 401, None)]
        if permission is None:
            return found if operation.label == "GET /auth/me" else [*found, ("key", await world.key(), 403, "API key")]
        lacking = await world.user(set(Permission) - {Permission(permission)})
        return [*found, ("one who lacks it", lacking, 403, f'"Missing permission: {permission}"')]

    async def _allowed(self, operation: Operation, case: Sent, number: int) -> None:
        everybody = self._who_may(operation)
        if "delete" in operation.label.lower():
            case = self._aimed(case, await self.world.renew_spare())
        for who, sign_in in everybody if FULL else [everybody[number % len(everybody)]]:
            answer = await self._judged(operation, case, who, await sign_in())
            if answer.status == 401 and not operation.is_public and operation.label != "POST /auth/logout":
                self.problems[f"{operation.label} as {who}"] = f"refused: {answer.body!r}"

    def _who_may(self, operation: Operation) -> Sequence[tuple[str, SignIn]]:
        world, permission = self.world, operation.permission
        if operation.label == "GET /metrics":
            return [("operator", _always(("Authorization", f"Bearer {METRICS_TOKEN}")))]
        if operation.is_public:
            return [("nobody", _always()), ("admin", world.admin)]
        if permission is None:
            return [("admin", world.admin), ("one who may nothing", partial(world.user, []))]
        only = ("one who has only it", partial(world.user, {Permission(permission)}))
        return [("admin", world.admin), only, ("key", world.key)]

    def _aimed(self, case: Sent, integration: UUID) -> Sent:
        if case.path_parameters.get("integration_id") == str(self.world.integration):
            case.path_parameters["integration_id"] = str(integration)
        return case

    async def _judged(self, operation: Operation, case: Sent, who: str, headers: Headers) -> Answer:
        request = requests.Request(**case.as_transport_kwargs(base_url="http://test")).prepare()
        body = _body(request)
        assert request.method is not None
        assert request.url is not None
        own = [(name, str(value)) for name, value in request.headers.items() if name.lower() != "authorization"]
        answer = await self.world.send(request.method, request.url, [*own, *headers], body=body)
        self.sent += 1
        self.statuses.setdefault(operation.label, set()).add(answer.status)
        for problem in _judge(operation, case, request, answer):
            self.problems.setdefault(f"{operation.label} as {who}: {problem}", _told(request, answer))
        return answer


def _always(*headers: tuple[str, str]) -> SignIn:
    async def same() -> Headers:
        return list(headers)

    return same


def _judge(operation: Operation, case: Sent, request: requests.PreparedRequest, answer: Answer) -> Iterator[str]:
    if answer.status >= 500 and not (answer.status == 503 and operation.label in MAY_BE_AWAY):
        yield f"a {answer.status}"
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        headers.setdefault(name, []).append(value)
    response = Response(
        status_code=answer.status, headers=headers, content=answer.body, request=request, elapsed=0.0, verify=True,
        encoding="utf-8", stream_cut_short=answer.was_cut,
    )  # fmt: skip
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as failures:
        yield from (f"{failure.title}: {failure.message[:300]}" for failure in failures.exceptions)


def _body(request: requests.PreparedRequest) -> bytes:
    assert request.body is None or isinstance(request.body, str | bytes)
    return request.body.encode() if isinstance(request.body, str) else request.body or b""


def _told(request: requests.PreparedRequest, answer: Answer) -> str:
    return f"{request.method} {request.url} {_body(request)[:500]!r} -> {answer.status} {answer.body[:300]!r}"
