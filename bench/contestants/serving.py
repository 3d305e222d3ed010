"""How the twin and the template are served: by one process, with the very uvicorn settings of the product."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from integrations_api.cli import loops
from integrations_api.cli.quiet_server import QuietServer, config_for
from integrations_api.cli.sockets import base_url, listen
from integrations_api.settings import load_settings

ISSUER = AUDIENCE = "integrations-api"
POOL_SIZE = 10
"""Connections to PostgreSQL: the product's default."""

Opened = Callable[[str], AbstractAsyncContextManager[FastAPI]]
"""Gives the application over the database of that URL, while the context lasts."""


def serve(opened: Opened) -> None:
    """Serves on a free port until it is ended, and prints the address as the product does."""
    settings = load_settings()
    with listen("127.0.0.1", 0) as listener:

        async def run() -> None:
            async with opened(os.environ["DATABASE_URL"]) as app:
                server = QuietServer(config_for(app, settings))
                print(f"serve.started url={base_url(*listener.getsockname()[:2])} ", file=sys.stderr, flush=True)
                await server.serve(sockets=[listener])

        loops.run(run())
