"""Objects of two people, and of nobody: who may not learns nothing, not even whether there is something."""

from typing import Any
from uuid import uuid4

import orjson
import pytest

from integrations_api.access.permissions import ROLES, Permission, Role
from tests.support.applications import PASSWORD, bare_app
from tests.support.asgi import Answer
from tests.support.attacking import Attacked, Headers
from tests.support.requests_of import Request, requests_of

pytestmark = pytest.mark.anyio

JSON = ("Content-Type", "application/json")
IDS = ("integration_id", "run_id", "user_id", "key_id", "number", "n")


def with_ids(ids: dict[str, str]) -> list[Request]:
    """Every operation about one object."""
    return [request for request in requests_of(bare_app().openapi(), ids) if request.path]


async def sent(world: Attacked, request: Request, headers: Headers) -> Answer:
    return await world.send(request.method, request.url, [*headers, *request.sent_headers], body=request.content)


async def post(world: Attacked, url: str, headers: Headers, body: Any = None, method: str = "POST") -> Answer:
    content = b"" if body is None else orjson.dumps(body)
    return await world.send(method, url, [*headers, *([JSON] if content else [])], body=content)


async def test_guessed_and_real_ids_are_answered_alike_to_who_may_not(world: Attacked) -> None:
    real = {name: str(value) for name, value in world.known(IDS).items()}
    guessed = {**real, "integration_id": str(uuid4()), "run_id": str(uuid4()), "user_id": str(uuid4()), "number": "X1"}
    compared = 0

    for there, not_there in zip(with_ids(real), with_ids(guessed), strict=True):
        lacks = set(Permission) - {Permission(there.permission)} if there.permission else []
        for headers in ([], await world.user(lacks)):
            answers = [await sent(world, request, headers) for request in (there, not_there)]
            assert answers[0].status == answers[1].status, there.label
            assert answers[0].body == answers[1].body, there.label
            if there.permission:
                assert answers[0].status == (403 if headers else 401), there.label
            compared += 1

    assert compared > 60


async def test_what_is_not_there_is_not_found_by_who_may_either(world: Attacked) -> None:
    ids = {**dict.fromkeys(IDS, "x"), "n": "1"}
    ids |= {name: str(uuid4()) for name in ("integration_id", "run_id", "user_id", "key_id")}
    headers = await world.admin()

    answers = {request.label: await sent(world, request, headers) for request in with_ids(ids)}

    stream = answers.pop("POST /integrations/sync/{integration_id}")
    assert b'"message":"Integration not found"' in stream.body
    assert {label: answer.body for label, answer in answers.items() if answer.status != 404} == {}
    assert len(answers) > 30


async def test_a_key_is_its_owners_and_looks_to_others_as_if_it_were_not_there(world: Attacked) -> None:
    ada, bob = await world.user([Permission.KNOWLEDGE_VIEW]), await world.user([Permission.AUDIT_VIEW])
    made = orjson.loads(
        (await post(world, "/auth/api-keys", ada, {"name": "k", "permissions": ["knowledge.view"]})).body
    )

    listed = orjson.loads((await world.send("GET", "/auth/api-keys", bob)).body)
    real = await world.send("DELETE", f"/auth/api-keys/{made['api_key']['id']}", bob)
    guessed = await world.send("DELETE", f"/auth/api-keys/{uuid4()}", bob)
    used = await world.send("GET", "/auth/me", [("Authorization", f"Bearer {made['key']}")])

    assert listed["api_keys"] == []
    assert (real.status, real.body) == (guessed.status, guessed.body)
    assert (real.status, used.status) == (404, 200)


async def test_a_ticket_opens_its_run_and_nothing_else(world: Attacked) -> None:
    viewer = await world.user([Permission.INTEGRATION_VIEW])
    ticket = orjson.loads((await post(world, f"/integrations/runs/{world.run_id}/ticket", viewer)).body)["ticket"]
    ((other,),) = await world.bench.rows("SELECT id FROM sync_runs WHERE id <> :id", id=world.run_id)

    async def asked(path: str, with_ticket: str = ticket) -> Answer:
        return await world.send("GET", f"/integrations/{path}?ticket={with_ticket}")

    own = await asked(f"runs/{world.run_id}/events")
    others = [await asked(f"runs/{run}/events") for run in (other, uuid4(), "no-uuid")]
    forged = await asked(f"runs/{world.run_id}/events", "iat_forged")
    elsewhere = [
        await asked(path)
        for path in (f"runs/{world.run_id}", f"sync/{world.integration}/events", f"id/{world.integration}", "all")
    ]

    assert own.status == 200
    assert {(answer.status, answer.body) for answer in others} == {(401, forged.body)}
    assert {answer.status for answer in elsewhere} == {401}


