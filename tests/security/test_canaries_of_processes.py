"""The same search where whole processes run: streams, workers, crashes, metrics, arguments.

The source repeats everything that it is sent, credentials included, in refusals, redirects, and errors.
"""

import base64
import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import asyncpg
import httpx
from sqlalchemy.engine import make_url

from integrations_api.db.engine import asyncpg_dsn
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow import (
    AfterPage,
    Client,
    Fault,
    ServiceNowInstance,
    SimulatorServer,
    User,
)
from integrations_api.simulator.servicenow.messages import Call, error_answer
from integrations_api.vault.bootstrap import generate_secrets
from tests.journeys.test_handover import admin_token
from tests.support.applications import PASSWORD
from tests.support.canaries import Canaries, dumps, processes_shown
from tests.support.connecting import Browser
from tests.support.processes import PATIENCE, Running, running

PLANTED = {
    "service password": "cAnArY/service+password 1",
    "service API key": "cAnArY-service-api-key-2",
    "client secret": "cAnArY&client=secret%3",
    "database password": "cAnArY-database-password-4",
    "embedding key": "cAnArY-embedding-key-5",
    "metrics token": "cAnArY-metrics-token-6",
    "token of a redirect": "cAnArY-in-a-location-7",
    "token of a query": "cAnArY-in-a-query-8",
    "password of a url": "cAnArY-in-userinfo-9",
    "proxy password": "cAnArY-proxy-password-10",
}
REFUSALS = (302, 401, 500)


class Echo(Fault):
    """Refuses every request in words that repeat all of it, and leads elsewhere with a token in the address."""

    name = "echo"

    def __init__(self, status: int) -> None:
        super().__init__(on="any", times=None)
        self.status = status
        self.repeated = 0

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        proofs = [call.headers[name] for name in ("authorization", "x-sn-apikey") if name in call.headers]
        plain = [base64.b64decode(proof[6:]).decode() for proof in proofs if proof.startswith("Basic ")]
        told = " ".join([*plain, *proofs, call.body.decode("utf-8", "replace"), json.dumps(call.params)])
        self.repeated += bool(proofs or call.body)
        location = f"https://u:{PLANTED['password of a url']}@x.invalid/?t={PLANTED['token of a redirect']}"
        return error_answer(self.status, told, told, Location=location, WWW_Authenticate=f'Bearer realm="{told[:50]}"')


@dataclass
class Scene:
    """`serve` with a worker of its own, a source, and all that was seen of them."""

    canaries: Canaries
    serve: Running
    api: httpx.Client
    server: SimulatorServer
    hostile: SimulatorServer
    database_url: str

    def send(self, method: str, path: str, *, shown_once: str = "", **options: Any) -> httpx.Response:
        """A request whose answer is kept, without what it is there to show once."""
        answer = self.api.request(method, path, **options)
        told = f"{answer.status_code} {dict(answer.headers)} {answer.text}"
        for key in re.findall(r'"(?:key|ticket|access_token)":"([^"]+)"', answer.text) if shown_once else ():
            self.canaries.plant(shown_once, key)
            told = told.replace(key, "")
        self.canaries.saw(f"{method} {path.partition('?')[0]}", told)
        return answer

    def look(self) -> None:
        """What the machine and the database show of the processes at this moment."""
        self.canaries.saw("arguments and titles", processes_shown(self.serve.folder))
        self.canaries.saw("activity", str(anyio.run(run_sql, self.database_url, _ACTIVITY)))

    def connect(self, server: SimulatorServer, auth_type: str, **config: str) -> str:
        """A stored integration."""
        body = {"service_name": "ServiceNow", "auth_type": auth_type, "is_active": True}
        answer = self.send("POST", "/integrations/create", json=body | {"config": {"url": server.url, **config}})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["integration"]["id"])

    def sync(self, integration: str, *, mode: str = "incremental") -> dict[str, Any]:
        """The last event of a sync, all of which are kept."""
        streamed = self.send("POST", f"/integrations/sync/{integration}", params={"mode": mode})
        self.look()
        last: dict[str, Any] = json.loads(streamed.text.rstrip().rpartition("data: ")[2])
        return last


