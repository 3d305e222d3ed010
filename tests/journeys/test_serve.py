"""`serve` as an operator meets it: it starts whole, survives what it can, and leaves nothing behind."""

import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.applications import settings_for
from tests.support.processes import (
    PATIENCE,
    Running,
    as_environment,
    nothing_left,
    processes_below,
    running,
    wait_for,
)

FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


def worker_of(serve: Running) -> int:
    """The process id of the newest worker that has begun to work."""

    def newest() -> int | None:
        pids = re.findall(r"serve\.worker_started .*\bpid=(\d+)", serve.said)
        return int(pids[-1]) if serve.said.count("worker.started  ") == len(pids) else None

    return wait_for(newest, "a worker")


def settled(home: Path) -> list[str] | None:
    """The commands of what runs; for a moment each new process of PostgreSQL is called as its parent."""
    commands = list(processes_below(home).values())
    return commands if sum("/postgres " in command for command in commands) == 1 else None


def test_one_command_is_the_whole_system_and_sigterm_ends_all_of_it(home: Path) -> None:
    with running(home, "serve", "--port", "0") as serve:
        url = serve.wait_until_ready()
        commands = wait_for(lambda: settled(home), "PostgreSQL's processes to have names of their own")
        checks = httpx.get(f"{url}/readyz", trust_env=False, timeout=PATIENCE).json()["checks"]
        httpx.get(f"{url}/healthz", headers=FORWARDED, trust_env=False, timeout=PATIENCE)
        serve.tell(signal.SIGTERM)
        code = serve.wait()

        assert FORWARDED["X-Forwarded-For"] not in serve.said
        assert {check["name"]: check["ok"] for check in checks} == {"database": True, "schema": True, "worker": True}
        assert sum("integrations_api worker" in command for command in commands) == 1
        assert code == 0
        assert processes_below(home) == {}
    keys = home / "data" / "keys.env"
    secrets = [line.partition("=")[2] for line in keys.read_text().splitlines() if "=" in line]
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert len(secrets) == 2
    assert not [secret for secret in secrets if secret in " ".join(commands) + serve.said]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz", trust_env=False)


def test_a_worker_that_dies_is_replaced_and_a_killed_serve_takes_everything_along(home: Path) -> None:
    with running(home, "serve", "--port", "0") as serve:
        url = serve.wait_until_ready()
        first = worker_of(serve)
        os.kill(first, signal.SIGKILL)
        serve.wait_to_say(r"serve\.worker_died .*exit_code=-9 .*starts_again_in_seconds=1\.0")
        second = wait_for(lambda: (pid := worker_of(serve)) != first and pid, "another worker")
        assert second in processes_below(home)
        assert httpx.get(f"{url}/healthz", trust_env=False, timeout=PATIENCE).status_code == 200

        serve.tell(signal.SIGKILL)
        serve.wait()
        nothing_left(home)


def test_it_believes_a_trusted_proxy_and_ends_with_a_parent_that_holds_its_input(home: Path) -> None:
    settings = {"TRUSTED_PROXIES": "127.0.0.1"}
    with running(home, "serve", "--port", "0", "--no-worker", "--with-parent", settings=settings) as serve:
        url = serve.wait_to_say(r"serve\.started .*\burl=(\S+) worker=none")[1]
        httpx.get(f"{url}/healthz", headers=FORWARDED, trust_env=False, timeout=PATIENCE)
        serve.wait_to_say(f"address={FORWARDED['X-Forwarded-For']} ")
        assert not [command for command in processes_below(home).values() if "integrations_api worker" in command]

        assert serve.process.stdin is not None
        serve.process.stdin.close()

        assert serve.wait() == 0


def test_a_terminal_that_is_closed_ends_all_of_it_and_nohup_does_not(home: Path) -> None:
    with (
        children_take(signal.SIGHUP, signal.SIG_DFL),
        running(home, "serve", "--port", "0", "--no-worker") as serve,
    ):
        serve.wait_to_say(r"serve\.started")
        serve.tell(signal.SIGHUP)

        assert serve.wait() == 0
        assert processes_below(home) == {}

    with (
        children_take(signal.SIGHUP, signal.SIG_IGN),
        running(home, "serve", "--port", "0", "--no-worker") as serve,
    ):
        url = serve.wait_to_say(r"serve\.started .*\burl=(\S+)")[1]
        serve.tell(signal.SIGHUP)

        assert httpx.get(f"{url}/healthz", trust_env=False, timeout=PATIENCE).status_code == 200
        serve.tell(signal.SIGTERM)
        assert serve.wait() == 0


@contextmanager
def children_take(number: signal.Signals, action: signal.Handlers) -> Iterator[None]:
    """What a process that is started meanwhile does at a signal; these tests may be run under nohup themselves."""
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("users", "list")], ids=" ".join)
def test_a_signal_while_it_starts_leaves_nothing(empty_home: Path, command: tuple[str, ...]) -> None:
    with running(empty_home, *command) as started:
        wait_for(lambda: (empty_home / "data" / "postgres.lock").exists(), "the database's start")
        started.tell(signal.SIGTERM)

        assert started.wait() == 128 + signal.SIGTERM
        assert processes_below(empty_home) == {}


def test_a_start_on_a_wrong_schema_says_one_line_and_leaves_no_worker(tmp_path: Path, empty_database_url: str) -> None:
    settings = as_environment(settings_for(empty_database_url))
    with running(tmp_path, "serve", "--port", "0", settings=settings) as serve:
        code = serve.wait()

        lines = serve.said.splitlines()
        assert len(lines) == 1
        assert "integrations-api migrate" in lines[0]
        assert code == 1
        assert processes_below(tmp_path) == {}


def test_a_worker_waits_for_the_word_of_its_parent(tmp_path: Path, empty_database_url: str) -> None:
    settings = as_environment(settings_for(empty_database_url))
    with running(tmp_path, "worker", "--with-parent", settings=settings) as worker:
        assert worker.process.stdin is not None
        wait_for(lambda: _has_imported(worker.process.pid, "asyncpg"), "its imports")
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(seconds=1)
        assert worker.said == ""

        worker.process.stdin.write(b"{}\n")
        worker.process.stdin.flush()

        assert worker.wait() == 1
        assert "integrations-api migrate" in worker.said


def _has_imported(pid: int, library: str) -> bool:
    return f"/{library}/" in Path(f"/proc/{pid}/maps").read_text()


def test_a_simulated_servicenow_answers_until_ctrl_c(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    with running(tmp_path, "simulate", "servicenow", "--port", port, "--incidents", "3") as simulator:
        simulator.wait_to_say("Ctrl-C ends it")
        url = f"http://127.0.0.1:{port}/api/now/table/incident"
        rows = wait_for(lambda: _rows(url), "an answer")
        simulator.tell(signal.SIGINT)

        assert len(rows) == 3
        assert simulator.wait() == 0


def _rows(url: str) -> list[object]:
    try:
        answer = httpx.get(url, auth=("integration", "simulator-password"), trust_env=False)
    except httpx.TransportError:
        return []
    rows: list[object] = answer.json()["result"]
    return rows


def test_the_command_is_installed(tmp_path: Path) -> None:
    from integrations_api.cli.child import own_command

    told = subprocess.run(own_command("--help"), cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert told.returncode == 0
    assert "serve" in told.stdout
