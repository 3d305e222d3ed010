"""The application on a real socket, for what streams: ASGITransport would buffer whole bodies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import httpx
import uvicorn
from httpx_sse import ServerSentEvent, aconnect_sse

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.answering_wiring import listening
from integrations_api.app import create_app
from integrations_api.settings import Settings
from tests.support.syncing import PATIENCE, Bench


@dataclass
class Served:
    """An API process's worth of application; `client` is signed in as an admin."""

    url: str
    client: httpx.AsyncClient

    async def watch(
        self, method: str, path: str, *, stop_after: int | None = None, **options: object
    ) -> list[ServerSentEvent]:
        """Every event of a stream, or the first few before the client hangs up."""
        seen: list[ServerSentEvent] = []
        async with asyncio.timeout(PATIENCE), aconnect_sse(self.client, method, path, **options) as stream:
            async for event in stream.aiter_sse():
                seen.append(event)
                if len(seen) == stop_after:
                    break
        return seen


@asynccontextmanager
async def served(bench: Bench) -> AsyncIterator[Served]:
    """Serves the bench's parts on loopback until the block ends."""
    app = create_app(bench.components, bench.components[Settings])
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1,
        # On a slow machine a test's client comes back just as an idle connection would be closed.
        timeout_keep_alive=int(PATIENCE),
    )  # fmt: skip
    server = uvicorn.Server(config)
    async with listening(bench.components):
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it by this flag only
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, headers=await _admin(bench), timeout=PATIENCE) as client:
                yield Served(url=url, client=client)
        finally:
            server.should_exit = True
            await task


async def _admin(bench: Bench) -> dict[str, str]:
    access = bench.components[AccessService]
    email = f"admin-{uuid4().hex[:8]}@example.com"
    await access.create_user(email=email, password="correct horse battery staple", permissions=ROLES[Role.ADMIN])
    token = await access.issue_token(email, timedelta(hours=1))
    return {"Authorization": f"Bearer {token.text}"}