_ACTIVITY = "SELECT application_name, query FROM pg_stat_activity WHERE datname = current_database()"


async def run_sql(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


@contextmanager
def source() -> Iterator[SimulatorServer]:
    user = User(password=PLANTED["service password"], api_key=PLANTED["service API key"])
    client = Client(client_secret=PLANTED["client secret"])
    instance = ServiceNowInstance.with_incidents(40, users=[user], clients=[client])
    with SimulatorServer(instance) as server:
        yield server


@contextmanager
def scene(database_url: str, folder: Path) -> Iterator[Scene]:
    with source() as server, source() as hostile:
        settings = _settings(database_url, server, hostile)
        canaries = Canaries(dict(PLANTED))
        canaries.plant("signing key", settings["SECRET_KEY"])
        canaries.plant("encryption key", settings["ENCRYPTION_KEYS"].partition(":")[2])
        token = canaries.plant("bearer token", anyio.run(admin_token, settings))
        canaries.plant("password of a user", PASSWORD)
        with running(folder, "serve", "--port", "0", settings=settings) as serve:
            url = serve.wait_to_say(r'"url": "(http[^"]+)", [^\n]*"event": "serve.started"')[1]
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=False) as api:
                yield Scene(canaries, serve, api, server, hostile, database_url)
            serve.tell(signal.SIGTERM)
            serve.wait()
            canaries.saw("log", serve.said)


def _settings(database_url: str, server: SimulatorServer, hostile: SimulatorServer) -> dict[str, str]:
    # A server that trusts whoever comes takes any password; of one that does not, the real one is looked for.
    url = make_url(database_url)
    planted = url if url.password else url.set(password=PLANTED["database password"])
    return {
        **generate_secrets(),
        "DATABASE_URL": planted.render_as_string(hide_password=False),
        "EGRESS_ALLOWED_HOSTS": ",".join(each.url.removeprefix("http://") for each in (server, hostile)),
        # The sources are reached directly; what is sent elsewhere fails at the proxy.
        "EGRESS_PROXY": f"http://u:{PLANTED['proxy password']}@127.0.0.1:1",
        "EGRESS_NO_PROXY": "127.0.0.1",
        "EMBEDDINGS_URL": f"{hostile.url}/v1",
        "EMBEDDINGS_MODEL": "bag",
        "EMBEDDINGS_API_KEY": PLANTED["embedding key"],
        "METRICS_TOKEN": PLANTED["metrics token"],
        "WORKER_METRICS_PORT": "0",
        "SYNC_PAGE_SIZE": "10",
        "SYNC_RETRY_BUDGET": "1s",
        "WORKER_SILENCE": "2s",
        "RAW_DUMP_PATH": "raw.json",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
    }


def _sync_in_every_way(s: Scene) -> None:
    """Password, API key, and tokens that are got, used, and renewed."""
    by_password = s.connect(s.server, "basic_auth", username="integration", password=PLANTED["service password"])
    by_key = s.connect(s.server, "api_token", api_token=PLANTED["service API key"])
    oauth = {"client_id": Client().client_id, "client_secret": PLANTED["client secret"]}
    by_client = s.connect(s.server, "oauth2", grant="client_credentials", **oauth)
    by_person = s.connect(s.server, "oauth2", grant="authorization_code", **oauth)
    opened = s.send("POST", f"/integrations/oauth/{by_person}/authorize").json()["authorize_url"]
    page = anyio.run(Browser(str(s.api.base_url)).open, opened)
    s.canaries.saw("page of a sign-in", f"{page.headers} {page.text}")
    for integration in (by_password, by_key, by_client, by_person):
        assert s.sync(integration)["success"] is True
    s.server.instance.door.expire_tokens()
    for integration in (by_client, by_person):
        assert s.sync(integration, mode="full")["success"] is True
    for i, token in enumerate(s.server.instance.door.tokens.values()):
        s.canaries.plant(f"access token {i}", token.value)
        if token.refresh:
            s.canaries.plant(f"refresh token {i}", token.refresh)


