"""What the bundled PostgreSQL needs of the operating system: an account, open folders, news of processes."""

import os
import pwd
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from integrations_api.errors import ApplicationError

SYSTEM_USER = "pgserver"


class EmbeddedDatabaseError(ApplicationError):
    """The bundled PostgreSQL cannot be used; the message is one sentence that says what to do."""


class Account(Struct, frozen=True):
    """The system user PostgreSQL runs as when we are root, for PostgreSQL refuses root."""

    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """As root: the owner of an existing folder, else the system user `pgserver`; otherwise nobody but ourselves."""
    if os.geteuid() != 0:
        return None
    with suppress(FileNotFoundError):
        owner = folder.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
    return _system_user() or _create_system_user()


def _system_user() -> Account | None:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _create_system_user() -> Account:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
    with suppress(OSError, subprocess.SubprocessError):  # judged by the result: another process may be faster
        subprocess.run(command, capture_output=True, check=False, timeout=30)  # nosec B603 # noqa: S603 - our own command, no shell
    account = _system_user()
    if account is None:
        raise EmbeddedDatabaseError(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be created: "
            "start as an ordinary user, or set DATABASE_URL."
        )
    return account


def open_parents(path: Path) -> None:
    """Lets other users pass through (not list) the folders above `path`, where they could not."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXGRP | stat.S_IXOTH)


def open_tree(folder: Path) -> None:
    """Makes the wheel's programs readable for the account, when a strict umask installed them for root alone."""
    if not folder.is_dir() or folder.stat().st_mode & stat.S_IROTH:
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def process_name(pid: int) -> str:
    """The program a process id belongs to; empty for nobody (a zombie counts as nobody)."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text()
        except (OSError, UnicodeDecodeError):
            return ""
        name, _, rest = fields.partition("(")[2].rpartition(")")
        return "" if rest.split()[0] in "ZX" else name
    found = subprocess.run(  # nosec B603, B607 # noqa: S603 - no shell
        ["ps", "-p", str(pid), "-o", "comm="],  # noqa: S607 - it is wherever the system has it
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    return Path(found.stdout.strip()).name


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def works_elsewhere(pid: int, folder: Path) -> bool:
    """Whether a process is known to be of another user than a folder, or to work in another one.

    False where that is not to be seen: without /proc, or of another user's process without the right to look.
    """
    process = Path(f"/proc/{pid}")
    try:
        return process.stat().st_uid != folder.stat().st_uid or not (process / "cwd").samefile(folder)
    except OSError:
        return False


def has_processes(folder: Path) -> bool:
    """Whether a PostgreSQL process works in the folder; without /proc that question is left to PostgreSQL."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.joinpath("cwd").readlink() == folder and process_name(int(entry.name)).startswith("postgres"):
                return True
    return False


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
