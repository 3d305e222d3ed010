"""Simulated ServiceNow instances in a process of their own: `-m tests.support.source_process COUNT INCIDENTS LATENCY`.

Their URLs are printed as one line of JSON. Each answers its first page and holds back all that follow until a line
comes on standard input; the process ends with it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from threading import Event

from integrations_api.simulator.servicenow import AfterPage, ServiceNowInstance, SimulatorServer
from tests.support.processes import PATIENCE


class Sources:
    """The running process, and where its instances are."""

    def __init__(self, count: int, incidents: int, latency: int) -> None:
        words = [str(number) for number in (count, incidents, latency)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.source_process", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    @cached_property
    def urls(self) -> list[str]:
        """Where the instances are, once they are."""
        assert self.process.stdout is not None
        urls: list[str] = json.loads(self.process.stdout.readline())
        return urls

    def go_on(self) -> None:
        """Lets every instance answer from now on."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)


@contextmanager
def running_sources(count: int, incidents: int, *, latency: int = 0) -> Iterator[Sources]:
    """So many instances, with some more incidents in each than in the one before; milliseconds for each answer."""
    sources = Sources(count, incidents, latency)
    try:
        yield sources
    finally:
        sources.close()


def main(count: int, incidents: int, latency: int) -> None:
    """Serves until standard input ends."""
    go_on = Event()

    def hold(_: int) -> None:
        go_on.wait(PATIENCE)

    with ExitStack() as stack:
        urls = []
        for n in range(count):
            instance = ServiceNowInstance.with_incidents(incidents + 5 * n, seed=n)
            server = stack.enter_context(SimulatorServer(instance))
            server.add_fault(AfterPage(hold, skip=1))
            if latency:
                server.add_fault("latency", milliseconds=latency)
            urls.append(server.url)
        print(json.dumps(urls), flush=True)
        sys.stdin.readline()
        go_on.set()
        sys.stdin.readline()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
