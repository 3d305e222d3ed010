"""Of two who edit the same integration the second is told, and a sync disturbs nobody who edits."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from integrations_api.integrations import for_sync
from integrations_api.integrations.etags import revisions_of
from tests.integrations.conftest import SERVICENOW, Room

pytestmark = pytest.mark.anyio


async def edit(room: Room, integration_id: str, tag: str | None, name: str = "ServiceNow B") -> httpx.Response:
    headers = room.admin if tag is None else {**room.admin, "If-Match": tag}
    body = {**SERVICENOW, "service_name": name}
    return await room.send("PUT", f"/integrations/update/{integration_id}", body, headers=headers)


async def test_a_lost_update_is_refused(room: Room) -> None:
    created = await room.create()
    tag = (await room.send("GET", f"/integrations/id/{created['id']}")).headers["ETag"]

    first = await edit(room, created["id"], tag)
    second = await edit(room, created["id"], tag, "ServiceNow C")
    again = await edit(room, created["id"], first.headers["ETag"], "ServiceNow C")

    assert [answer.status_code for answer in (first, second, again)] == [200, 412, 200]
    assert second.json() == {
        "success": False,
        "message": "The integration was changed in the meantime: read it again",
    }
    assert (tag, first.headers["ETag"], again.headers["ETag"]) == ('"1"', '"2"', '"3"')


async def test_of_two_edits_at_the_same_moment_one_is_refused(room: Room) -> None:
    created = await room.create()

    answers = await asyncio.gather(*(edit(room, created["id"], '"1"', f"ServiceNow {n}") for n in range(2)))

    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_a_sync_disturbs_nobody_who_edits(room: Room) -> None:
    created = await room.create()
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    async with room.sessions.begin() as session:
        await for_sync.record_success(session, UUID(created["id"]), at=at, watermark=at, fingerprint=None)

    read = await room.send("GET", f"/integrations/id/{created['id']}")
    edited = await edit(room, created["id"], '"1"')

    assert read.headers["ETag"] == '"1"'
    assert edited.status_code == 200


async def test_without_a_tag_or_with_a_star_the_last_one_wins(room: Room) -> None:
    created = await room.create()

    answers = [await edit(room, created["id"], tag) for tag in (None, "*", '"1"')]

    assert [answer.status_code for answer in answers] == [200, 200, 412]


async def test_a_tag_that_a_proxy_has_made_weak_is_refused_in_words_that_help(room: Room) -> None:
    created = await room.create()

    weak = await edit(room, created["id"], 'W/"1"')

    assert weak.status_code == 412
    assert weak.json()["message"] == (
        'If-Match holds no ETag of this service, such as "3": what compresses answers on the way makes it a weak one '
        '(W/"3"), which matches nothing'
    )


async def test_a_new_integration_says_its_tag(room: Room) -> None:
    created = await room.send("POST", "/integrations/create", SERVICENOW)

    assert created.headers["ETag"] == '"1"'


async def test_a_schedule_set_by_another_in_the_meantime_is_not_lost(room: Room) -> None:
    created = await room.create()
    path = f"/integrations/schedule/{created['id']}"

    mine = await room.send("PUT", path, {"cron": "0 6 * * *"}, headers=room.admin | {"If-Match": '"1"'})
    late = await room.send("PUT", path, {"cron": "0 7 * * *"}, headers=room.admin | {"If-Match": '"1"'})
    edited = await edit(room, created["id"], '"1"')
    blind = await room.send("PUT", path, {"cron": None})

    assert [answer.status_code for answer in (mine, late, edited, blind)] == [200, 412, 412, 200]
    assert mine.headers["ETag"] == '"2"'
    assert late.json()["message"] == "The integration was changed in the meantime: read it again"
    assert mine.json()["integration"]["schedule"]["cron"] == "0 6 * * *"


async def test_what_was_edited_since_it_was_read_is_not_deleted(room: Room) -> None:
    created = await room.create()
    await edit(room, created["id"], '"1"')
    path = f"/integrations/delete/{created['id']}"

    stale = await room.send("DELETE", path, headers=room.admin | {"If-Match": '"1"'})
    there = await room.send("GET", f"/integrations/id/{created['id']}")
    fresh = await room.send("DELETE", path, headers=room.admin | {"If-Match": there.headers["ETag"]})

    assert [answer.status_code for answer in (stale, there, fresh)] == [412, 200, 200]


@pytest.mark.parametrize(
    ("header", "revisions"),
    [
        (None, None),
        ("*", None),
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('W/"3"', set()),
        ("3", set()),
        ('"x"', set()),
        ("", set()),
        ('"' + "9" * 19 + '"', set()),
    ],
)
def test_a_tag_that_is_none_of_ours_matches_nothing(header: str | None, revisions: set[int] | None) -> None:
    assert revisions_of(header) == revisions
