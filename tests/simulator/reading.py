"""How the tests of the simulator ask it for things."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

AUTH = ("integration", "simulator-password")
INCIDENTS = "/api/now/table/incident"


async def get(client: httpx.AsyncClient, path: str = INCIDENTS, **params: object) -> httpx.Response:
    """Parameters without the prefix: `query=…` asks with sysparm_query. Forgets the session cookie before."""
    client.cookies.clear()
    return await client.get(path, params={f"sysparm_{name}": str(value) for name, value in params.items()})


async def rows(client: httpx.AsyncClient, path: str = INCIDENTS, **params: object) -> list[Any]:
    """The rows of an answer that must be 200."""
    response = await get(client, path, **params)
    assert response.status_code == 200, response.text
    listed: list[Any] = response.json()["result"]
    return listed


async def scan(client: httpx.AsyncClient, *, page: int = 10, filter_: str = "", limit_pages: int = 200) -> list[Any]:
    """All incidents by keyset on sys_id, until a page is empty."""
    found: list[Any] = []
    for _ in range(limit_pages):
        terms = [filter_] if filter_ else []
        terms += [f"sys_id>{found[-1]['sys_id']}"] if found else []
        listed = await rows(client, query="^".join([*terms, "ORDERBYsys_id"]), limit=page)
        if not listed:
            return found
        found += listed
    raise AssertionError("The scan did not end")


def ids(listed: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["sys_id"] for row in listed]
