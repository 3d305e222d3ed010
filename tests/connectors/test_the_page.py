"""docs/connectors.md: the connector that it walks through is built from its own code, conforms, and syncs."""

import importlib
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from integrations_api.connectors import registry
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.services import ServiceDescription
from integrations_api.egress.guard import EgressPolicy
from tests.connectors.conformance import ConformanceTests
from tests.connectors.copying import FastTime
from tests.support.served import served
from tests.support.syncing import bench

PAGE = Path(__file__).parents[2] / "docs" / "connectors.md"
KEY = "ticketbox-key"
Ticket = dict[str, str]


@dataclass
class Desk:
    """The tickets of a Ticketbox, and its clock."""

    moment: datetime = datetime(2026, 3, 2, 9, tzinfo=UTC)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    made: int = 0

    def stamp(self) -> str:
        return f"{self.moment:%Y-%m-%dT%H:%M:%SZ}"

    def create(self, title: str) -> str:
        self.made += 1
        ticket_id = f"t{self.made:05d}"
        times = {"created": self.stamp(), "updated": self.stamp()}
        self.tickets[ticket_id] = {
            "id": ticket_id,
            "number": f"TB-{self.made}",
            "title": title,
            "state": "Open",
            **times,
        }
        return ticket_id

    def answer(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What the page says that Ticketbox answers."""
        ids = asked["ids"].split(",") if "ids" in asked else None
        found = [
            one
            for one in sorted(self.tickets.values(), key=lambda ticket: ticket["id"])
            if (ids is None or one["id"] in ids)
            and one["updated"] >= asked.get("changed_since", "")
            and one["created"] <= asked.get("created_until", "9999")
        ]
        newest = max((one["updated"] for one in found), default=None)
        page = [one for one in found if one["id"] > asked.get("after", "")][: int(asked["limit"])]
        return {"tickets": page, "total": len(found), "newest": newest}


def serving(desk: Desk) -> ThreadingHTTPServer:
    """The desk on a socket of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers["X-Ticketbox-Key"] == KEY
            body = json.dumps(desk.answer(dict(parse_qsl(urlsplit(self.path).query))) if is_known else {}).encode()
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(desk.moment, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


class Ticketbox:
    """A desk behind a socket, and connectors to it."""

    secrets = (KEY, "wrong-" + KEY)

    def __init__(self, service: ServiceDescription, desk: Desk, url: str) -> None:
        self.service = service
        self.desk = desk
        self.url = url
        self.time = FastTime()

    def open(
        self,
        *,
        page_size: int = 7,
        concurrency: int = 1,
        budget: float = 5,
        wrong_password: bool = False,
        url: str = "",
    ) -> Connector:
        config = {"url": url or self.url, "api_token": f"{'wrong-' if wrong_password else ''}{KEY}"}
        context = ConnectorContext(
            page_size=page_size, concurrency=concurrency, overlap_seconds=300, retry_budget_seconds=budget
        )
        return self.service.open(
            "api_token", config, context, EgressPolicy(allowed_hosts=("127.0.0.1",)), self.time.time
        )

    def open_elsewhere(self) -> Connector:
        return self.open(url="http://127.0.0.1:9")

    def titles(self) -> dict[str, str]:
        return {key: ticket["title"] for key, ticket in self.desk.tickets.items()}

    def create(self, title: str) -> str:
        return self.desk.create(title)

    def update(self, external_id: str, title: str) -> None:
        self.desk.tickets[external_id] |= {"title": title, "updated": self.desk.stamp()}

    def touch(self, external_id: str) -> None:
        self.desk.tickets[external_id]["updated"] = self.desk.stamp()

    def delete(self, external_id: str) -> None:
        del self.desk.tickets[external_id]

    def clear(self) -> None:
        self.desk.tickets.clear()

    def advance(self, seconds: int) -> None:
        self.desk.moment += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.desk.moment


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceDescription]:
    """The service that the page's code describes, known to the registry."""
    package = tmp_path / "ticketbox_of_the_page"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        (package / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    service: ServiceDescription = importlib.import_module(f"{package.name}.service").Ticketbox()
    monkeypatch.setitem(registry._BY_WORD, "ticketbox", service)
    yield service
    for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
        del sys.modules[name]


@pytest.fixture
def source(described: ServiceDescription) -> Iterator[Ticketbox]:
    desk = Desk()
    for n in range(60):
        desk.moment += timedelta(seconds=30)
        desk.create(f"Ticket {n}")
    server = serving(desk)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Ticketbox(described, desk, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestTicketbox(ConformanceTests):
    """What every connector must do, the page's does."""


@pytest.mark.anyio
async def test_the_pages_connector_syncs_through_the_product(database_url: str, source: Ticketbox) -> None:
    settings: dict[str, Any] = {"egress_allowed_hosts": ("127.0.0.1",), "sync_page_size": 20}
    async with bench(database_url, in_memory=False, **settings) as b, served(b) as api:
        config = {"url": source.url, "api_token": KEY}
        body = {"service_name": "Ticketbox", "auth_type": "api_token", "config": config, "is_active": True}
        created = await api.client.post("/integrations/create", json=body)
        path = f"/integrations/sync/{created.json()['integration']['id']}"

        first = await api.watch("POST", path)
        source.delete(source.create("Short-lived"))
        source.delete(sorted(source.titles())[0])
        last = (await api.watch("POST", f"{path}?mode=full"))[-1].json()["stats"]

    assert first[0].json()["message"] == "Fetching tickets from Ticketbox..."
    assert first[-1].json()["stats"]["added"] == 60
    assert (last["deleted"], last["verdict"]["state"]) == (1, "complete")
