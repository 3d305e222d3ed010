"""Simulated ServiceNow instances in a process of their own: `python -m tests.topology.sources COUNT INCIDENTS`.

Their URLs are printed as one line of JSON. Each answers its first page and holds back all that follow until a line
comes on standard input; the process ends with it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event

from integrations_api.simulator.servicenow import AfterPage, ServiceNowInstance, SimulatorServer
from tests.support.processes import PATIENCE

PAGE_SECONDS = 0.2
"""How long an instance takes over each page, as real ones do: so syncs are at different points at any time."""


@dataclass(frozen=True)
class Sources:
    """The running process, and where its instances are."""

    urls: list[str]
    process: "subprocess.Popen[str]"

    def go_on(self) -> None:
        """Lets every instance answer from now on."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)


@contextmanager
def running_sources(count: int, incidents: int) -> Iterator[Sources]:
    """So many instances, with some more incidents in each than in the one before."""
    command = [sys.executable, "-m", "tests.topology.sources", str(count), str(incidents)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Sources(urls=json.loads(process.stdout.readline()), process=process)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(PATIENCE)


def main(count: int, incidents: int) -> None:
    """Serves until standard input ends."""
    go_on = Event()

    def hold(_: int) -> None:
        go_on.wait(PATIENCE)
        time.sleep(PAGE_SECONDS)

    with ExitStack() as stack:
        urls = []
        for n in range(count):
            instance = ServiceNowInstance.with_incidents(incidents + 5 * n, seed=n)
            server = stack.enter_context(SimulatorServer(instance))
            server.add_fault(AfterPage(hold, skip=1))
            urls.append(server.url)
        print(json.dumps(urls), flush=True)
        sys.stdin.readline()
        go_on.set()
        sys.stdin.readline()
        go_on.set()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
