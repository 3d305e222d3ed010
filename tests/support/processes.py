"""The installed command as real processes, in a folder of their own, so that what is left behind can be found."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import httpx

from integrations_api.cli.child import own_command
from integrations_api.settings import Settings

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds until a condition that does not come true fails its test; on a loaded machine a start takes a minute."""
_OURS = {name.upper() for name in Settings.model_fields}


def wait_for(condition: Callable[[], T | None], what: str, *, seconds: float = PATIENCE) -> T:
    """The first value of `condition` that counts as true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


def processes_below(folder: Path) -> dict[int, str]:
    """Every process that works in the folder or below (also PostgreSQL's, in its data folder): id and command."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.joinpath("cwd").readlink().is_relative_to(folder):
                found[int(entry.name)] = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


class Running:
    """One of our commands, its output in a file."""

    def __init__(self, folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._output = folder / f"{arguments[0]}.out"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                own_command(*arguments), cwd=folder, env=_environment(settings),
                stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait_to_say(self, pattern: str) -> re.Match[str]:
        """The first match in the output."""

        def look() -> re.Match[str] | None:
            self._check_alive()
            return re.search(pattern, self.said)

        return wait_for(look, f"{pattern!r}")

    def wait_until_ready(self) -> str:
        """The base URL, once `/readyz` says yes."""
        url = self.wait_to_say(r"serve\.started .*\burl=(\S+)")[1]

        def is_ready() -> bool:
            self._check_alive()
            return _is_ready(url)

        wait_for(is_ready, "readiness")
        return url

    def _check_alive(self) -> None:
        assert self.process.poll() is None, self.said

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, *, seconds: float = PATIENCE) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """Whatever happened: nothing of it stays."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.poll() is None:
            self.tell(signal.SIGKILL)
            self.process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings that processes over one database and one source share."""
    assert settings.database_url is not None
    assert settings.secret_key is not None
    assert settings.encryption_keys is not None
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "ENCRYPTION_KEYS": settings.encryption_keys.get_secret_value(),
        "EGRESS_ALLOWED_HOSTS": ",".join(settings.egress_allowed_hosts),
        "SYNC_PAGE_SIZE": str(settings.sync_page_size),
        "SYNC_CHUNK_SIZE": str(settings.sync_chunk_size),
        "WORKER_SILENCE": f"{settings.worker_silence.total_seconds():.0f}s",
        "RAW_DUMP_PATH": "",
    }


def _environment(settings: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, without any of our settings but those given."""
    bare = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {**bare, **(settings or {})}


def run_to_end(
    folder: Path, *arguments: str, settings: Mapping[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """One of our commands that ends by itself, with `typed` on its standard input."""
    return subprocess.run(
        own_command(*arguments), cwd=folder, env=_environment(settings), input=typed,
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder to run commands in that a database's own account can pass, gone afterwards.

    Not pytest's: of that, every pytest that begins takes away what other accounts may.
    """
    folder = Path(tempfile.mkdtemp(prefix="integrations-api-journey-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A command while the context lasts; afterwards no process is left that works in the folder."""
    command = Running(folder, *arguments, settings=settings)
    try:
        yield command
    finally:
        command.close()
        nothing_left(folder)


@contextmanager
def several(home: Path, name: str, *arguments: str, settings: Mapping[str, str], count: int) -> Iterator[list[Running]]:
    """The same command so many times while the context lasts, each in a folder of its own below `home`."""
    with ExitStack() as stack:
        started = []
        for n in range(count):
            folder = home / f"{name}{n}"
            folder.mkdir(parents=True)
            stack.callback(nothing_left, folder)
            started.append(Running(folder, *arguments, settings=settings))
            stack.callback(started[-1].close)
        yield started


def nothing_left(folder: Path) -> None:
    """Waits until every process below the folder has ended; those that do not are named, and killed."""
    try:
        wait_for(lambda: not processes_below(folder), "the end of all processes")
    except AssertionError:
        left = processes_below(folder)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"still there: {left}") from None
