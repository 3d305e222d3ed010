"""The bundled PostgreSQL, for one machine: started by its first user, shared, stopped by its last.

Under the data folder lie `postgres/` (the cluster) and two lock files. `postgres.lock` serialises starting and
stopping; every living handle holds a shared lock on `postgres.users`. The kernel drops a dead process's locks, so
that a SIGKILL neither keeps the server alive for ever nor lets it be stopped under somebody else.
"""

import atexit
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from integrations_api.db.embedded_cluster import (
    DATABASE,
    START_TIMEOUT,
    STOP_TIMEOUT,
    SUPERUSER,
    Cluster,
    wait_until_settled,
)
from integrations_api.db.embedded_system import EmbeddedDatabaseError

__all__ = ["EmbeddedDatabaseError", "EmbeddedPostgres", "running_url", "start_embedded", "stop_abandoned"]

_LOCK_TIMEOUT = START_TIMEOUT + STOP_TIMEOUT


class EmbeddedPostgres:
    """A handle on the running server; `stop` (or leaving the context, or process exit) gives it back."""

    def __init__(self, *, cluster: Cluster, data_dir: Path, users: int, url: str, durable: bool) -> None:
        self.url = url
        self._durable = durable
        self.bin_dir = cluster.bin_dir
        self.data_dir = data_dir
        self._cluster = cluster
        self._users: int | None = users
        atexit.register(self.stop)

    def stop(self) -> None:
        """Gives the handle back; the last one stops the server and waits for it. Calling twice is fine."""
        users, self._users = self._users, None
        if users is None:
            return
        atexit.unregister(self.stop)
        with _serialised(self.data_dir):
            os.close(users)
            _stop_if_unused(self.data_dir, self._cluster)

    def start_again_if_killed(self) -> bool:
        """Starts the server anew, at the same address, where something has ended it that is no user; False else.

        Raises EmbeddedDatabaseError.
        """
        postmaster = self._cluster.postmaster()
        if postmaster is not None and postmaster.is_alive():
            return False
        with _serialised(self.data_dir):
            if wait_until_settled(self._cluster):
                return False
            self._cluster.start(durable=self._durable)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_embedded(data_dir: Path, *, durable: bool = True) -> EmbeddedPostgres:
    """Starts the PostgreSQL under `data_dir`, or joins the one that runs; blocks until it accepts connections.

    The first start makes the cluster and an empty database `integrations` (UTF-8). `durable=False` trades crash
    safety for speed and is for tests. Raises EmbeddedDatabaseError with one sentence for the reader.
    """
    data_dir = data_dir.absolute()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir = data_dir.resolve()
        _refuse_foreign_cluster(data_dir)
        with _serialised(data_dir):
            return _start_or_join(data_dir, durable=durable)
    except PermissionError as error:
        raise EmbeddedDatabaseError(
            f"No permission to write {error.filename or data_dir}: run as the user who owns the data folder "
            f"{data_dir}, or choose another with DATA_DIR, or set DATABASE_URL."
        ) from error
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"The data folder {data_dir} cannot be used ({error.strerror or error}): choose another with DATA_DIR, "
            "or set DATABASE_URL."
        ) from error


def stop_abandoned(data_dir: Path) -> bool:
    """Stops a server that a killed process left behind; False if somebody uses it (or nothing is there)."""
    if not (data_dir / "postgres.users").exists():
        return False
    data_dir = data_dir.resolve()
    with _serialised(data_dir):
        return _stop_if_unused(data_dir, Cluster.at(data_dir / "postgres"))


def running_url(data_dir: Path) -> str | None:
    """Where the server under `data_dir` answers; None where none does. Only looks: it is neither started nor kept.

    Raises `OSError` for a folder that may not be read.
    """
    # Neither the account nor the programs are needed to read one file, and finding them may change the machine.
    cluster = Cluster(folder=data_dir.absolute() / "postgres", bin_dir=Path(), account=None)
    postmaster = cluster.postmaster()
    return _url(cluster) if postmaster is not None and postmaster.answers() else None


def _start_or_join(data_dir: Path, *, durable: bool) -> EmbeddedPostgres:
    cluster = Cluster.at(data_dir / "postgres")
    if not cluster.is_initialised():
        cluster.initialise(durable=durable)
    users = _open_lock(data_dir / "postgres.users")
    try:
        fcntl.flock(users, fcntl.LOCK_SH)  # cannot wait: the exclusive lock is only taken under `postgres.lock`
        if not wait_until_settled(cluster):
            cluster.start(durable=durable)
        return EmbeddedPostgres(cluster=cluster, data_dir=data_dir, users=users, url=_url(cluster), durable=durable)
    except BaseException:  # also Ctrl-C while it starts: a server that nobody uses must not stay
        os.close(users)
        _stop_if_unused(data_dir, cluster)
        raise


def _stop_if_unused(data_dir: Path, cluster: Cluster) -> bool:
    """Under `postgres.lock`: stops the server unless a living handle holds its shared lock."""
    users = _open_lock(data_dir / "postgres.users")
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        cluster.stop()
        return True
    finally:
        os.close(users)


def _refuse_foreign_cluster(data_dir: Path) -> None:
    if (data_dir / "PG_VERSION").exists():
        raise EmbeddedDatabaseError(
            f"The data folder {data_dir} is itself a PostgreSQL folder, whole or half-initialised: choose another "
            "with DATA_DIR, or move it away, or run its server and set DATABASE_URL."
        )


def _url(cluster: Cluster) -> str:
    postmaster = cluster.postmaster()
    if postmaster is None or postmaster.socket_dir is None:
        raise EmbeddedDatabaseError("The bundled PostgreSQL stopped while it was being started: try again.")
    query = urlencode({"host": str(postmaster.socket_dir)}, safe="/")
    return f"postgresql+asyncpg://{SUPERUSER}@/{DATABASE}?{query}"


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _serialised(data_dir: Path) -> Iterator[None]:
    """One process (and one thread) at a time; waits a bounded time for its turn."""
    lock = _open_lock(data_dir / "postgres.lock")
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"Another process has been starting or stopping the database in {data_dir} for too long: "
                    "end it and try again."
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
