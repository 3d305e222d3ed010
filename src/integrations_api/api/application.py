"""FastAPI with our own way from the server to a route: fewer layers, and a table instead of a walk past every route.

FastAPI's stack has three layers that do nothing here: for defects (the outermost of ours answers those), for telemetry
(off), for a limit of bodies (ours). Its routers within routers were walked one by one: bench/api.py.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute, APIRouter
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from integrations_api.api.heads import HeadAsGet
from integrations_api.api.routes import StrictRoute

PAUSE = 0.02
"""Seconds for requests between two routes that are built; one takes a few milliseconds."""


class Application(FastAPI):
    """Needs a middleware that answers defects: what a handler does not know goes up to the server."""

    def build_middleware_stack(self) -> ASGIApp:
        """Called by Starlette at the first request."""
        handlers: dict[Any, Any] = dict(self.exception_handlers)
        # Forms that go FastAPI's way are closed by the exit stack.
        app: ASGIApp = AsyncExitStackMiddleware(RouteTable(self.router))
        app = HeadAsGet(ExceptionMiddleware(app, handlers=handlers))
        for middleware, given, options in reversed(self.user_middleware):
            app = middleware(app, *given, **options)
        return app

    async def build_routes(self, *, pause: float = PAUSE) -> None:
        """Builds all routes, one after the other, so that few requests are the first to want theirs."""
        for route in self.routes:
            await asyncio.sleep(pause)
            if isinstance(route, StrictRoute):
                route.build()


class RouteTable:
    """Finds a route by the first two words of its path; what is not found is left to the router, and to its errors."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._by_head = _by_head([route for route in router.routes if isinstance(route, APIRoute)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.find(scope)
        if route is None:
            await self._router(scope, receive, send)
        else:
            await route.handle(scope, receive, send)

    def find(self, scope: Scope) -> BaseRoute | None:
        """The route of a request, whose scope then tells it; None where there is none, or that is not so simple."""
        if scope["type"] != "http" or scope.get("root_path"):
            return None
        head = _head(scope["path"])
        for route in self._by_head.get(head) or self._by_head.get(head[:1]) or ():
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                return route
        return None


Head = tuple[str, ...]
"""The first two words of a path, or the only one; of a template, an empty word stands for what is not fixed."""


def _head(path: str) -> Head:
    return tuple(path.split("/", 3)[1:3])


def _by_head(routes: Sequence[APIRoute]) -> dict[Head, list[APIRoute]]:
    """By every fixed head the routes that fit, in their order, so that the first that matches is the router's first."""
    templates = [(_template_head(route), route) for route in routes]
    heads = {head[:n] for head, _ in templates for n in (1, 2) if all(head[:n])}
    return {head: [route for template, route in templates if _fits(template, head)] for head in heads}


def _template_head(route: APIRoute) -> Head:
    return tuple("" if "{" in word else word for word in _head(route.path))


def _fits(template: Head, head: Iterable[str]) -> bool:
    return all(word in ("", wanted) for word, wanted in zip(template, head, strict=False))
