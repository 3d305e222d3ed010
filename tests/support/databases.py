"""A PostgreSQL server for the tests, and fresh databases in it, cloned from a migrated template."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import asyncpg
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy.engine import make_url

from integrations_api.db.embedded import start_embedded, stop_abandoned

_PLENTY = 4_000_000_000  # bytes
_PREFIX = "integrations-api-test-"


@contextmanager
def server_for_tests() -> Iterator[str]:
    """The URL of TEST_DATABASE_URL's server, else of a bundled one that is gone at the end."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with throwaway_server() as url:
        yield url


@contextmanager
def throwaway_server() -> Iterator[str]:
    """A PostgreSQL in a temporary folder, gone at the end; yields its URL.

    Servers that killed test runs left behind are stopped and deleted first.
    """
    home = quickest_folder()
    for leftover in home.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another run may be deleting it at this moment
            if stop_abandoned(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
    try:
        with start_embedded(folder, durable=False) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def quickest_folder() -> Path:
    """Memory where there is plenty: a new database is 300 small files, and disks differ much in what those cost."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _PLENTY:
        return memory
    return Path(tempfile.gettempdir())


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def plain_url(url: str) -> str:
    """The URL as asyncpg and libpq read it, without SQLAlchemy's driver name."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


class Databases:
    """Creates and drops databases over one maintenance connection; usable from sync and async fixtures alike."""

    def __init__(self, url: str, portal: BlockingPortal, connection: asyncpg.Connection) -> None:
        self.url = url
        self._portal = portal
        self._connection = connection

    def create(self, *, template: str | None = None) -> str:
        """A new database with a name of its own, empty or a clone of `template`; returns its URL."""
        name = f"test_{uuid4().hex[:16]}"
        source = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        self._execute(f'CREATE DATABASE "{name}"{source}')
        return with_database(self.url, name)

    def drop(self, url: str) -> None:
        """Drops the database of `url`, ending whatever is still connected to it."""
        self._execute(f'DROP DATABASE IF EXISTS "{database_name(url)}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        self._portal.call(self._connection.execute, statement)


def database_name(url: str) -> str:
    """The database a URL names."""
    name = make_url(url).database
    assert name is not None
    return name


@contextmanager
def databases(url: str) -> Iterator[Databases]:
    """A `Databases` for the server at `url`, its connection kept in a thread with its own event loop."""
    with start_blocking_portal() as portal:
        connection = portal.call(asyncpg.connect, plain_url(url))
        try:
            yield Databases(url, portal, connection)
        finally:
            portal.call(connection.close)
