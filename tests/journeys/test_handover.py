"""SIGTERM in the middle of a sync: streams end whole, the run is handed over, and goes on at the next start."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from httpx_sse import ServerSentEvent, connect_sse

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.settings import Settings
from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer
from integrations_api.vault.bootstrap import generate_secrets
from integrations_api.wiring import assemble
from tests.support.applications import PASSWORD
from tests.support.gates import gate
from tests.support.processes import processes_below, running

INCIDENTS = 120
SECOND_CHUNK = "NEW.ingested > OLD.ingested AND OLD.ingested > 0"


@pytest.fixture
def source() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(INCIDENTS)) as server:
        yield server


@pytest.fixture
def settings(database_url: str, source: SimulatorServer) -> dict[str, str]:
    return {
        **generate_secrets(),
        "DATABASE_URL": database_url,
        "EGRESS_ALLOWED_HOSTS": source.url.removeprefix("http://"),
        "SYNC_CHUNK_SIZE": "20",
        "RAW_DUMP_PATH": "",
    }


async def admin_token(settings: dict[str, str]) -> str:
    values: Any = {name.lower(): value for name, value in settings.items()}
    async with assemble(Settings(_env_file=None, **values)) as components:
        access = components[AccessService]
        await access.create_user(email="ada@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
        return (await access.issue_token("ada@example.com", timedelta(hours=1))).text


def client(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


def create_integration(api: httpx.Client, source: SimulatorServer) -> str:
    config = {"url": source.url, "username": "integration", "password": "simulator-password"}
    body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}
    identity: str = api.post("/integrations/create", json=body).json()["integration"]["id"]
    return identity


@contextmanager
def held_in_second_chunk(url: str) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """No run gets past its first chunk. Gives what waits until one stands there, and what lets it pass."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(gate(url, when=SECOND_CHUNK)) as closed,
    ):
        yield lambda: portal.call(closed.reached), lambda: portal.call(closed.open)


def test_a_run_in_progress_is_handed_over_and_its_stream_ends_whole(
    tmp_path: Path, settings: dict[str, str], source: SimulatorServer
) -> None:
    token = anyio.run(admin_token, settings)
    seen: list[ServerSentEvent] = []
    with (
        running(tmp_path, "serve", "--port", "0", settings=settings) as serve,
        held_in_second_chunk(settings["DATABASE_URL"]) as (is_held, let_go),
    ):
        url = serve.wait_until_ready()
        with client(url, token) as api:
            sync = f"/integrations/sync/{create_integration(api, source)}"
            with connect_sse(api, "POST", sync) as stream:
                for event in stream.iter_sse():  # Raises if the answer is cut off instead of ended.
                    seen.append(event)
                    if len(seen) == 3:
                        is_held()
                        serve.tell(signal.SIGTERM)
                        serve.wait_to_say("worker.ending")
                        let_go()
        assert serve.wait() == 0
        assert "sync.handed_over" in serve.said
        assert processes_below(tmp_path) == {}
    goodbye = seen.pop()
    with running(tmp_path, "serve", "--port", "0", settings=settings) as serve:
        run_id = seen[0].id.partition(":")[0]
        with client(serve.wait_until_ready(), token) as api:
            with connect_sse(api, "POST", sync, headers={"Last-Event-ID": seen[-1].id}) as stream:
                rest = list(stream.iter_sse())
            run = api.get(f"/integrations/runs/{run_id}").json()["run"]

    assert (goodbye.retry, goodbye.data, goodbye.id) == (1000, "", seen[-1].id)
    assert {event.event for event in seen} == {"progress"}
    assert rest[-1].event == "complete", rest[-1].data + serve.said
    assert [event.id for event in seen + rest] == [f"{run_id}:{seq}" for seq in range(1, len(seen + rest) + 1)]
    assert rest[-1].json()["stats"]["added"] == INCIDENTS
    assert rest[-1].json()["stats"]["verdict"]["state"] == "complete"
    assert run["attempt"] == 2
