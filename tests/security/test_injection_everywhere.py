"""Text that would be code elsewhere, in every parameter and every field of every operation: it stays text."""

import io
import logging
import os
import re
from collections.abc import Iterator

import pytest

from integrations_api.logs import configure_logging
from tests.support.applications import bare_app
from tests.support.asgi import Answer
from tests.support.attacking import Attacked, only_this_machine
from tests.support.requests_of import Request, requests_of

pytestmark = pytest.mark.anyio

FORGED = "2026-11-24T00:00:00.000000Z [info     ] forged"
PAYLOADS = {
    "sql": "x') OR '1'='1'; DROP TABLE users; SELECT pg_sleep(9), $$\\\"%_ --",
    "lines": f"x\r\nSet-Cookie: forged=1\r\n\r\nevent: forged\ndata: {{}}\n\n{FORGED}\x1b[31m\u2028",
    "markup": "=cmd|' /C calc'!A0\"><script>forged()</script>${jndi:ldap://x}{0.__class__}%s%n../../etc/passwd",
    "quote": "'",
    "sql in numbers": "1 OR 1=1",
    "template": "{{7*7}}${7*7}<%= 7*7 %>",
    "pattern": "(a+)+$" * 20,
    "operators": '"" -x OR ( & | ! <-> :* *',
}
FULL = os.environ.get("ATTACK") == "full"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    configure_logging(log_format="text", level="INFO")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    yield stream
    configure_logging(log_format="text", level="INFO")


def harm(answer: Answer) -> Iterator[str]:
    """What in an answer shows that text was taken for more than text."""
    if answer.status >= 500 and b"Failed to fetch" not in answer.body:
        yield f"a {answer.status}: {answer.body[:200]!r}"
    for name, value in answer.headers:
        if name.lower() == "set-cookie" or "\r" in value or "\n" in value or "forged" in value:
            yield f"the header {name}: {value!r}"
    kind = answer.header("content-type") or ""
    if "event-stream" in kind and re.search(rb"^event: forged|\r", answer.body, re.MULTILINE):
        yield f"an event of its own: {answer.body!r}"
    if "html" in kind and b"<script>forged" in answer.body:
        yield "a script"


async def sent(world: Attacked, request: Request, headers: list[tuple[str, str]]) -> Answer:
    url = request.url
    return await world.send(request.method, url, [*headers, *request.sent_headers], body=request.content)


def chosen(kind: str, number: int) -> Iterator[str]:
    """What is sent to a place, by name; in `make test` two of them."""
    names = list(PAYLOADS) if FULL else ["sql", "lines" if number % 2 and kind != "header" else "markup"]
    # A client could not send the others in a header at all.
    yield from (name for name in names if kind != "header" or not re.search(r"[^ -~]", PAYLOADS[name]))


async def test_text_in_any_place_stays_text(world: Attacked, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    problems: dict[str, str] = {}
    known = world.known(["integration_id", "run_id", "user_id", "key_id", "number", "n"])
    requests = requests_of(bare_app().openapi(), {name: str(value) for name, value in known.items()})
    with only_this_machine(monkeypatch) as asked:
        for request in requests:
            for number, (kind, which) in enumerate(request.places()):
                headers = await world.admin()
                for name in chosen(kind, number):
                    answer = await sent(world, request.with_text(kind, which, PAYLOADS[name]), headers)
                    problems |= {f"{request.label} {kind} {which}: {name}": told for told in harm(answer)}
                    count += 1
    users = await world.bench.rows("SELECT count(*) AS n FROM users WHERE email = 'victim@example.com'")

    assert problems == {}
    assert count > 300
    assert users[0].n == 1
    assert set(asked) <= {"127.0.0.1"}
    lines = log.getvalue().splitlines()
    assert [line for line in lines if line.startswith(FORGED) or "\x1b[31m" in line] == []
    assert [line for line in lines if "request.failed" in line or "asyncpg" in line] == []
