"""The counts that a ranking weighs terms by are exact in every version, whatever happened since."""

import pytest
from sqlalchemy import text

from integrations_api.db.engine import Sessions
from integrations_api.knowledge.purge import purge
from integrations_api.knowledge.staging import Plan
from integrations_api.knowledge.versions import publish, undo_unpublished
from tests.support.knowledge import EPOCH, Story, build_versions, doc, gone, touched
from tests.support.terms import assert_counts_are_exact

pytestmark = pytest.mark.anyio


async def terms_of(sessions: Sessions, story: Story) -> set[str]:
    async with sessions() as session:
        statement = text("SELECT DISTINCT term FROM term_counts WHERE dataset_id = :dataset")
        return set(await session.scalars(statement, {"dataset": story.dataset_id}))


async def test_counts_follow_every_version(sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"INC1": doc(title="Printer jams"), "INC2": doc(title="Printer on fire"), "INC3": doc()},
        {"INC1": doc(title="Printer works"), "INC2": gone(), "INC3": touched(EPOCH)},
        {"INC2": doc(title="Printer on fire again"), "INC1": gone()},
    )

    await assert_counts_are_exact(sessions, story.dataset_id)


async def test_a_version_that_swaps_one_document_for_another_writes_only_what_differs(sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc(title="red printer")}, {"INC1": gone(), "INC2": doc(title="blue printer")}
    )

    async with sessions() as session:
        written = await session.scalars(text("SELECT term FROM term_counts WHERE version = 2 ORDER BY term"))
        assert list(written) == ["blue", "red"]
    await assert_counts_are_exact(sessions, story.dataset_id)


async def test_a_version_that_was_held_counts_when_it_is_published_at_last(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="red printer")})
    held = await story.version({"INC1": doc(title="blue printer")}, state="held")
    plan = Plan(added=0, updated=1, touched=0, deleted=0, restored=0, seen=1, rejected=0)

    async with sessions() as session, session.begin():
        await publish(session, dataset_id=story.dataset_id, version=held, plan=plan, at=EPOCH)

    await assert_counts_are_exact(sessions, story.dataset_id)


async def test_an_abandoned_version_never_counted(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="red printer")})
    await story.version({"INC2": doc(title="blue printer")}, state="building")

    async with sessions() as session, session.begin():
        await undo_unpublished(session, story.dataset_id)

    await assert_counts_are_exact(sessions, story.dataset_id)
    assert "blue" not in await terms_of(sessions, story)


async def test_a_purged_incident_counts_in_no_version_and_its_own_words_are_forgotten(sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"INC1": doc(title="red printer of Alice"), "INC3": doc(title="green printer")},
        {"INC1": gone(), "INC2": doc(title="red printer")},
        {"INC1": doc(title="blue printer of Alice")},
        {"INC3": doc(title="blue printer"), "INC1": touched(EPOCH)},
    )

    async with sessions() as session, session.begin():
        await purge(session, dataset_id=story.dataset_id, document_id=story.id("INC1"), external_id="INC1")

    await assert_counts_are_exact(sessions, story.dataset_id)
    assert "alic" not in await terms_of(sessions, story)
