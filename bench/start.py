"""How soon `serve` answers and is ready, a worker beside it, over an external database that is migrated already.

It answers when `/healthz` does, and is ready when `/readyz` says so, for which its worker must have been seen. Files
are in the page cache after the first start, which is shown by itself; a start from a cold disk is not measured.

The worker is started before the API's own parts are imported, so both need a processor at the same time: on a machine
that is busy, or has one, neither number says much. The processor time of the imports says more there.

Byte code is there, as pip leaves it in an image and `make` in a checkout. Where PYTHONDONTWRITEBYTECODE is set and none
is there, each process compiles our own modules anew: that is not the start a user has.
"""

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integrations_api.cli.child import own_command
from integrations_api.db.migrations import upgrade
from tests.support.applications import settings_for
from tests.support.databases import databases, throwaway_server
from tests.support.processes import as_environment, wait_for, workplace
from tests.support.starts import ANSWERING

TO_REACH = 2.0
_IMPORTS = f"{ANSWERING}\nimport os; os._exit(0)"
"""No interpreter is taken down in the end: its time is none of a start."""
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


def main(arguments: list[str]) -> None:
    """Prints seconds to the first answer and to readiness, and which packages the time of imports goes to."""
    parser = argparse.ArgumentParser(prog="python -m bench start", description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    chosen = parser.parse_args(arguments)
    with throwaway_server() as server, databases(server) as made:
        url = made.create()
        upgrade(url)
        environment = {**_writing_byte_code(), **as_environment(settings_for(url)), "DATABASE_URL": url}
        starts = [_start(environment) for _ in range(chosen.runs + 1)]
    print(f"\nseconds of `serve` with a worker, {chosen.runs} starts after a first one")
    print("|              |  first | median |    max | to reach |")
    print("|--------------|--------|--------|--------|----------|")
    for n, name in enumerate(("it answers", "it is ready")):
        first, *others = (start[n] for start in starts)
        reach = f"< {TO_REACH:.0f}" if n else ""
        print(f"| {name:12} | {first:6.2f} | {statistics.median(others):6.2f} | {max(others):6.2f} | {reach:>8} |")
    _show_imports(chosen.runs)


def _writing_byte_code() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _start(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until the first answer, and until it is ready."""
    began = time.monotonic()
    with _serving(environment) as (process, log):
        port = int(wait_for(lambda: _said_port(process, log), "its start")[1])
        wait_for(lambda: _status(port, "/healthz") == 200, "an answer")
        answered = time.monotonic() - began
        wait_for(lambda: _status(port, "/readyz") == 200, "readiness")
        return answered, time.monotonic() - began


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    with workplace() as folder:
        log = folder / "log"
        command = own_command("serve", "--host", "127.0.0.1", "--port", "0")
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process, log
        finally:
            process.terminate()
            process.wait()


def _said_port(process: "subprocess.Popen[bytes]", log: Path) -> re.Match[str] | None:
    if process.poll() is not None:
        raise SystemExit(f"it ended at once: {log.read_text()}")
    return re.search(r"serve\.started .*\burl=\S+:(\d+)\s", log.read_text())


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def _show_imports(runs: int) -> None:
    """The CPU seconds of importing everything, and the packages it goes to, by `-X importtime`."""
    seconds = statistics.median(_cpu_of_imports() for _ in range(runs))
    command = [sys.executable, "-X", "importtime", "-c", _IMPORTS]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=_writing_byte_code())
    shares: dict[str, int] = {}
    for line in _LINE.finditer(told.stderr):
        shares[line[2]] = shares.get(line[2], 0) + int(line[1])
    total = sum(shares.values())
    most = sorted(shares.items(), key=lambda item: -item[1])[:8]
    print(f"\nimports of the API's process: {seconds:.2f} s of processor time; of it, by package: ")
    print(", ".join(f"{name} {100 * share / total:.0f}%" for name, share in most))


def _cpu_of_imports() -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True, env=_writing_byte_code())
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
