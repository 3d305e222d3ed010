"""Running a simulator: in a thread beside a test, or as a program."""

import asyncio
import gc
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import uvicorn
from msgspec import Struct

from .faults import Fault, FaultSet
from .request_log import RequestLog
from .web import WebSimulator

S = TypeVar("S", bound=WebSimulator[Any, Any])
STOP_SECONDS = 10


class Certificate(Struct, frozen=True):
    """PEM files for serving https."""

    certificate: Path
    key: Path


def _config(simulator: WebSimulator[Any, Any], certificate: Certificate | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        simulator.asgi,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # The date is the source's clock, which faults set wrong on purpose.
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )


class SimulatorServer(Generic[S]):
    """A context manager that serves a simulated source over a real socket in a thread.

    `url` is the base URL; `simulator`, `faults` and `log` may be used from the test's thread while the server runs.
    """

    def __init__(self, simulator: S, *, port: int, certificate: Certificate | None) -> None:
        self.simulator = simulator
        self._server = uvicorn.Server(_config(simulator, certificate))
        # Named as TCP, or asyncio leaves Nagle's algorithm on and every answer waits 40 ms for an acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._started = threading.Event()

    @property
    def faults(self) -> FaultSet:
        return self.simulator.faults

    @property
    def log(self) -> RequestLog:
        return self.simulator.log

    def add_fault(self, fault: Fault[Any, Any] | str, **params: Any) -> Fault[Any, Any]:
        """Puts a fault in force. Raises ValueError for an unknown name or parameter."""
        return self.faults.add(fault, **params)

    def _run(self) -> None:
        async def serve() -> None:
            serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
            # The socket listens before the server accepts: a client that connects early only waits in the backlog.
            self._socket.listen(2048)
            self._started.set()
            await serving

        asyncio.run(serve())

    def start(self) -> Self:
        self._thread.start()
        self._started.wait(STOP_SECONDS)
        return self

    def stop(self) -> None:
        """Ends the server; answers that are still trickling are cut off."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def serve(simulator: WebSimulator[Any, Any], *, host: str, port: int) -> None:
    """Serves until the task is cancelled or the process is told to end. Raises OSError when the port is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        await uvicorn.Server(_config(simulator)).serve(sockets=[listening])


def run(simulator: WebSimulator[Any, Any], *, host: str, port: int) -> None:
    """What the command line runs: serves until SIGINT or SIGTERM. Raises OSError for a taken port."""
    # What is simulated lives as long as the process: without this every full collection walks through it.
    gc.freeze()
    asyncio.run(serve(simulator, host=host, port=port))
