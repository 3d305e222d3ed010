"""uvicorn as every process here runs it: signals, log and listening socket are ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from integrations_api.cli.patience import BoundedProtocol
from integrations_api.settings import Settings

GRACE = 5
"""Seconds for answers that are being written when the end is asked for."""
MAX_HEAD_BYTES = 65_536
"""Of a request whose head comes in pieces, as it does over any network. h11 would give up after 16 KiB, with a 400 in
words of its own; so what is too long for us is judged by `api.limits`, and told in the envelope."""


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers: it would send itself the signal again in the end, before PostgreSQL stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def config_for(app: ASGIApp, settings: Settings, *, most_at_once: int | None = None) -> uvicorn.Config:
    """How uvicorn serves an application of ours."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=most_at_once,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
