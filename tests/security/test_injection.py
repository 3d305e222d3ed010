"""What is sent stays data: in SQL, in log lines, in headers, in event frames."""

import io
import logging
from collections.abc import Iterator

import pytest

from integrations_api.logs import configure_logging, get_logger
from tests.support.applications import live_app

pytestmark = pytest.mark.anyio

BREAKING = "a\r\nb\x1b[31mc\u2028d"


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    configure_logging(log_format=request.param, level="INFO")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    yield stream
    configure_logging(log_format="text", level="INFO")


@pytest.mark.parametrize("log", ["text", "json"], indirect=True)
async def test_a_value_cannot_forge_a_second_log_line(log: io.StringIO) -> None:
    get_logger("planted").info("planted", value=BREAKING)

    (line,) = log.getvalue().splitlines()
    assert "\x1b[31m" not in line


@pytest.mark.parametrize("log", ["text", "json"], indirect=True)
async def test_what_an_exception_quotes_cannot_forge_a_log_line(log: io.StringIO) -> None:
    forged = f"{BREAKING}\n2026-11-24T00:00:00Z [info] signed_in email=admin@example.com"
    try:
        raise ValueError(forged)
    except ValueError:
        get_logger("planted").exception("planted")

    first, *rest = log.getvalue().splitlines()
    assert "planted" in first
    assert all(line.startswith("  | ") for line in rest)
    assert "\x1b[31m" not in log.getvalue()


async def test_a_request_id_that_could_break_a_header_or_a_line_is_not_taken(database_url: str) -> None:
    async with live_app(database_url) as live:
        answers = [
            await live.client.get("/healthz", headers={"X-Request-ID": given})
            for given in ("fine-1", "a b", "x" * 65, "<script>", "a\tb", "&quot;;")
        ]

    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert ids[0] == "fine-1"
    assert all(id_.isalnum() and len(id_) == 32 for id_ in ids[1:])


SQL = ["' OR '1'='1", "'; DROP TABLE users; --", '"', "\\", "%", "_", "${x}", "{0}", "$1", ":name"]


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_a_parameter_is_looked_for_and_not_run(database_url: str, text: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()

        audit = await live.client.get("/audit", params={"actor": text, "action": text}, headers=admin)
        signed_in = await live.client.post("/auth/token", data={"username": text, "password": text})
        users = await live.client.get("/users", headers=admin)

    assert (audit.status_code, audit.json()["entries"]) == (200, [])
    assert signed_in.status_code == 401
    assert len(users.json()["users"]) == 1


async def test_an_event_frame_is_one_line_whatever_is_in_it(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        url = "/integrations/sync/x%0A%0Aevent%3A%20complete%0Adata%3A%20%7B%7D"

        answer = await live.client.post(url, headers=admin)

    events = [line for line in answer.text.splitlines() if line.startswith("event:")]
    assert events == ["event: error"]
