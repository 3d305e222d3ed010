"""A rollback is a new version that equals an older one."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from integrations_api.db.engine import Sessions
from integrations_api.errors import Conflict
from integrations_api.knowledge.repository import BEGINNING
from integrations_api.knowledge.rollback import roll_back
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.staging import Plan
from integrations_api.knowledge.versions import begin_version, publish, undo_unpublished
from tests.support.knowledge import EPOCH, Story, build_versions, doc, gone, published_at, touched

pytestmark = pytest.mark.anyio

STAMPS = ("source_updated_at", "synced_at", "version", "change", "changed_in")


async def rolled_back(story: Story, to_version: int) -> tuple[int, Plan]:
    """What an admin's rollback does: undo, begin, write, publish."""
    async with story.sessions() as session, session.begin():
        await undo_unpublished(session, story.dataset_id)
        number = await begin_version(
            session, dataset_id=story.dataset_id, kind="rollback", run_id=None, source_version=to_version
        )
        plan = await roll_back(session, dataset_id=story.dataset_id, to_version=to_version, new_number=number)
        await publish(session, dataset_id=story.dataset_id, version=number, plan=plan, at=published_at(number))
    story.last = story.head = number
    return number, plan


async def contents_of(knowledge: KnowledgeService, story: Story, version: int) -> list[dict[str, Any]]:
    """All incidents of a version, without what tells when and how they came to be."""
    page = await knowledge.incidents(story.dataset_id, version, after=BEGINNING, limit=1000, tombstones=False)
    return [{key: value for key, value in incident.items() if key not in STAMPS} for incident in page.incidents]


async def test_the_new_version_equals_the_old_one(knowledge: KnowledgeService, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"same": doc(), "changed": doc(), "gone": doc(), "renamed": doc("OLD"), "touched": doc()},
        {"changed": doc(state="Closed"), "gone": gone(), "renamed": doc("NEW"), "later": doc()},
        {"touched": touched(EPOCH + timedelta(hours=1)), "later": doc(state="Closed")},
    )

    number, plan = await rolled_back(story, 1)

    assert await contents_of(knowledge, story, number) == await contents_of(knowledge, story, 1)
    assert (plan.added, plan.updated, plan.deleted, plan.restored) == (1, 2, 1, 1)
    version = await knowledge.version(story.dataset_id, number)
    assert (version["kind"], version["source_version"], version["parent"], version["documents"]) == (
        "rollback",
        1,
        3,
        5,
    )
    assert await contents_of(knowledge, story, 3) != await contents_of(knowledge, story, 1)


async def test_each_change_is_told_as_what_it_is(knowledge: KnowledgeService, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"changed": doc(), "gone": doc(), "archived": doc()},
        {"archived": gone("archived")},
        {"changed": doc(state="Closed"), "gone": gone(), "later": doc(), "archived": doc()},
    )

    await rolled_back(story, 2)

    told = {}
    for external_id in ("changed", "gone", "later", "archived"):
        incident, _ = await knowledge.incident(str(story.id(external_id)), dataset_id=None, version=None)
        told[external_id] = (incident["change"], incident["changed_in"], incident.get("reason"))
    assert told == {
        "changed": ("updated", 4, None),
        "gone": ("added", 4, None),
        "later": ("deleted", 4, "rolled back"),
        "archived": ("deleted", 4, "archived"),
    }


async def test_the_cost_follows_the_difference(sessions: Sessions) -> None:
    story = await build_versions(sessions, {f"INC{i}": doc() for i in range(20)}, {"INC1": doc(state="Closed")})

    number, _ = await rolled_back(story, 1)

    async with sessions() as session:
        written = await session.scalar(text("SELECT count(*) FROM revisions WHERE valid_from = :n"), {"n": number})
    assert written == 1


async def test_rolling_back_to_the_version_before_undoes_it(knowledge: KnowledgeService, sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": gone(), "INC2": doc(state="Closed"), "INC3": doc()}
    )

    await rolled_back(story, 1)
    number, _ = await rolled_back(story, 2)

    assert await contents_of(knowledge, story, number) == await contents_of(knowledge, story, 2)
    assert number == 4


async def test_counts_of_the_dataset_are_those_of_the_old_version(
    knowledge: KnowledgeService, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": gone(), "INC3": doc()})

    await rolled_back(story, 1)

    dataset = await knowledge.dataset(story.dataset_id)
    assert (dataset["documents"], dataset["tombstones"]) == (2, 1)  # INC3 is a tombstone now


async def test_a_version_that_reads_the_same_needs_nothing(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": touched(EPOCH + timedelta(hours=1))})

    async with sessions() as session, session.begin():
        plan = await roll_back(session, dataset_id=story.dataset_id, to_version=1, new_number=3)

    assert not plan.makes_a_version


async def test_other_datasets_are_left_alone(knowledge: KnowledgeService, sessions: Sessions) -> None:
    other = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    before = await contents_of(knowledge, other, 2)

    await rolled_back(story, 1)

    assert await contents_of(knowledge, other, 2) == before
    async with sessions() as session:
        facts = {"dataset": other.dataset_id}
        written = await session.scalar(text("SELECT count(*) FROM revisions WHERE dataset_id = :dataset"), facts)
    assert written == 2


async def test_only_a_published_version_before_the_head_can_be_put_back(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    await story.version({}, state="abandoned")
    await story.version({"INC1": doc(state="Open")})

    async def refusal(to_version: int, dataset_id: UUID = story.dataset_id) -> str:
        async with sessions() as session:
            with pytest.raises(Conflict) as refused:
                await roll_back(session, dataset_id=dataset_id, to_version=to_version, new_number=9)
        return refused.value.message

    assert "never published" in await refusal(3)
    assert "never published" in await refusal(7)
    assert "readers see already" in await refusal(4)
    assert "no version has been published" in await refusal(1, UUID(int=0))


async def test_nothing_is_rolled_back_under_a_version_that_is_being_built(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    await story.version({"INC1": doc(state="Open")}, state="building")

    async with sessions() as session:
        with pytest.raises(Conflict, match="being built upon version 2"):
            await roll_back(session, dataset_id=story.dataset_id, to_version=1, new_number=4)
