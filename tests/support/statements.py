"""Statements that are compiled once in a test process, and not once for the engine of every test."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
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
