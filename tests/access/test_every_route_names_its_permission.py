"""Each route says who may use it, exactly once: a permission, any signed-in user, or everybody."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from integrations_api.access.dependencies import PUBLIC, Requirement, SignedIn, require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.routes import Router, StrictRoute, access_rules, all_routes
from integrations_api.operations.dependencies import MetricsToken
from tests.support.applications import bare_app

PUBLIC_ROUTES = {
    "/auth/token",
    "/auth/invitation",
    "/healthz",
    "/readyz",
    "/docs",
    "/docs/oauth2-redirect",
    "/openapi.json",
    "/integrations/oauth/callback",
}
SIGNED_IN_ROUTES = {
    "/auth/me", "/auth/logout", "/auth/password", "/auth/sign-ins", "/auth/api-keys", "/auth/api-keys/{key_id}",
}  # fmt: skip

ASKED_FOR = {
    Permission.INTEGRATION_VIEW: {
        "GET /integrations/all",
        "GET /integrations/services",
        "GET /integrations/id/{integration_id}",
        "GET /integrations/secrets/{integration_id}",
        "GET /integrations/sync/{integration_id}/events",
        "GET /integrations/sync/{integration_id}/runs",
        "GET /integrations/runs/{run_id}",
        "GET /integrations/runs/{run_id}/events",
        "GET /integrations/runs/{run_id}/rejected",
        "POST /integrations/runs/{run_id}/ticket",
    },
    Permission.INTEGRATION_CREATE: {"POST /integrations/create", "POST /integrations/test"},
    Permission.INTEGRATION_EDIT: {
        "PUT /integrations/update/{integration_id}",
        "PUT /integrations/schedule/{integration_id}",
        "POST /integrations/preview/{integration_id}",
        "POST /integrations/oauth/{integration_id}/authorize",
    },
    Permission.INTEGRATION_DELETE: {"DELETE /integrations/delete/{integration_id}"},
    Permission.INTEGRATION_SYNC: {
        "POST /integrations/sync/{integration_id}",
        "POST /integrations/sync/{integration_id}/cancel",
        "POST /integrations/runs/{run_id}/resume",
        "POST /integrations/test/{integration_id}",
        "GET /integrations/preview/{integration_id}",
    },
    Permission.KNOWLEDGE_ROLLBACK: {
        "POST /knowledge/datasets/{integration_id}/versions/{n}/publish",
        "POST /knowledge/datasets/{integration_id}/versions/{n}/discard",
        "POST /knowledge/datasets/{integration_id}/versions/{n}/rollback",
    },
    Permission.KNOWLEDGE_PURGE: {"POST /knowledge/incidents/{number:path}/purge"},
    Permission.AUDIT_VIEW: {"GET /audit", "GET /audit/export"},
}
"""Operations by their permission; all others under /users ask for user.manage, under /knowledge for knowledge.view."""


def silent_routes(app: FastAPI) -> list[str]:
    """The routes that do not name exactly one access rule, or are not strict about their input."""
    found = []
    for context in all_routes(app.routes):
        route = context.original_route
        rules = list(access_rules(context.dependant)) if isinstance(route, APIRoute) else []
        if len(rules) != 1 or not isinstance(route, StrictRoute):
            found.append(str(context.path))
    return found


def test_every_route_names_its_permission() -> None:
    app = bare_app()

    assert len(all_routes(app.routes)) >= len(PUBLIC_ROUTES)
    assert silent_routes(app) == []


def test_each_operation_asks_for_the_permission_that_is_meant() -> None:
    asked = {
        f"{method} {context.path}": rule.permission
        for context in all_routes(bare_app().routes)
        if isinstance(route := context.original_route, APIRoute)
        for method in (route.methods or set()) - {"HEAD"}
        for rule in access_rules(context.dependant)
        if rule.permission is not None
    }

    meant = {operation: permission for permission, operations in ASKED_FOR.items() for operation in operations}
    others = {operation: permission for operation, permission in asked.items() if operation not in meant}
    assert {operation: asked.get(operation) for operation in meant} == meant
    assert len(others) > 20
    for operation, permission in others.items():
        room = operation.partition("/")[2].partition("/")[0]
        assert (room, permission) in {
            ("users", Permission.USER_MANAGE),
            ("knowledge", Permission.KNOWLEDGE_VIEW),
        }, operation


def test_a_route_with_an_allowance_describes_how_it_refuses() -> None:
    limited = {
        str(context.path): context.original_route.responses
        for context in all_routes(bare_app().routes)
        if isinstance(context.original_route, APIRoute)
        for rule in access_rules(context.dependant)
        if isinstance(rule, Requirement) and rule.rate is not None
    }

    assert len(limited) >= 6
    assert {path for path, responses in limited.items() if 429 not in responses} == set()


def test_what_is_public_is_listed_here() -> None:
    rules = {
        str(context.path): next(access_rules(context.dependant))
        for context in all_routes(bare_app().routes)
        if isinstance(context.original_route, APIRoute)
    }

    assert {path for path, rule in rules.items() if rule.public} == PUBLIC_ROUTES
    unnamed = {path for path, rule in rules.items() if not rule.public and rule.permission is None}
    assert unnamed == SIGNED_IN_ROUTES | {"/metrics"}
    assert isinstance(rules["/metrics"], MetricsToken)


async def silent() -> None: ...


async def once(_: Annotated[Principal, Depends(require(Permission.AUDIT_VIEW))]) -> None: ...


async def twice(
    _: Annotated[Principal, Depends(require(Permission.AUDIT_VIEW))],
    __: Annotated[Principal, Depends(require(Permission.USER_MANAGE))],
) -> None: ...


async def signed_in(_: SignedIn) -> None: ...


@pytest.mark.parametrize(
    ("endpoint", "public", "found"),
    [
        (silent, False, ["/planted"]),
        (twice, False, ["/planted"]),
        (once, True, ["/planted"]),
        (once, False, []),
        (signed_in, False, []),
        (silent, True, []),
    ],
)
def test_a_planted_route_is_found_when_it_says_nothing_or_too_much(
    endpoint: object, public: bool, found: list[str]
) -> None:
    app = bare_app()
    router = Router()
    assert callable(endpoint)
    router.add_api_route("/planted", endpoint, dependencies=[PUBLIC] if public else [])
    app.include_router(router)

    assert silent_routes(app) == found


def test_a_route_past_our_router_is_found() -> None:
    app = bare_app()
    app.add_api_route("/lenient", silent, dependencies=[PUBLIC])
    app.add_route("/bare", lambda request: None)  # type: ignore[arg-type, return-value]

    assert silent_routes(app) == ["/lenient", "/bare"]


def test_the_same_permission_is_the_same_dependency() -> None:
    assert require(Permission.AUDIT_VIEW) is require(Permission.AUDIT_VIEW)
    assert isinstance(require(Permission.AUDIT_VIEW), Requirement)
