"""The control plane under `/__simulator__/`: JSON over HTTP for tests and demos in other processes."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .clock import ManualClock, stamp
from .faults import FaultSet, World
from .request_log import RequestLog

PREFIX = "/__simulator__"
Evolve = Callable[[int, int], Any]
"""Lets time pass in the source: steps and seed; answers what was done, as JSON."""


class Control:
    """Routes that change and show what the API itself does not.

    `operations` are the methods of the source that may be called by name.
    """

    def __init__(self, instance: World, faults: FaultSet, *, operations: frozenset[str], evolve: Evolve) -> None:
        self.instance = instance
        self.faults = faults
        self.log = RequestLog()
        self._operations = operations
        self._evolve = evolve

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/state", self.state, methods=["GET"]),
            Route(f"{PREFIX}/do/{{operation}}", self.do, methods=["POST"]),
            Route(f"{PREFIX}/evolve", self.evolve, methods=["POST"]),
            Route(f"{PREFIX}/clock", self.move_clock, methods=["POST"]),
            Route(f"{PREFIX}/faults", self.show_faults, methods=["GET"]),
            Route(f"{PREFIX}/faults", self.add_fault, methods=["POST"]),
            Route(f"{PREFIX}/faults", self.clear_faults, methods=["DELETE"]),
            Route(f"{PREFIX}/requests", self.show_requests, methods=["GET"]),
            Route(f"{PREFIX}/requests", self.clear_requests, methods=["DELETE"]),
        ]

    async def state(self, request: Request) -> Response:
        """How many rows, what time it is, which faults are in force."""
        with self.instance.lock:
            tables = self.instance.counts()
        return _json(
            {
                "tables": tables,
                "now": stamp(self.instance.clock.now()),
                "faults": [fault.name for fault in self.faults.active],
            }
        )

    async def do(self, request: Request) -> Response:
        """Calls a method of the source: the path names it, the body holds its arguments by name; `{"result": …}`."""
        operation = request.path_params["operation"]
        if operation not in self._operations:
            return _json({"error": f"There is no operation {operation!r}", "operations": sorted(self._operations)}, 404)
        method = getattr(self.instance, operation)
        arguments = await _arguments(request)
        try:
            inspect.signature(method).bind(**arguments)
            return _json({"result": method(**arguments)})
        except (TypeError, ValueError, KeyError) as error:
            return _json({"error": f"{operation}: {error}"}, 422)

    async def evolve(self, request: Request) -> Response:
        """Lets time pass: body `{"steps": 100, "seed": 1}`."""
        arguments = await _arguments(request)
        done = self._evolve(int(arguments.get("steps", 10)), int(arguments.get("seed", 1)))
        return _json({"result": done})

    async def move_clock(self, request: Request) -> Response:
        """Body `{"advance": seconds}` (manual clocks only) or `{"offset": seconds}`."""
        arguments = await _arguments(request)
        clock = self.instance.clock
        if "offset" in arguments:
            clock.offset = int(arguments["offset"])
        if "advance" in arguments:
            if not isinstance(clock, ManualClock):
                return _json({"error": "This source follows the machine's clock; use offset"}, 422)
            clock.advance(int(arguments["advance"]))
        return _json({"now": stamp(clock.now())})

    async def show_faults(self, request: Request) -> Response:
        active = [{"name": fault.name, "seen": fault.seen, "hits": fault.hits} for fault in self.faults.active]
        known = {
            name: {"about": inspect.getdoc(fault), "parameters": self.faults.book.parameters_of(name)}
            for name, fault in sorted(self.faults.book.known.items())
        }
        return _json({"active": active, "known": known})

    async def add_fault(self, request: Request) -> Response:
        """Body `{"name": …, other parameters}`."""
        arguments = await _arguments(request)
        try:
            fault = self.faults.add(str(arguments.pop("name", "")), **arguments)
        except ValueError as error:
            return _json({"error": str(error)}, 422)
        return _json({"result": fault.name}, 201)

    async def clear_faults(self, request: Request) -> Response:
        """All, or those named by `?name=`."""
        self.faults.clear(request.query_params.get("name", ""))
        return _json({"result": "cleared"})

    async def show_requests(self, request: Request) -> Response:
        return _json(self.log.as_json())

    async def clear_requests(self, request: Request) -> Response:
        self.log.clear()
        return _json({"result": "cleared"})


async def _arguments(request: Request) -> dict[str, Any]:
    body = await request.body()
    arguments = orjson.loads(body) if body else {}
    return arguments if isinstance(arguments, dict) else {}


def _json(content: Any, status: int = 200) -> Response:
    try:
        body = orjson.dumps(content)
    except TypeError:
        # Lone surrogates, which only the standard library writes.
        body = json.dumps(content).encode()
    return Response(body, status, media_type="application/json")