async def test_who_may_no_longer_watch_is_refused_with_his_ticket_and_that_is_written_down(world: Attacked) -> None:
    viewer = await world.user([Permission.INTEGRATION_VIEW], fresh=True)
    ticket = orjson.loads((await post(world, f"/integrations/runs/{world.run_id}/ticket", viewer)).body)["ticket"]
    me = orjson.loads((await world.send("GET", "/auth/me", viewer)).body)["user"]["email"]
    await world.access.set_permissions(me, [])

    refused = await world.send("GET", f"/integrations/runs/{world.run_id}/events?ticket={ticket}")
    entries = await world.bench.rows(
        "SELECT action FROM audit_entries WHERE actor = :me ORDER BY id DESC LIMIT 1", me=me
    )

    assert refused.status == 403
    assert [entry.action for entry in entries] == ["access.denied"]


async def test_who_manages_users_takes_over_nobody_who_may_more(world: Attacked) -> None:
    manager = await world.user([Permission.USER_MANAGE])
    boss = await world.access.create_user(email="boss@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
    own = orjson.loads((await world.send("GET", "/auth/me", manager)).body)["user"]["id"]
    before = await world.state()

    answers = [
        await post(world, f"/users/{boss.id}/permissions", manager, {"permissions": []}, method="PUT"),
        await post(world, f"/users/{boss.id}/disable", manager),
        await post(world, f"/users/{boss.id}/enable", manager),
        await post(world, f"/users/{boss.id}/reset", manager),
        await post(world, f"/users/{own}/permissions", manager, {"permissions": ["audit.view"]}, method="PUT"),
        await post(world, "/users", manager, {"email": "x@example.com", "permissions": ["audit.view"]}),
        await post(world, "/auth/api-keys", manager, {"name": "k", "permissions": ["audit.view"]}),
    ]

    assert [answer.status for answer in answers] == [403] * 7
    assert await world.state() == before


async def test_a_key_gives_nobody_what_it_lacks_itself(world: Attacked) -> None:
    admin = await world.admin()
    made = await post(world, "/auth/api-keys", admin, {"name": "k", "permissions": ["user.manage"]})
    key = [("Authorization", f"Bearer {orjson.loads(made.body)['key']}")]
    boss = orjson.loads((await world.send("GET", "/auth/me", admin)).body)["user"]["id"]

    invited = await post(world, "/users", key, {"email": "x@example.com", "permissions": ["integration.view"]})
    reset = await post(world, f"/users/{boss}/reset", key)

    assert (invited.status, reset.status) == (403, 403)


async def test_a_preview_shows_incidents_of_the_source_to_nobody_who_may_not_view_knowledge(world: Attacked) -> None:
    url, syncs = f"/integrations/preview/{world.integration}", {Permission.INTEGRATION_SYNC}

    refused = await world.send("GET", url, await world.user(syncs))
    allowed = await world.send("GET", url, await world.user(syncs | {Permission.KNOWLEDGE_VIEW}))

    assert (refused.status, orjson.loads(refused.body)["message"]) == (403, "Missing permission: knowledge.view")
    assert allowed.status == 200
    assert orjson.loads(allowed.body)["incidents"]


async def test_stored_incidents_are_shown_to_nobody_who_may_not_view_knowledge(world: Attacked) -> None:
    shown = orjson.loads((await world.send("GET", f"/integrations/id/{world.integration}", await world.admin())).body)
    url, body = f"/integrations/preview/{world.integration}", shown["integration"]
    editor = {Permission.INTEGRATION_EDIT, Permission.INTEGRATION_VIEW}

    refused = await post(world, url, await world.user(editor), body)
    allowed = await post(world, url, await world.user(editor | {Permission.KNOWLEDGE_VIEW}), body)

    assert (refused.status, orjson.loads(refused.body)["message"]) == (403, "Missing permission: knowledge.view")
    assert allowed.status == 200
    assert orjson.loads(allowed.body)["incidents"]


async def test_a_stream_goes_on_only_with_a_run_of_its_own_integration(world: Attacked) -> None:
    headers: Headers = [*await world.admin(), ("Last-Event-ID", f"{world.run_id}:1")]

    own = await post(world, f"/integrations/sync/{world.integration}", headers)
    other = await post(world, f"/integrations/sync/{world.spare[0]}", headers)

    assert b"event: complete" in own.body
    assert b"belongs to a run of another integration" in other.body
    assert other.body.count(b"event:") == 1