def _be_refused(s: Scene) -> int:
    """By a source that repeats what it is sent; how many requests it has repeated."""
    oauth = {"grant": "client_credentials", "client_id": "c", "client_secret": PLANTED["client secret"]}
    by_password = s.connect(s.hostile, "basic_auth", username="u", password=PLANTED["service password"])
    by_key = s.connect(s.hostile, "api_token", api_token=PLANTED["service API key"])
    by_client = s.connect(s.hostile, "oauth2", **oauth)
    repeated = 0
    for status in REFUSALS:
        s.hostile.faults.clear()
        s.hostile.add_fault(echo := Echo(status))
        for integration in (by_password, by_key, by_client):
            assert s.sync(integration)["success"] is False
        s.send("POST", f"/integrations/test/{by_password}")
        s.send("GET", f"/integrations/preview/{by_client}")
        s.send("GET", "/knowledge/search", params={"q": "mail"})
        repeated += echo.repeated
    return repeated


def _send_what_is_refused(s: Scene) -> None:
    """Addresses with credentials and tokens in them, to places that are closed, forbidden, or not there."""
    body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "is_active": True}
    sign_in = {"username": "u", "password": PLANTED["service password"]}
    for url in (
        f"https://u:{PLANTED['password of a url']}@example.com",
        f"http://127.0.0.1:1/?token={PLANTED['token of a query']}",
        f"{s.hostile.url}/x?token={PLANTED['token of a query']}#{PLANTED['token of a query']}",
        "http://127.0.0.1:1",
        "https://no.invalid",
        f"https://{PLANTED['token of a query']}.invalid\r\nX-A: b",
    ):
        for path in ("/integrations/create", "/integrations/test"):
            s.send("POST", path, json=body | {"config": {"url": url, **sign_in}})
    s.send("POST", "/auth/token", data={"username": "ada@example.com", "password": PASSWORD + "x"})
    s.send("POST", "/auth/token", data={"username": "ada@example.com", "password": PASSWORD}, shown_once="second token")


def _watch_with_tickets_and_keys(s: Scene) -> None:
    """A ticket in an address, a key in a header: good ones, and after they have ended."""
    made = s.send(
        "POST", "/auth/api-keys", json={"name": "k", "permissions": ["integration.view"]}, shown_once="API key"
    ).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    integration = s.send("GET", "/integrations/all").json()["integrations"][-1]["id"]
    run = s.send("GET", f"/integrations/sync/{integration}/runs").json()["runs"][0]["id"]
    ticket = s.send("POST", f"/integrations/runs/{run}/ticket", headers=key, shown_once="stream ticket").json()[
        "ticket"
    ]
    for _ in range(2):
        s.send("GET", f"/integrations/runs/{run}/events?ticket={ticket}", headers={"Authorization": ""})
        s.send("GET", f"/integrations/runs/{run}/events?ticket={ticket}x", headers={"Authorization": ""})
        s.send("DELETE", f"/auth/api-keys/{made['api_key']['id']}")
    s.send("GET", "/auth/me", headers=key)


def _kill_the_worker(s: Scene, threads: ThreadPoolExecutor) -> None:
    """In the middle of a sync, which goes on in the next one."""
    integration = s.send("GET", "/integrations/all").json()["integrations"][-1]["id"]
    reached, go_on = Event(), Event()

    def hold(_: int) -> None:
        reached.set()
        go_on.wait(PATIENCE)

    s.server.add_fault(AfterPage(hold, times=1))
    ended: Future[dict[str, Any]] = threads.submit(s.sync, integration, mode="full")
    assert reached.wait(PATIENCE)
    pids = re.findall(r'"pid": (\d+)[^\n]*"event": "serve.worker_started"', s.serve.said)
    os.kill(int(pids[-1]), signal.SIGKILL)
    go_on.set()
    assert ended.result(PATIENCE)["success"] is True


