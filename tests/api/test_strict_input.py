"""What PostgreSQL or JSON cannot hold is refused at the door; who you are is asked first."""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, Depends, FastAPI
from fastapi.security import OAuth2PasswordRequestForm
from starlette.types import Message

from integrations_api.access.schemas import LONGEST_PASSWORD, AcceptRequest
from integrations_api.api import routes
from integrations_api.api.routes import PUBLIC, AccessRule, Router
from integrations_api.errors import Unauthenticated
from tests.support.applications import bare_app, client_of

pytestmark = pytest.mark.anyio


class Nobody(AccessRule):
    async def __call__(self) -> None:
        raise Unauthenticated("Sign in first")


def planted_app(**settings: Any) -> FastAPI:
    app = bare_app(**settings)
    router = Router()

    @router.post("/open", dependencies=[PUBLIC])
    async def open_route(body: dict[str, Any]) -> dict[str, Any]:
        return {"success": True, "got": body}

    @router.post("/closed", dependencies=[Depends(Nobody())])
    async def closed_route(body: dict[str, Any]) -> None: ...

    @router.post("/strict", dependencies=[PUBLIC])
    async def strict_route(body: AcceptRequest) -> None: ...

    @router.post("/optional", dependencies=[PUBLIC])
    async def optional_route(body: Annotated[dict[str, Any] | None, Body()] = None) -> dict[str, Any]:
        return {"success": True, "got": body}

    @router.get("/find/{name}", dependencies=[PUBLIC])
    async def find(name: str, q: str = "") -> dict[str, Any]:
        return {"success": True, "name": name}

    @router.post("/form", dependencies=[PUBLIC])
    async def form(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, Any]:
        return {"success": True, "name": form.username}

    app.include_router(router)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(planted_app()) as client:
        yield client


JSON = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"

MALFORMED = {
    "empty": b"",
    "not json": b"{",
    "two values": b"{} {}",
    "trailing comma": b'{"a": 1,}',
    "not a number": b'{"a": NaN}',
    "infinity": b'{"a": Infinity}',
    "too large a float": b'{"a": 1e999}',
    "array": b"[]",
    "string": b'"x"',
    "null": b"null",
    "NUL in a value": b'{"a": {"b": ["x\\u0000"]}}',
    "NUL in a key": b'{"a\\u0000": 1}',
    "raw NUL": b'{"a": "\x00"}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "101 levels": b'{"a":' * 101 + b"1" + b"}" * 101,
    "101 fields": json.dumps(dict.fromkeys(map(str, range(101)), 0)).encode(),
    "10,001 objects and lists": b'{"a":[' + b"[0]," * 9_998 + b"[0]]}",
    "100,000 levels": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5,000 digits": b'{"a": ' + b"9" * 5000 + b"e}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_json_is_a_422(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/open", content=body, headers=JSON)

    assert response.status_code == 422
    assert response.json()["message"].startswith("body: ")
    assert response.json()["errors"]


@pytest.mark.parametrize("body", [b"{", b'{"a": "\\u0000"}', b"[]", b""])
async def test_authentication_is_asked_before_the_body_is_judged(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/closed", content=body, headers=JSON)

    assert response.status_code == 401


GOOD_TYPES = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]


@pytest.mark.parametrize("content_type", GOOD_TYPES)
async def test_json_is_read_in_every_spelling_of_its_type(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post("/open", content=b'{"a": "\\u00e9"}', headers={"Content-Type": content_type})

    assert response.json() == {"success": True, "got": {"a": "é"}}


WRONG_TYPES = [
    {},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "application/jsonx"},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"},
]


@pytest.mark.parametrize("headers", WRONG_TYPES)
@pytest.mark.parametrize("path", ["/open", "/optional"])
async def test_a_body_in_another_type_is_a_415(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    response = await client.post(path, content=b'{"a": 1}', headers=headers)

    assert response.status_code == 415
    assert response.json()["message"] == "Send uncompressed JSON with Content-Type: application/json"


async def test_a_form_route_asks_for_a_form(client: httpx.AsyncClient) -> None:
    response = await client.post("/form", json={"username": "a", "password": "b"})

    assert response.status_code == 415
    assert "application/x-www-form-urlencoded" in response.json()["message"]


async def test_an_absent_optional_body_needs_no_type(client: httpx.AsyncClient) -> None:
    response = await client.post("/optional")

    assert response.json() == {"success": True, "got": None}


async def test_a_stranger_makes_nobody_look_at_half_a_million_zeros_one_by_one(client: httpx.AsyncClient) -> None:
    calls: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code.co_filename] if event == "call" else []))
    try:
        response = await client.post("/closed", content=b"[" + b"0," * 100_000 + b"0]", headers=JSON)
    finally:
        sys.setprofile(None)

    assert response.status_code == 401
    assert 0 < calls[routes.__file__] < 100


