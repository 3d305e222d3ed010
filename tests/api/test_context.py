"""Every request has an id, one log line and safe headers; streams pass through unbuffered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from integrations_api.api.context import RequestContextMiddleware
from integrations_api.api.current import current_request
from integrations_api.api.routes import PUBLIC, Router
from integrations_api.logs import AlreadyLogged, bind, merge_bound
from tests.support.applications import bare_app, client_of
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


def planted_app(stream: AsyncIterator[bytes] | None = None) -> FastAPI:
    app = bare_app()
    router = Router(dependencies=[PUBLIC])

    @router.get("/who/{secret}")
    async def who(secret: str) -> dict[str, str | None]:
        request = current_request()
        assert request is not None
        bind(known_by_now=True)
        return {"id": request.request_id, "address": request.address}

    @router.get("/stream")
    async def streaming() -> StreamingResponse:
        assert stream is not None
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    app.include_router(router)
    return app


@pytest.mark.parametrize("given", ["abc-123", "A.b_c:9", "x" * 64])
async def test_a_sane_request_id_of_the_client_is_kept(given: str) -> None:
    async with client_of(planted_app()) as client:
        response = await client.get("/who/x", headers={"X-Request-ID": given})

    assert response.headers["X-Request-ID"] == given
    assert response.json() == {"id": given, "address": "127.0.0.1"}


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<script>", "-dash", "a\tb"])
async def test_a_strange_request_id_is_replaced(given: str) -> None:
    async with client_of(planted_app()) as client:
        response = await client.get("/who/x", headers={"X-Request-ID": given})

    assert response.headers["X-Request-ID"] != given
    assert response.json()["id"] == response.headers["X-Request-ID"]


async def test_outside_of_a_request_there_is_none() -> None:
    assert current_request() is None


async def test_one_line_is_logged_per_request_without_what_the_url_holds() -> None:
    with capture_logs(processors=[merge_bound]) as logged:
        async with client_of(planted_app()) as client:
            await client.get("/who/path-secret?token=query-secret", headers={"X-Request-ID": "abc"})

    (line,) = logged
    assert line.pop("milliseconds") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/who/{secret}",
        "status": 200,
        "address": "127.0.0.1",
        "request_id": "abc",
        "known_by_now": True,
    }
    assert merge_bound(None, "info", {}) == {}


@pytest.mark.parametrize("path", ["/who/x", "/nowhere", "/docs"])
async def test_every_answer_carries_the_security_headers(path: str) -> None:
    async with client_of(planted_app()) as client:
        headers = (await client.get(path)).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"].split("; ")
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert {"default-src 'none'", "object-src 'none'"} & set(policy)
    assert headers["Cache-Control"] == "no-store"


async def test_a_stream_is_passed_on_piece_by_piece_and_keeps_its_own_headers() -> None:
    sent: asyncio.Queue[Message] = asyncio.Queue()
    more = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await more.wait()
        yield b"second"

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/stream", "query_string": b"", "root_path": ""}
    scope |= {"headers": [], "client": ("10.0.0.9", 1), "http_version": "1.1"}
    serving = asyncio.create_task(planted_app(pieces())(scope, receive, sent.put))
    async with asyncio.timeout(PATIENCE):
        start, first = await sent.get(), await sent.get()
        assert first["body"] == b"first"  # While the second piece does not exist yet.
        more.set()
        second = await sent.get()
        await serving

    assert second["body"] == b"second"
    assert (b"cache-control", b"no-cache") in start["headers"]


async def test_a_stream_that_breaks_is_cut_and_logged() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("defect")

    with capture_logs() as logged:
        async with client_of(planted_app(pieces())) as client:
            with pytest.raises(AlreadyLogged):
                await client.get("/stream")

    assert [line["event"] for line in logged] == ["request.failed", "request"]


@pytest.mark.parametrize("is_begun", [False, True])
async def test_what_is_cut_off_at_the_end_of_the_process_is_told_to_come_back(is_begun: bool) -> None:
    sent: asyncio.Queue[Message] = asyncio.Queue()
    reached = asyncio.Event()

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        if is_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        reached.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with capture_logs() as logged:
        serving = asyncio.create_task(RequestContextMiddleware(hang)(scope, receive, sent.put))
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
            serving.cancel()
            (end,) = await asyncio.gather(serving, return_exceptions=True)

    start = sent.get_nowait()
    assert isinstance(end, AlreadyLogged) == is_begun  # Upon which the server cuts the connection.
    assert start["status"] == (200 if is_begun else 503)
    assert ((b"retry-after", b"5") in start["headers"]) == (not is_begun)
    assert [line["event"] for line in logged] == ["request.cut_off", "request"]