_BREAK = """
    CREATE OR REPLACE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'broken by %', NEW USING DETAIL = NEW::text; END $$;
    CREATE TRIGGER break BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION break();
"""


def _break_what_writes(s: Scene) -> None:
    """Defects: the database refuses what is written, with the row in its words; a 500, and a sync that breaks."""
    integration = s.send("GET", "/integrations/all").json()["integrations"][-1]
    for table in ("raw_records", "integration_secrets", "api_keys", "audit_entries"):
        for statement in _BREAK.format(table=table).split(";\n    CREATE TRIGGER"):
            sql = statement if "FUNCTION break() RETURNS" in statement else f"CREATE TRIGGER{statement}"
            anyio.run(run_sql, s.database_url, sql)
        if table == "raw_records":
            assert s.sync(integration["id"], mode="full")["success"] is False
        else:
            config = integration["config"] | {"password": PLANTED["service password"]}
            s.send("PUT", f"/integrations/update/{integration['id']}", json={**_sent(integration), "config": config})
            s.send("POST", "/auth/api-keys", json={"name": "k", "permissions": ["integration.view"]})
            s.send("POST", "/auth/token", data={"username": "ada@example.com", "password": PASSWORD})
        anyio.run(run_sql, s.database_url, f"DROP TRIGGER break ON {table}")


def _sent(integration: dict[str, Any]) -> dict[str, Any]:
    return {name: integration[name] for name in ("service_name", "auth_type", "is_active")}


def _read_everything(s: Scene) -> int:
    """Every GET of the OpenAPI that needs no more than the ids at hand; how many there were."""
    integration = s.send("GET", "/integrations/all").json()["integrations"][-1]["id"]
    run = s.send("GET", f"/integrations/sync/{integration}/runs").json()["runs"][0]["id"]
    ids = {"integration_id": integration, "dataset_id": integration, "run_id": run, "n": "1", "version": "1"}
    paths = [path for path, item in s.send("GET", "/openapi.json").json()["paths"].items() if "get" in item]
    filled = [re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "x"), path) for path in paths]
    for path in [*filled, "/docs", "/auth/invitation"]:
        s.send("GET", path)
    metrics = {"Authorization": f"Bearer {PLANTED['metrics token']}"}
    workers = re.findall(r'"url": "(http[^"]+/metrics)"', s.serve.said)
    for where in ("/metrics", workers[-1]):
        assert s.send("GET", where, headers=metrics).status_code == 200
        assert s.send("GET", where, headers={"Authorization": "Bearer wrong"}).status_code == 401
    return len(filled)


def test_no_secret_leaves_whatever_runs_fails_or_is_killed(database_url: str, tmp_path: Path) -> None:
    with scene(database_url, tmp_path) as s, ThreadPoolExecutor(1) as threads:
        _sync_in_every_way(s)
        repeated = _be_refused(s)
        _send_what_is_refused(s)
        _watch_with_tickets_and_keys(s)
        _kill_the_worker(s, threads)
        _break_what_writes(s)
        read = _read_everything(s)
    canaries = s.canaries
    for name, dump in dumps(database_url).items():
        canaries.saw(name, dump)
    canaries.saw("raw file", (tmp_path / "raw.json").read_text())

    assert canaries.leaks() == []
    said = dict(canaries.left)["log"]
    assert {"sync.attempt_broke", "request.failed"} <= {json.loads(line)["event"] for line in said.splitlines()}
    assert repeated > 3 * len(REFUSALS)
    assert read > 30
    assert len(canaries.secrets) >= 20
    assert {"API key", "stream ticket", "second token", "access token 0", "refresh token 0"} <= canaries.secrets.keys()
