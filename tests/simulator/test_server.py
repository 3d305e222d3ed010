"""Over a real socket: the server, the faults that need one, and the control plane."""

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance, SimulatorServer
from tests.simulator.reading import AUTH, INCIDENTS
from tests.support.processes import PATIENCE


@pytest.fixture
def http(server: SimulatorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, auth=AUTH, timeout=60) as made:
        yield made


def control(http: httpx.Client, method: str, path: str, **body: Any) -> Any:
    response = http.request(method, f"/__simulator__/{path}", json=body)
    assert response.status_code in (200, 201), response.text
    return json.loads(response.content)


def becomes_true(claim: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether a claim about another thread holds within a bound."""
    end = time.monotonic() + seconds
    while not claim() and time.monotonic() < end:
        time.sleep(0.005)
    return claim()


def test_serves_its_instance_with_its_instances_date(http: httpx.Client) -> None:
    response = http.get(INCIDENTS, params={"sysparm_limit": "5"})

    assert len(response.json()["result"]) == 5
    assert response.headers.get_list("date") == ["Mon, 02 Mar 2026 09:00:00 GMT"]
    assert response.headers["Link"].startswith(f"<{http.base_url}".rstrip("/"))


def test_a_reset_in_mid_body_breaks_the_connection(server: SimulatorServer, http: httpx.Client) -> None:
    server.add_fault("reset_mid_body", at_byte=2000)
    received: list[bytes] = []

    with pytest.raises(httpx.ReadError), http.stream("GET", INCIDENTS) as response:
        received.extend(response.iter_raw())

    assert len(b"".join(received)) <= 2000
    assert http.get(INCIDENTS).status_code == 200


def test_a_trickling_body_comes_in_small_pieces_and_is_whole_in_the_end(
    server: SimulatorServer, http: httpx.Client
) -> None:
    server.add_fault("trickle", size=400, seconds=0.005)

    with http.stream("GET", INCIDENTS, params={"sysparm_limit": "2"}) as response:
        pieces = list(response.iter_raw())

    assert len(pieces) > 3
    assert len(json.loads(b"".join(pieces))["result"]) == 2


def test_a_server_that_never_answers_is_given_up_on_and_others_are_served(
    server: SimulatorServer, http: httpx.Client
) -> None:
    server.add_fault("never_answers")

    with pytest.raises(httpx.ReadTimeout):
        http.get(INCIDENTS, timeout=0.2)

    assert http.get(INCIDENTS).status_code == 200
    assert becomes_true(lambda: server.log.in_flight == 0)


def test_latency_delays_every_answer(server: SimulatorServer, http: httpx.Client) -> None:
    server.add_fault("latency", milliseconds=3_600_000)
    with pytest.raises(httpx.ReadTimeout):
        http.get(INCIDENTS, timeout=0.1)

    server.faults.clear()
    server.add_fault("latency", milliseconds=20)
    assert http.get(INCIDENTS).status_code == 200


def test_a_stopped_server_is_gone_even_when_somebody_waits(instance: ServiceNowInstance) -> None:
    with SimulatorServer(instance) as server:
        server.add_fault("never_answers")
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{server.url}{INCIDENTS}", auth=AUTH, timeout=0.1)
        url = server.url

    # Refused; or answered by another test's server, which got the port: this one would say nothing for ever.
    with suppress(httpx.ConnectError):
        httpx.get(f"{url}{INCIDENTS}", auth=AUTH, timeout=5)


def test_rows_are_created_changed_and_deleted_from_another_process(http: httpx.Client) -> None:
    sys_id = control(http, "POST", "do/create", values={"short_description": "From outside"})["result"]
    control(http, "POST", "do/update", sys_id=sys_id, changes={"priority": "1"}, touch=False)
    control(http, "POST", "do/work_note", sys_id=sys_id, text="A note")
    shown = http.get(f"{INCIDENTS}/{sys_id}", params={"sysparm_display_value": "true"}).json()["result"]
    listed = control(http, "POST", "do/listing", fields=["sys_id", "short_description"])["result"]
    control(http, "POST", "do/delete", sys_id=sys_id, audit=False)

    assert (shown["short_description"], shown["priority"]) == ("From outside", "1 - Critical")
    assert "A note" in shown["work_notes"]
    assert {"sys_id": sys_id, "short_description": "From outside"} in listed
    assert http.get(f"{INCIDENTS}/{sys_id}").status_code == 404


def test_odd_texts_can_be_listed_too(server: SimulatorServer, http: httpx.Client) -> None:
    control(http, "POST", "faults", name="odd_text", every=1)

    listed = control(http, "POST", "do/listing")["result"]

    assert [row["short_description"] for row in listed] == [
        row["short_description"] for row in server.instance.listing()
    ]


@pytest.mark.parametrize(
    ("operation", "body", "status"),
    [
        ("explode", {}, 404),
        ("with_incidents", {"count": 3}, 404),
        ("delete", {}, 422),
        ("delete", {"sys_id": "nothing"}, 422),
        ("delete", {"sys_id": "x", "loudly": True}, 422),
    ],
)
def test_wrong_operations_are_named(http: httpx.Client, operation: str, body: dict[str, Any], status: int) -> None:
    response = http.post(f"/__simulator__/do/{operation}", json=body)

    assert response.status_code == status
    assert operation in response.json()["error"]


def test_faults_are_set_shown_and_cleared_from_outside(http: httpx.Client) -> None:
    control(http, "POST", "faults", name="server_error", times=1)
    shown = control(http, "GET", "faults")
    broken = http.get(INCIDENTS)
    control(http, "POST", "faults", name="hibernating")
    http.delete("/__simulator__/faults", params={"name": "hibernating"})
    unknown = http.post("/__simulator__/faults", json={"name": "unknown"})

    assert shown["active"] == [{"name": "server_error", "seen": 0, "hits": 0}]
    assert shown["known"]["server_error"]["parameters"] == ["status", "form", "on", "skip", "times"]
    assert broken.status_code == 500
    assert http.get(INCIDENTS).json()["result"]
    assert unknown.status_code == 422


def test_the_request_log_tells_what_was_asked_and_how(http: httpx.Client) -> None:
    http.get(INCIDENTS, params={"sysparm_limit": "3"})
    http.get("/api/now/stats/incident", params={"sysparm_count": "true"})
    log = control(http, "GET", "requests")
    http.delete("/__simulator__/requests")

    page, stats = log["requests"]
    assert (page["method"], page["path"], page["kind"], page["auth"]) == ("GET", INCIDENTS, "page", "basic")
    assert (page["status"], page["rows"], page["params"]) == (200, 3, {"sysparm_limit": "3"})
    assert stats["kind"] == "stats"
    assert (log["total"], log["in_flight"], log["most_in_flight"]) == (2, 0, 1)
    assert control(http, "GET", "requests")["requests"] == []


def test_time_moves_and_the_desk_lives_on_from_outside(http: httpx.Client, clock: ManualClock) -> None:
    assert control(http, "POST", "clock", advance=60) == {"now": "2026-03-02 09:01:00"}
    assert control(http, "POST", "clock", offset=-60) == {"now": "2026-03-02 09:00:00"}
    done = control(http, "POST", "evolve", steps=20, seed=2)["result"]
    state = control(http, "GET", "state")

    assert sum(done.values()) == 20
    assert state["tables"]["incident"] == 60 + done.get("new", 0) - done.get("delete", 0)
    assert clock.offset == -60


def test_without_the_flag_there_is_no_control_plane(instance: ServiceNowInstance) -> None:
    with SimulatorServer(instance, control=False) as server:
        response = httpx.get(f"{server.url}/__simulator__/state", auth=AUTH, timeout=60)

    assert response.status_code == 400


def test_runs_as_a_program_and_ends_on_sigterm() -> None:
    program = """
        import socket, threading, httpx, os, signal, time
        from integrations_api.simulator.servicenow import run_simulator
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
        def ask():
            transport = httpx.HTTPTransport(retries=8)
            with httpx.Client(transport=transport, timeout=50, auth=("integration", "simulator-password")) as client:
                count = client.get(f"http://127.0.0.1:{port}/api/now/stats/incident?sysparm_count=true").json()
            print(count["result"]["stats"]["count"], flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=ask).start()
        run_simulator(port=port, incidents=25, faults=["clock_skew:seconds=60"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.strip() == "25", done.stderr
