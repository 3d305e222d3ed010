"""The supervised child process: replaced with growing pauses when it dies, and gone when it is to be gone."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from integrations_api.cli import child
from integrations_api.cli.child import Child
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

DIES = [sys.executable, "-S", "-c", "raise SystemExit(3)"]


def works(ready: Path, *, stubborn: bool = False) -> list[str]:
    """A child that says its process id in a file and waits for its end."""
    program = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == 'True' else signal.SIG_DFL)\n"
        "open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
        "os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
        "time.sleep(3600)"
    )
    return [sys.executable, "-S", "-c", program, str(ready), str(stubborn)]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what another process brings about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (no event crosses the border of processes)
            await asyncio.sleep(0.01)


async def pid_in(ready: Path) -> int:
    await until(ready.exists)
    return int(ready.read_text())  # noqa: ASYNC240 (a few bytes)


def deaths(logged: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [line for line in logged if line["event"] == "serve.worker_died"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_that_dies_again_and_again_is_started_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "LONGEST_PAUSE", 0.03)
    worker = Child(DIES, first_pause=0.01)

    with capture_logs() as logged:
        running = asyncio.create_task(worker.run())
        await until(lambda: len(deaths(logged)) >= 4)
        worker.stop()
        await running

    died = deaths(logged)[:4]
    assert [line["starts_again_in_seconds"] for line in died] == [0.01, 0.02, 0.03, 0.03]
    assert {line["exit_code"] for line in died} == {3}


async def test_a_child_that_worked_for_long_is_started_soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "STEADY", 0.0)
    worker = Child(DIES, first_pause=0.01)

    with capture_logs() as logged:
        running = asyncio.create_task(worker.run())
        await until(lambda: len(deaths(logged)) >= 3)
        worker.stop()
        await running

    assert {line["starts_again_in_seconds"] for line in deaths(logged)} == {0.01}


async def test_a_child_for_which_no_process_is_left_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen
    refusals = iter([BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")])

    def start_late(*given: Any, **options: Any) -> Any:
        for refusal in refusals:
            raise refusal
        return start(*given, **options)

    monkeypatch.setattr(subprocess, "Popen", start_late)
    worker = Child(works(tmp_path / "pid"), first_pause=0.01)

    with capture_logs() as logged:
        running = asyncio.create_task(worker.run())
        pid = await pid_in(tmp_path / "pid")
        worker.stop()
        await running

    assert logged[0]["event"] == "serve.worker_not_started"
    assert not is_alive(pid)


async def test_a_child_for_which_no_thread_is_left_is_looked_after_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refusals = iter([RuntimeError("can't start new thread")])

    def start_late(thread: threading.Thread) -> None:
        for refusal in refusals:
            raise refusal
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    worker = Child(works(tmp_path / "pid"), first_pause=0.01)

    with capture_logs() as logged:
        running = asyncio.create_task(worker.run())
        pid = await pid_in(tmp_path / "pid")
        await until(lambda: bool(logged))
        os.kill(pid, signal.SIGKILL)
        await until(lambda: bool(deaths(logged)))
        worker.stop()
        await running

    assert logged[0]["event"] == "serve.worker_not_started"
    assert deaths(logged)[0]["exit_code"] == -signal.SIGKILL


async def test_a_child_is_given_the_word_to_begin_and_so_is_its_successor(tmp_path: Path) -> None:
    program = (
        "import json, os, sys; os.mkdir(sys.argv[1] + str(os.getpid()))\n"
        "sys.exit(7 if json.loads(sys.stdin.readline()) == {'address': 'here'} else 1)"
    )
    worker = Child([sys.executable, "-S", "-c", program, f"{tmp_path}/"], first_pause=0.01)
    worker.word["address"] = "here"

    with capture_logs() as logged:
        running = asyncio.create_task(worker.run())
        await until(lambda: len(list(tmp_path.iterdir())) == 1)
        assert not logged
        worker.release()
        await until(lambda: len(deaths(logged)) >= 2)
        worker.stop()
        await running

    assert [line["exit_code"] for line in deaths(logged)[:2]] == [7, 7]
    assert [line["event"] for line in logged[:2]] == ["serve.worker_started", "serve.worker_died"]


async def test_a_child_that_has_begun_is_the_one_that_runs(tmp_path: Path) -> None:
    worker = Child(works(tmp_path / "pid"))
    with capture_logs() as logged, worker.begun():
        pid = await pid_in(tmp_path / "pid")
        running = asyncio.create_task(worker.run())
        os.kill(pid, signal.SIGKILL)
        await until(lambda: bool(deaths(logged)))
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)

    assert deaths(logged)[0]["exit_code"] == -signal.SIGKILL


async def test_a_child_that_has_begun_and_never_ran_is_gone(tmp_path: Path) -> None:
    with suppress(LookupError), Child(works(tmp_path / "pid", stubborn=True)).begun():
        pid = await pid_in(tmp_path / "pid")
        raise LookupError

    assert not is_alive(pid)


async def test_stop_ends_the_child(tmp_path: Path) -> None:
    worker = Child(works(tmp_path / "pid"))
    running = asyncio.create_task(worker.run())
    pid = await pid_in(tmp_path / "pid")

    worker.stop()
    await asyncio.wait_for(running, PATIENCE)

    assert not is_alive(pid)


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    worker = Child(works(tmp_path / "pid", stubborn=True), goodbye=0.1)
    running = asyncio.create_task(worker.run())
    pid = await pid_in(tmp_path / "pid")

    with capture_logs() as logged:
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)

    assert not is_alive(pid)
    assert "serve.worker_killed" in {line["event"] for line in logged}


async def test_kill_does_not_wait(tmp_path: Path) -> None:
    worker = Child(works(tmp_path / "pid", stubborn=True), goodbye=3600)
    running = asyncio.create_task(worker.run())
    pid = await pid_in(tmp_path / "pid")

    worker.kill()
    await asyncio.wait_for(running, PATIENCE)

    assert not is_alive(pid)
