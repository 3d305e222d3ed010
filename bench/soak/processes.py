"""The processes of a soak: APIs and workers, some of which are killed and begun again, and simulated sources."""

import re
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import Running

_ERROR_LINE = re.compile(r"\[(error|critical)\s*\]|^Traceback", re.MULTILINE)


@dataclass
class Process:
    """One of our commands; each life has a folder of its own, so that nothing it said is lost."""

    name: str
    home: Path
    arguments: tuple[str, ...]
    settings: Mapping[str, str]
    lives: list[Running] = field(default_factory=list)
    url: str = ""

    def begin(self) -> None:
        """Starts it, and waits until it does its work."""
        folder = self.home / f"{self.name}-{len(self.lives)}"
        folder.mkdir()
        self.lives.append(Running(folder, *self.arguments, settings=self.settings))
        match self.arguments[0]:
            case "serve":
                self.url = self.running.wait_until_ready()
            case "worker":
                self.running.wait_to_say(r"worker\.started")
            case _:
                self.running.wait_to_say("Ctrl-C ends it")

    @property
    def running(self) -> Running:
        return self.lives[-1]

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def kill(self) -> None:
        """SIGKILL."""
        self.running.tell(signal.SIGKILL)
        self.running.wait()

    def end(self) -> int:
        """Asks it to end; its exit code."""
        self.running.tell(signal.SIGTERM)
        return self.running.wait()

    def errors(self) -> list[str]:
        """Lines of all its lives that tell of an error."""
        lines = [line for life in self.lives for line in life.said.splitlines()]
        return [line for line in lines if _ERROR_LINE.search(line)]

    def close(self) -> None:
        for life in self.lives:
            life.close()


def simulator(name: str, home: Path, *, incidents: int, seed: int) -> Process:
    """A simulated ServiceNow, on a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    arguments = ("simulate", "servicenow", "--port", port, "--incidents", str(incidents), "--seed", str(seed))
    return Process(name, home, arguments, {}, url=f"http://127.0.0.1:{port}")