@pytest.mark.parametrize("path", ["/strict", "/closed"])
@pytest.mark.parametrize(
    "body",
    [json.dumps(dict.fromkeys(map(str, range(80_000)), 0)).encode(), b'{"a":[' + b'{"b":[{}]},' * 80_000 + b"0]}"],
    ids=["fields", "objects"],
)
async def test_nor_does_anybody_judge_a_hundred_thousand_fields_one_by_one(
    client: httpx.AsyncClient, path: str, body: bytes
) -> None:
    calls: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code.co_filename] if event == "call" else []))
    try:
        response = await client.post(path, content=body, headers=JSON)
    finally:
        sys.setprofile(None)

    assert response.status_code == (401 if path == "/closed" else 422)
    assert len(response.content) < 1000
    assert sum(calls.values()) < 20_000


@pytest.mark.parametrize("url", ["/find/a%00b", "/find/a?q=%00", "/find/a?%00=1"])
async def test_nul_in_the_url_is_a_422(client: httpx.AsyncClient, url: str) -> None:
    response = await client.get(url)

    assert response.status_code == 422
    assert response.json() == {"success": False, "message": "The URL must not contain NUL characters"}


@pytest.mark.parametrize("url", ["/find/a%25 b", "/find/%2500", "/find/a?q=%2500"])
async def test_an_escaped_percent_sign_is_not_a_nul(client: httpx.AsyncClient, url: str) -> None:
    response = await client.get(url)

    assert response.status_code == 200


@pytest.mark.parametrize("field", ["username", "password"])
async def test_nul_in_a_form_is_a_422(client: httpx.AsyncClient, field: str) -> None:
    response = await client.post("/form", data={"username": "a", "password": "b", field: "x\0"})

    assert response.status_code == 422
    assert response.json()["message"] == "body: must not contain NUL characters"


async def test_a_broken_multipart_form_is_a_422(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    response = await client.post("/form", content=b"--y\r\n\r\n", headers=headers)

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["body"]


@pytest.mark.parametrize(("charset", "value"), [("utf-7", b"+2AA-"), ("undefined", b"x"), ("punycode", b"a")])
async def test_a_form_in_a_charset_that_yields_no_text_or_takes_long_is_a_422(
    client: httpx.AsyncClient, charset: str, value: bytes
) -> None:
    headers = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=B"}
    part = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' + value + b"\r\n"
    body = part % b"username" + part % b"password" + b"--B--\r\n"

    response = await client.post("/form", content=body, headers=headers)

    assert response.status_code == 422
    assert response.json()["message"] == "body: must be text in UTF-8"


async def test_a_form_in_several_parts_may_say_that_it_is_utf_8(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": 'multipart/form-data; charset="UTF-8"; boundary=B'}
    part = '--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\né\r\n'
    body = "".join([part % "username", part % "password", "--B--\r\n"]).encode()

    assert (await client.post("/form", content=body, headers=headers)).status_code == 200


async def test_a_form_has_a_limit_of_its_own_that_any_password_keeps_to(client: httpx.AsyncClient) -> None:
    longest = await client.post("/form", data={"username": "a", "password": "\U0001f600" * LONGEST_PASSWORD})
    flood = await client.post("/form", content=b"&" * 65_537, headers={"Content-Type": FORM})

    assert longest.status_code == 200
    assert (flood.status_code, flood.json()["message"]) == (413, "The form is larger than 65536 bytes")


async def test_a_body_up_to_the_limit_is_read_and_a_longer_one_is_not() -> None:
    def body(size: int) -> bytes:
        return json.dumps({"a": "x" * (size - 9)}, separators=(",", ":")).encode().ljust(size)

    async with client_of(planted_app(max_body_bytes=2000)) as client:
        fits = await client.post("/open", content=body(2000), headers=JSON)
        declared = await client.post("/open", content=body(2001), headers=JSON)
        chunked = await client.post("/open", content=_chunks(body(2001)), headers=JSON)

    assert fits.status_code == 200
    for refused in (declared, chunked):
        assert refused.status_code == 413
        assert refused.json() == {"success": False, "message": "The request body is larger than 2000 bytes"}
        assert refused.headers["X-Request-ID"]


async def test_a_body_that_declares_too_much_is_refused_whatever_it_is_for() -> None:
    async with client_of(planted_app(max_body_bytes=2000)) as client:
        response = await client.post("/nowhere", content=b"x" * 2001)

    assert response.status_code == 413


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 500):
        yield body[start : start + 500]


async def test_a_flood_of_chunks_is_not_read_to_its_end() -> None:
    taken = 0

    async def endless() -> Message:
        nonlocal taken
        taken += 1_000_000
        assert taken < 40_000_000
        return {"type": "http.request", "body": b" " * 1_000_000, "more_body": True}

    answer: list[Message] = []

    async def send(message: Message) -> None:
        answer.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/open", "query_string": b"", "root_path": ""}
    scope |= {"headers": [(b"content-type", b"application/json")], "client": None, "http_version": "1.1"}
    await planted_app()(scope, endless, send)

    assert answer[0]["status"] == 413
