"""How fast a sync is: this product, a bare lower bound, and dlt, from one simulated ServiceNow into one PostgreSQL.

The lower bound makes the same requests, four ranges at once, parses them and copies the raw rows: nothing else. dlt
runs in an environment of its own under bench/out; without it that row is left out, and said so.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.databases import throwaway_server

HERE = Path(__file__).parent
CONTESTANTS = ("product", "lower_bound", "dlt")
READY_SECONDS = 120


@dataclass(frozen=True)
class Measured:
    """One run of one contestant: seconds, seconds of CPU, MiB at the peak, requests made.

    `incremental` are the seconds of a second sync, of 500 changes, where the contestant makes one: its CPU and
    requests are in the other figures.
    """

    wall: float
    cpu: float
    memory: float
    requests: int
    incremental: float | None


def main(arguments: list[str]) -> None:
    """Prints one table for each size and latency."""
    parser = argparse.ArgumentParser(prog="python -m bench sync", description=__doc__)
    parser.add_argument("--incidents", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 50], help="milliseconds a request")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    parser.add_argument(
        "--database",
        help="URL of a server where databases may be made, reached by TCP, which dlt needs; else the bundled one",
    )
    chosen = parser.parse_args(arguments)
    with nullcontext(chosen.database) if chosen.database else throwaway_server() as server:
        for incidents in chosen.incidents:
            for latency in chosen.latency:
                _compare(server, incidents, latency, chosen.runs, _present(chosen.contestants, server))


def _present(contestants: list[str], server: str) -> list[str]:
    if "dlt" in contestants and "?host=" in server:
        print("dlt is left out: it cannot name a socket; give a server by --database")
        return [name for name in contestants if name != "dlt"]
    if "dlt" in contestants and not _dlt_python().exists():
        print(f"dlt is left out: make its environment with  python -m venv {_dlt_python().parents[1]}  and pip install "
              "'dlt[postgres]' there")  # fmt: skip
        return [name for name in contestants if name != "dlt"]
    return contestants


def _dlt_python() -> Path:
    return HERE / "out" / "dlt" / "bin" / "python"


def _compare(server: str, incidents: int, latency: int, runs: int, contestants: list[str]) -> None:
    with _simulator(incidents, latency) as source:
        _read_once(source)
        measured = {name: [_measure(name, source, server) for _ in range(runs)] for name in contestants}
    print(f"\n{incidents:,} incidents, {latency} ms a request, medians of {runs}")
    print(f"{'':14}{'seconds':>9}{'CPU s':>8}{'MiB':>7}{'requests':>10}{'rows/s':>9}{'ratio':>7}")
    base = statistics.median(m.wall for m in measured[contestants[0]])
    for name, results in measured.items():
        wall, cpu, memory, requests = (
            statistics.median(getattr(m, field) for m in results) for field in ("wall", "cpu", "memory", "requests")
        )
        print(f"{name:14}{wall:9.2f}{cpu:8.2f}{memory:7.0f}{requests:10.0f}{incidents / wall:9.0f}{base / wall:7.2f}")
        if again := [m.incremental for m in results if m.incremental is not None]:
            print(f"{'':14}500 changes later: {statistics.median(again):.2f} s")


@contextmanager
def _simulator(incidents: int, latency: int) -> Iterator[str]:
    """A simulator in a process of its own."""
    port = 18_411
    code = (
        "from integrations_api.simulator.servicenow import run_simulator\n"
        f"run_simulator(port={port}, incidents={incidents}, faults={_faults(latency)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _faults(latency: int) -> list[str]:
    return [f"latency:milliseconds={latency}"] if latency else []


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/__simulator__/state", timeout=READY_SECONDS)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the simulator did not start")


def _read_once(source: str) -> None:
    """The simulator writes its rows down at the first reading: nobody is to pay for that."""
    _run([sys.executable, "-m", "bench.contestants.lower_bound", source, ""])


def _measure(name: str, source: str, server: str) -> Measured:
    python = str(_dlt_python()) if name == "dlt" else sys.executable
    httpx.delete(f"{source}/__simulator__/requests")
    begun = time.monotonic()
    said, usage = _run([python, "-m", f"bench.contestants.{name}", source, server])
    told = json.loads(said)
    wall = told.get("wall", time.monotonic() - begun)
    log = httpx.get(f"{source}/__simulator__/requests").json()
    return Measured(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        memory=usage.ru_maxrss / 1024,
        # Those since the log was emptied; its `total` goes on counting.
        requests=len(log["requests"]),
        incremental=told.get("incremental"),
    )


def _run(command: list[str]) -> tuple[str, resource.struct_rusage]:
    """What a contestant printed last, and what its process used."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE.parent)
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return said.strip().splitlines()[-1], usage
