"""Running the simulator: in a thread beside a test, or as a program."""

import asyncio
import gc
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from .access import Client, User
from .app import Simulator
from .faults import Fault, FaultSet, parse_fault
from .instance import ServiceNowInstance
from .request_log import RequestLog

STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files for serving https."""

    certificate: Path
    key: Path


def _config(simulator: Simulator, certificate: Certificate | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        simulator.asgi,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # The date is the instance's clock, which faults set wrong on purpose.
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )


class SimulatorServer:
    """A context manager that serves an instance over a real socket in a thread.

    `url` is the base URL; `instance`, `faults` and `log` may be used from the test's thread while the server runs.
    """

    def __init__(
        self,
        instance: ServiceNowInstance,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        control: bool = True,
        certificate: Certificate | None = None,
    ) -> None:
        self.simulator = Simulator(instance, control=control)
        self.instance = instance
        self._server = uvicorn.Server(_config(self.simulator, certificate))
        # Named as TCP, or asyncio leaves Nagle's algorithm on and every answer waits 40 ms for an acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="servicenow-simulator", daemon=True)
        self._started = threading.Event()

    @property
    def faults(self) -> FaultSet:
        return self.simulator.faults

    @property
    def log(self) -> RequestLog:
        return self.simulator.log

    def add_fault(self, fault: Fault | str, **params: Any) -> Fault:
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


async def serve(simulator: Simulator, *, host: str, port: int) -> None:
    """Serves until the task is cancelled or the process is told to end. Raises OSError when the port is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        await uvicorn.Server(_config(simulator)).serve(sockets=[listening])


def make_simulator(
    *,
    incidents: int = 2_000,
    seed: int = 1,
    faults: Iterable[str] = (),
    user: User | None = None,
    client: Client | None = None,
    control: bool = True,
) -> Simulator:
    """A simulator with generated incidents on the machine's clock; faults as `name:key=value,…`. Raises ValueError."""
    instance = ServiceNowInstance.with_incidents(
        incidents, seed=seed, users=[user or User()], clients=[client or Client()]
    )
    simulator = Simulator(instance, control=control)
    for text in faults:
        simulator.faults.add(parse_fault(text))
    return simulator


def run_simulator(
    *,
    host: str = "127.0.0.1",
    port: int = 8081,
    incidents: int = 2_000,
    seed: int = 1,
    faults: Iterable[str] = (),
    user: User | None = None,
    client: Client | None = None,
    control: bool = True,
) -> None:
    """What the command line runs:

    serves until SIGINT or SIGTERM. Raises ValueError for a bad fault, OSError for a taken port.
    """
    simulator = make_simulator(incidents=incidents, seed=seed, faults=faults, user=user, client=client, control=control)
    # The table lives as long as the process: without this every full collection walks through it, once a second or so.
    gc.freeze()
    asyncio.run(serve(simulator, host=host, port=port))
