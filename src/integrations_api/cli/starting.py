"""How the processes that stay start: a start is imports, and what they need not do then they do not do."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module

from pydantic import BaseModel
from pydantic.warnings import UnsupportedFieldAttributeWarning

from integrations_api.imports import without

_UNDISTURBED = 1.0
"""Seconds for what everybody waits for: to be ready."""


def start_worker(*, with_parent: bool) -> None:
    """The whole life of a worker."""
    with quick_start():
        from integrations_api.cli.working import run_worker

        run_worker(with_parent=with_parent)


@contextmanager
def quick_start() -> Iterator[None]:
    """Around the life of a process, from before it imports its parts.

    The collector waits for `loops.spare_what_is_there`: imports leave nothing to collect. httpx goes without its
    command line, and FastAPI without asking whether a model is one of Pydantic 1. What checks and writes a model is
    built when the model is first used: FastAPI and PgQueuer define more of them than we do, and hardly one is used at
    the start.
    """
    gc.disable()
    BaseModel.model_config["defer_build"] = True
    try:
        with without("rich", "pygments", "pydantic.v1"), warnings.catch_warnings():
            # FastAPI silences it too, but only as long as it describes a field.
            warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
            yield
    finally:
        del BaseModel.model_config["defer_build"]
        gc.enable()


async def catch_up(*modules: str) -> None:
    """Imports what a start has left out, one after another, and relates the tables, so that few have to wait for it.

    Not in a thread: two threads that import what belongs together can end in a deadlock, which Python breaks by failing
    one of them.
    """
    from sqlalchemy.orm import configure_mappers

    await asyncio.sleep(_UNDISTURBED)
    for module in modules:
        import_module(module)
        await asyncio.sleep(0)
    configure_mappers()


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Does work of which nobody waits for the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
