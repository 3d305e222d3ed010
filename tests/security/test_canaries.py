"""Planted secrets are searched for in all that leaves: answers, logs at debug level, audit, OpenAPI, whole dumps.

What processes let out (streams, workers, crashes, metrics, arguments) is in test_canaries_of_processes.py.
"""

import base64
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from integrations_api.access.permissions import ROLES, Role
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.logs import configure_logging, get_logger
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.vault.bootstrap import generate_secrets
from tests.support.applications import LiveApp, live_app
from tests.support.canaries import SPELLINGS, Canaries, dumps, spellings
from tests.support.embedding import KEY, embedding_server, skip_without_pgvector
from tests.support.knowledge import build_versions, doc

pytestmark = pytest.mark.anyio

PASSWORD = "cAnArY-user-password-4711"
NEW_PASSWORD = "cAnArY-second-password-0815"
SECRETS = {
    "service password": "cAnArY-service-password",
    "client secret": "cAnArY-client-secret",
    "nested token": "cAnArY-nested-token",
    "number as secret": "48151623420815471",
    "password in a url": "cAnArY-in-url",
}


@dataclass
class Watch(Canaries):
    """An application whose answers are watched, and its log."""

    live: LiveApp = field(kw_only=True)
    log: io.StringIO = field(kw_only=True)

    async def send(self, method: str, path: str, *, hide: str = "", **options: Any) -> httpx.Response:
        """A request whose answer is watched; `hide` is what the answer is for, shown there once."""
        answer = await self.live.client.request(method, path, **options)
        told = f"{answer.status_code} {dict(answer.headers)} {answer.text}"
        self.saw(f"{method} {path.partition('?')[0]}", told.replace(hide, "") if hide else told)
        return answer


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """All log lines of a process that runs at DEBUG."""
    configure_logging(log_format="json", level="DEBUG")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    yield stream
    configure_logging(log_format="text", level="INFO")


