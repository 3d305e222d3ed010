"""The local embedding service: what `embeddings serve` does."""

import asyncio
import os
import socket
from collections.abc import Sequence

import uvicorn

from integrations_api.cli.embedder import Encode, create_embedder
from integrations_api.cli.embedding_beside import HOW_TO_INSTALL, LOOPBACK
from integrations_api.cli.quiet_server import QuietServer
from integrations_api.cli.setup import settings_for_process
from integrations_api.cli.signals import Parent, Signals
from integrations_api.cli.sockets import base_url, listen
from integrations_api.errors import ConfigurationError
from integrations_api.logs import get_logger

log = get_logger(__name__)


def run_embedder(*, model: str | None, port: int, with_parent: bool, descriptor: int | None) -> None:
    """Runs until SIGINT or SIGTERM, or with its parent, who may have opened the socket (`descriptor`).

    Raises `ConfigurationError` for a missing extra or a model that cannot be loaded.
    """
    signals = Signals()
    if with_parent:
        Parent()
    settings = settings_for_process()
    name = model or settings.embeddings_model
    if name is None:
        raise ConfigurationError("Which model? Give --model, or set EMBEDDINGS_MODEL")
    with listen(LOOPBACK, port) if descriptor is None else socket.socket(fileno=descriptor) as listener:
        encode = load_model(name)
        asyncio.run(_serve(encode, name, listener, signals))


def load_model(name: str) -> Encode:
    """The encoder of a sentence-transformers model, by name or folder. Raises `ConfigurationError`."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise ConfigurationError(HOW_TO_INSTALL) from None
    try:
        model = SentenceTransformer(name)
    except Exception as error:
        # The library raises whatever its parts raise: a wrong name, no network, a folder that is no model.
        raise ConfigurationError(
            f"The model {name} cannot be loaded ({type(error).__name__}): give the name of a sentence-transformers "
            "model that can be downloaded here, or the folder of one"
        ) from error

    def encode(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return model.encode(list(texts), show_progress_bar=False).tolist()  # type: ignore[no-any-return]

    return encode


async def _serve(encode: Encode, name: str, listener: socket.socket, signals: Signals) -> None:
    config = uvicorn.Config(
        create_embedder(encode, model=name),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    with signals.asking(server.leave, server.leave_at_once):
        log.info("embedder.started", url=base_url(*listener.getsockname()[:2]), model=name)
        await server.serve(sockets=[listener])
    log.info("embedder.ended")


class _Server(QuietServer):
    """Ended by our signals instead of its own."""

    def leave(self) -> None:
        self.should_exit = True

    def leave_at_once(self) -> None:
        self.force_exit = True
