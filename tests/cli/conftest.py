"""The command line run in this process: what it prints, and its exit code."""

import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integrations_api.cli.main import main
from integrations_api.cli.signals import HANDLED
from integrations_api.settings import Settings
from integrations_api.vault.bootstrap import generate_secrets


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr; there must be exactly one."""
        (line,) = self.err.splitlines()
        return line


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in and none of our settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command: `run("users", "list")`, with `typed` on its standard input."""
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    root = logging.getLogger()
    logging_as_it_was = root.handlers[:], root.level

    def run_command(*arguments: str, typed: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        return Outcome(ended.value.code or 0, said.out, said.err)

    yield run_command
    for number, handler in handlers.items():
        signal.signal(number, handler)
    root.handlers[:], root.level = logging_as_it_was


@pytest.fixture
def on_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Commands work on a fresh, migrated database of a server; its URL."""
    use_database(monkeypatch, database_url)
    return database_url


def use_database(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Points the settings of commands at a database, with keys of its own."""
    monkeypatch.setenv("DATABASE_URL", url)
    for name, value in generate_secrets().items():
        monkeypatch.setenv(name, value)
