"""How `serve` has a local embedding service beside itself."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from integrations_api.cli.child import Child, own_command
from integrations_api.cli.sockets import base_url, listen
from integrations_api.logs import get_logger
from integrations_api.settings import Settings

log = get_logger(__name__)

LOOPBACK = "127.0.0.1"
HOW_TO_INSTALL = (
    "A local embedding service needs the extra local-embeddings: "
    f"{sys.executable} -m pip install 'sentence-transformers>=5'"
)
"""By the library's name: no package index has this service, so whatever bears its name there is not ours."""


@contextmanager
def own_embedder(settings: Settings) -> Iterator[tuple[Settings, Child | None]]:
    """The settings with the address of an embedding service of our own, and its process, still to be run.

    Only where EMBEDDINGS_MODEL is set and EMBEDDINGS_URL is not. The socket is ours, so that requests wait while the
    model is loaded, and the address stays when the process is started again.
    """
    if settings.embeddings_model is None or settings.embeddings_url is not None:
        yield settings, None
        return
    if find_spec("sentence_transformers") is None:
        log.warning("embeddings.no_service", reason=f"EMBEDDINGS_URL is not set. {HOW_TO_INSTALL}")
        yield settings, None
        return
    with listen(LOOPBACK, 0) as listener:
        number = listener.fileno()
        command = own_command(
            "embeddings", "serve", "--with-parent", "--descriptor", str(number), "--model", settings.embeddings_model
        )
        yield (
            settings.model_copy(update=_where(listener, settings)),
            Child(command, name="embedder", descriptors=[number]),
        )


def _where(listener: socket.socket, settings: Settings) -> dict[str, Any]:
    """The settings that lead to the service: directly, for no proxy reaches this machine's loopback."""
    host, port = listener.getsockname()[:2]
    return {
        "embeddings_url": base_url(host, port),
        "egress_no_proxy": (*settings.egress_no_proxy, f"{host}:{port}"),
    }


def word_of(settings: Settings) -> dict[str, str]:
    """The same for the worker beside, which reads its settings itself."""
    return {
        "embeddings_url": settings.embeddings_url or "",
        "egress_no_proxy": ",".join(settings.egress_no_proxy),
    }
