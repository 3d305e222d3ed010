"""What a request may bring, and which pages may send one."""

import asyncio

import pytest

from integrations_api.api.routes import PUBLIC, Router
from integrations_api.errors import ConfigurationError
from integrations_api.settings import load_settings
from tests.support.applications import bare_app, client_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?a=" + "x" * 16_383, {}, 414),
        ("?a=" + "x" * 16_000, {}, 200),
        ("", {"X-Long": "x" * 33_000}, 431),
        ("", {f"X-{n}": "1" for n in range(101)}, 431),
        ("", {"X-Long": "x" * 30_000}, 200),
    ],
    ids=["query", "query that fits", "long header", "many headers", "header that fits"],
)
async def test_a_head_that_is_too_large_is_refused_in_the_envelope(
    query: str, headers: dict[str, str], status: int
) -> None:
    async with client_of(bare_app()) as client:
        answer = await client.get(f"/healthz{query}", headers=headers)

    assert answer.status_code == status
    assert answer.json()["success"] is (status == 200)
    assert answer.headers["X-Request-ID"]


PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,if-match"}
HEAD = {"Access-Control-Request-Method": "HEAD"}


async def test_without_origins_no_page_of_another_may_call() -> None:
    async with client_of(bare_app()) as client:
        answer = await client.get("/healthz", headers={"Origin": "https://admin.example.com"})
        preflight = await client.options("/healthz", headers={"Origin": "https://admin.example.com", **PREFLIGHT})

    assert not [name for name in [*answer.headers, *preflight.headers] if name.startswith("access-control")]
    assert preflight.status_code == 405


async def test_a_page_of_a_named_origin_may_call_and_others_may_not() -> None:
    async with client_of(bare_app(cors_origins="https://admin.example.com, http://localhost:3000")) as client:
        allowed = await client.options("/healthz", headers={"Origin": "https://admin.example.com", **PREFLIGHT})
        by_head = await client.options("/healthz", headers={"Origin": "https://admin.example.com", **PREFLIGHT, **HEAD})
        answered = await client.get("/healthz", headers={"Origin": "http://localhost:3000"})
        refused = await client.options(
            "/healthz", headers={"Origin": "https://admin.example.com.evil.org", **PREFLIGHT}
        )

    assert (allowed.status_code, by_head.status_code, refused.status_code) == (200, 200, 400)
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://admin.example.com"
    assert answered.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    exposed = answered.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Content-Disposition"} <= set(exposed)  # The latter has the name of an export's file.
    assert "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-credentials" not in allowed.headers


@pytest.mark.parametrize("path", ["/nowhere", "/defect", "/cut-off"])
async def test_a_page_of_a_named_origin_reads_why_it_has_no_answer(path: str) -> None:
    app, router = bare_app(cors_origins="https://admin.example.com"), Router(dependencies=[PUBLIC])

    @router.get("/defect")
    async def defect() -> None:
        raise RuntimeError("a defect")

    @router.get("/cut-off")
    async def cut_off() -> None:
        raise asyncio.CancelledError

    app.include_router(router)
    async with client_of(app) as client:
        named, other = [
            await client.get(path, headers={"Origin": origin})
            for origin in ("https://admin.example.com", "https://example.com")
        ]

    assert named.status_code == other.status_code >= 401
    assert named.headers["Access-Control-Allow-Origin"] == "https://admin.example.com"
    assert "Retry-After" in named.headers["Access-Control-Expose-Headers"]
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("origin", ["*", "admin.example.com", "https://a.example.com/path", "null", "https://*.x.org"])
def test_what_is_no_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS: expected origins"):
        load_settings(cors_origins=origin, _env_file=None)
