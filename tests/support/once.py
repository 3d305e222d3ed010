"""What is found out once in a test process, and not once for the engine or the worker of every test."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from pgqueuer.core.qm import QueueManager
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import LRUCache

MOST = 2000


class Compiled(LRUCache[Any, Any]):
    """What SQLAlchemy keeps for an engine; its keys begin with the engine's dialect, and ours are all alike."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key[1:], value)


@contextmanager
def compiled_once() -> Iterator[None]:
    """Meanwhile the product's engines share what is compiled, a quarter of the work of a test with one short sync."""
    sharing = partial(create_async_engine, execution_options={"compiled_cache": Compiled(MOST)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrations_api.db.engine.create_async_engine", sharing)
        yield


@contextmanager
def tables_of_the_queue_checked_once() -> Iterator[None]:
    """Meanwhile PgQueuer looks once whether its tables are as they should be, in fifteen statements, and not for every
    worker: all have the same schema.
    """
    with pytest.MonkeyPatch.context() as patch:
        check = QueueManager.verify_structure

        async def check_once(manager: QueueManager) -> None:
            await check(manager)
            patch.setattr(QueueManager, "verify_structure", _believe)

        patch.setattr(QueueManager, "verify_structure", check_once)
        yield


async def _believe(_: QueueManager) -> None:
    return None