@pytest.fixture
async def watch(database_url: str, debug_log: io.StringIO) -> AsyncIterator[Watch]:
    keys = generate_secrets()
    planted = {**SECRETS, "user password": PASSWORD, "second password": NEW_PASSWORD, "signing key": keys["SECRET_KEY"]}
    planted["encryption key"] = keys["ENCRYPTION_KEYS"].partition(":")[2]
    options: dict[str, Any] = {name.lower(): value for name, value in keys.items()}
    async with live_app(database_url, **options) as live:
        await live.access.create_user(email="ada@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
        yield Watch(planted, live=live, log=debug_log)


CONFIG: dict[str, Any] = {
    "url": "https://dev1.service-now.com",
    "username": "admin",
    "password": SECRETS["service password"],
    "client_secret": SECRETS["client secret"],
    "extra": [{"accessToken": SECRETS["nested token"]}],
    "api-key": int(SECRETS["number as secret"]),
}


async def _sign_in(watch: Watch) -> dict[str, str]:
    form = {"username": "ada@example.com", "password": PASSWORD}
    answer = await watch.live.client.post("/auth/token", data=form)
    token = watch.plant("bearer token", answer.json()["access_token"])
    watch.plant("signature of the bearer token", token.rpartition(".")[2])
    return {"Authorization": f"Bearer {token}"}


async def _use_credentials(watch: Watch, me: dict[str, str]) -> None:
    """Every way in, and its failures."""
    made = await watch.live.client.post(
        "/auth/api-keys", json={"name": "k", "permissions": ["integration.view"]}, headers=me
    )
    key = watch.plant("API key", made.json()["key"])
    invited = await watch.live.client.post("/users", json={"email": "b@x.org", "permissions": []}, headers=me)
    link = watch.plant("link token", invited.json()["link"]["token"])
    for headers in (me, {"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {key[:-1]}x"}, {}):
        for path in ("/auth/me", "/auth/api-keys", "/users", "/audit", "/audit/export", "/nowhere", "/healthz"):
            await watch.send("GET", path, headers=headers)
    for token, password in ((link + "x", NEW_PASSWORD), (link, "short"), (link, NEW_PASSWORD), (link, NEW_PASSWORD)):
        await watch.send("POST", "/auth/invitation", json={"token": token, "password": password})
    await watch.send("POST", "/auth/invitation", json={"token": [link], "password": {"p": NEW_PASSWORD}})
    await watch.send("POST", "/auth/token", data={"username": PASSWORD, "password": PASSWORD})
    await watch.send("POST", "/auth/token", data={"username": "ada@example.com", "password": NEW_PASSWORD})
    await watch.send("POST", "/auth/token", json={"username": "ada@example.com", "password": PASSWORD})
    body = {"current_password": NEW_PASSWORD, "new_password": PASSWORD, "surprise": PASSWORD}
    for wrong in (body, {**body, "surprise": 1}, {"current_password": NEW_PASSWORD, "new_password": NEW_PASSWORD}):
        await watch.send("POST", "/auth/password", json=wrong, headers=me)


async def _use_integrations(watch: Watch, me: dict[str, str]) -> None:
    """Configs with secrets: stored, edited, refused, tried out against addresses that are not there."""
    body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": CONFIG, "is_active": True}
    created = await watch.send("POST", "/integrations/create", json=body, headers=me)
    assert created.status_code == 201
    id_ = created.json()["integration"]["id"]
    in_url = f"https://admin:{SECRETS['password in a url']}@127.0.0.1/x"
    for wrong in (
        {**body, "config": {**CONFIG, "url": in_url}},
        {**body, "auth_type": SECRETS["client secret"]},
        {**body, "is_active": SECRETS["nested token"]},
        {**body, "service_name": "Other", "config": {**CONFIG, "endpoint": in_url, "password": "********"}},
        {**body, "config": {**CONFIG, "url": "https://elsewhere.example.com", "password": "********"}},
        [SECRETS["client secret"]],
    ):
        await watch.send("PUT", f"/integrations/update/{id_}", json=wrong, headers=me)
        await watch.send("POST", "/integrations/create", json=wrong, headers=me)
    broken = json.dumps(body)[:-3].encode()
    await watch.send("POST", "/integrations/create", content=broken, headers={**me, "Content-Type": "application/json"})
    for url in ("http://127.0.0.1:1", "https://127.0.0.1:1", "https://169.254.169.254", "https://no.invalid"):
        await watch.send("POST", "/integrations/test", json={**body, "config": {**CONFIG, "url": url}}, headers=me)
    for path in ("id", "secrets", "preview"):
        await watch.send("GET", f"/integrations/{path}/{id_}", headers=me)
    await watch.send("GET", "/integrations/all", headers=me)
    await watch.send("PUT", f"/integrations/update/{id_}", json={**body, "is_active": False}, headers=me)
    await watch.send("POST", f"/integrations/sync/{id_}", headers=me)


async def test_no_planted_secret_leaves(watch: Watch, database_url: str) -> None:
    me = await _sign_in(watch)
    await _use_credentials(watch, me)
    await _use_integrations(watch, me)
    for path in ("/openapi.json", "/docs", "/auth/invitation"):
        await watch.send("GET", path)
    await watch.send("POST", "/auth/logout", headers=me)
    await watch.send("GET", "/auth/me", headers=me)

    get_logger("planted").debug("a line of the least severe level")
    answers, log, dumped = list(watch.left), watch.log.getvalue(), dumps(database_url)
    for where, text in {"log": log, **dumped}.items():
        watch.saw(where, text)

    assert watch.leaks() == []
    assert [where for where, told in answers if told.startswith("5")] == []
    assert len(watch.secrets) == 13
    assert len(answers) > 60
    assert "a line of the least severe level" in log
    assert all("audit_entries" in dump for dump in dumped.values())
    assert "cAnArY" not in log + "".join(dumped.values())


def test_a_leak_would_be_found_in_whatever_spelling() -> None:
    secret = 's3cret/with+signs=and spaces"&quotes'
    texts = [
        f"x{secret}y",
        secret[::-1],
        f"?q={quote(secret, safe='')}",
        f"?q={quote_plus(secret)}",
        json.dumps({"a": secret}),
        json.dumps({"a": json.dumps({"b": secret})}),
        f"<p>{escape(secret)}</p>",
        "\\x" + b"abc".hex() + secret.encode().hex(),
        secret.encode().hex().upper(),
        base64.b64encode(f"admin:{secret}".encode()).decode(),
        base64.b64encode(f"ad:{secret}:more".encode()).decode(),
        base64.urlsafe_b64encode(f"{secret}".encode()).decode(),
    ]

    for text in texts:
        assert Canaries({"planted": secret}, [("here", text)]).leaks() == ["planted in here"]
    assert len(spellings(secret)) == SPELLINGS


async def test_the_key_of_the_embedding_service_goes_nowhere_else(database_url: str, debug_log: io.StringIO) -> None:
    await skip_without_pgvector(database_url)
    async with embedding_server() as service, live_app(database_url, **service.settings()) as live:
        watch = Watch({"embedding key": KEY}, live=live, log=debug_log)
        engine = create_engine(database_url, pool_size=1)
        story = await build_versions(create_sessions(engine), {"INC1": doc(title="Car"), "INC2": doc(title="Bus")})
        await engine.dispose()
        service.faults = [401, 404, 409]
        filler = live.components[EmbeddingFiller]
        for _ in range(4):
            filler.resume()
            await filler.fill()
        service.faults = [401]
        headers = await live.credentials()
        for path in (
            "/knowledge/search?q=automobile",
            "/knowledge/search?q=vehicle",
            f"/knowledge/datasets/{story.dataset_id}",
        ):
            await watch.send("GET", path, headers=headers)
        for name, dump in dumps(database_url).items():
            watch.saw(name, dump)
    watch.saw("log", log := debug_log.getvalue())

    assert len(service.asked) >= 5
    assert "embeddings.search_goes_without" in log
    assert watch.leaks() == []
