"""`demo`, as `make demo` runs it: twice over the same data folder, to the end by itself and by Ctrl-C."""

import re
import shlex
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from integrations_api.demo.api import StreamEvent, read_events
from integrations_api.demo.keeping import SourceMemory
from integrations_api.demo.source import DemoSource
from integrations_api.demo.worlds import KINDS, READER
from integrations_api.errors import ApplicationError
from tests.support.long import long
from tests.support.processes import PATIENCE, Running, processes_below, run_to_end, running

INCIDENTS = 120


@pytest.fixture(scope="module")
def port() -> str:
    return free_port()


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.fixture(scope="module")
def first_start(home: Path, port: str) -> str:
    """What the first start says, which ends by itself; a proxy that is set has nothing to do with its source."""
    elsewhere = {"EGRESS_PROXY": "http://127.0.0.1:9"}
    with running(home, "demo", "--once", "--port", port, "--incidents", str(INCIDENTS), settings=elsewhere) as demo:
        assert demo.wait() == 0, demo.said
        assert processes_below(home) == {}
        return demo.said


def fact(said: str, label: str) -> str:
    """The value printed beside a label."""
    found = re.search(rf"^  {label} +(.+)$", said, re.MULTILINE)
    assert found is not None, said
    return found[1]


def send(line: str) -> httpx.Response:
    """A printed curl line as curl would send it."""
    words = iter(shlex.split(line)[1:])
    method, url, body, headers = "GET", "", None, {}
    for word in words:
        match word:
            case "-s" | "-N":
                continue
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                method, body = "POST", next(words)
            case _:
                assert not url
                url = word
    return httpx.request(method, url, headers=headers, content=body, trust_env=False, timeout=60)


def curl_lines(demo: Running) -> list[str]:
    demo.wait_to_say("Ctrl-C ends all of it")
    return [line.strip() for line in demo.said.splitlines() if line.strip().startswith("curl ")]


def test_the_first_start_ends_with_a_complete_dataset(first_start: str) -> None:
    assert fact(first_start, "Result").startswith(f"total {INCIDENTS} (added {INCIDENTS}, updated 0, unchanged 0")
    assert fact(first_start, "Version") == "1 published"
    assert fact(first_start, "Verdict") == f"complete: the source says {INCIDENTS}, the dataset holds {INCIDENTS}"
    assert f"  Batch {INCIDENTS // 5} of {INCIDENTS // 5} processed (5 incidents)" in first_start


def test_the_second_start_keeps_everything_and_every_curl_line_works(home: Path, port: str, first_start: str) -> None:
    with running(home, "demo", "--port", port, "--incidents", str(INCIDENTS)) as demo:
        all_, create, sync, one = (send(line) for line in curl_lines(demo))
        token = fact(demo.said, "Token")
        page = httpx.get(fact(demo.said, "Docs"), trust_env=False, timeout=PATIENCE)
        bearer = {"Authorization": f"Bearer {token}"}
        me = httpx.get(f"http://127.0.0.1:{port}/auth/me", headers=bearer, trust_env=False, timeout=PATIENCE)
        beside = run_to_end(home, "demo", "--once", "--port", free_port())
        demo.tell(signal.SIGINT)

        assert demo.wait() == 0
        assert processes_below(home) == {}
    said = demo.said
    assert beside.returncode == 1
    assert "is in use, and another worker would not reach the simulated source" in beside.stderr
    assert [fact(said, label) for label in ("E-mail", "Password", "Base URL")] == [
        fact(first_start, label) for label in ("E-mail", "Password", "Base URL")
    ]
    assert fact(said, "Integration").removesuffix(" found again") in fact(first_start, "Integration")
    assert "added" in fact(said, "Result")
    assert not fact(said, "Result").startswith("total 0")
    assert fact(said, "Version") == "2 published"
    assert fact(said, "Verdict").startswith("complete: ")
    assert page.status_code == 200
    assert me.json()["user"]["email"] == fact(said, "E-mail")
    assert [each.status_code for each in (all_, create, sync, one)] == [200, 201, 200, 200]
    assert len(all_.json()["integrations"]) == 1
    assert "********" in all_.text
    events = list(read_events(sync.text.splitlines()))
    assert events[-1].name == "complete"
    assert events[-1].data["stats"]["version"] == 3
    assert one.json()["incident"]["number"].startswith("INC")


@pytest.mark.parametrize("service", ["jira", long("github")])
def test_another_source_is_shown_and_its_deletions_are_seen_at_the_next_start(
    home: Path, port: str, service: str
) -> None:
    said = []
    for _ in range(2):
        with running(home, "demo", "--once", "--port", port, "--incidents", "60", "--service", service) as demo:
            assert demo.wait() == 0, demo.said
            said.append(demo.said)

    assert fact(said[0], "Verdict") == "complete: the source says 60, the dataset holds 60"
    assert "18 changes since the last start" in fact(said[1], KINDS[service].name)
    assert fact(said[1], "Verdict").startswith("complete: ")


@pytest.mark.parametrize("service", KINDS)
def test_a_source_is_made_the_same_at_every_start(tmp_path: Path, service: str) -> None:
    counts = []
    for _ in range(2):
        with DemoSource(SourceMemory.load(tmp_path, incidents=50, service=service), preferred_port=0) as source:
            counts.append(source.incidents)
            source.let_time_pass(20)
            counts.append(source.incidents)

    assert counts[0] == 50
    assert counts[1] == counts[2]


def test_what_happened_at_the_source_is_the_same_at_every_start(tmp_path: Path) -> None:
    def start(*, steps: int) -> tuple[str, list[Any]]:
        with DemoSource(SourceMemory.load(tmp_path, incidents=50), preferred_port=0) as source:
            if steps:
                source.let_time_pass(steps)
            return source.url, rows_of(source.url)

    first, second, third = start(steps=30), start(steps=30), start(steps=0)

    assert first[0] == second[0] == third[0]
    assert first[1] != second[1]
    assert second[1] == third[1]


def rows_of(url: str) -> list[Any]:
    answer = httpx.get(
        f"{url}/api/now/table/incident?sysparm_display_value=all&sysparm_query=ORDERBYsys_id",
        auth=(READER.user_name, READER.password), trust_env=False, timeout=PATIENCE,
    )  # fmt: skip
    rows: list[Any] = answer.json()["result"]
    return rows


def test_a_damaged_memory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "servicenow-50.json").write_text('{"changes": [{"when": 1}]}')

    with pytest.raises(ApplicationError, match=r"servicenow-50\.json cannot be read: remove it"):
        SourceMemory.load(tmp_path, incidents=50)


def test_events_are_read_past_ids_comments_and_empty_lines() -> None:
    lines = [
        "id: 1",
        "event: progress",
        'data: {"batch":0}',
        "",
        ": ping",
        "",
        "event: error",
        'data: {"a":',
        "data: 1}",
        "",
    ]

    assert list(read_events(lines)) == [StreamEvent("progress", {"batch": 0}), StreamEvent("error", {"a": 1})]
