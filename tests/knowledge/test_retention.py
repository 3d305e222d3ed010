"""Old versions and raw records go after a while; what is kept reads as it always did."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from integrations_api.audit.models import AuditEntry
from integrations_api.db.engine import Sessions
from integrations_api.errors import NotFound
from integrations_api.knowledge import datasets, pruning, service
from integrations_api.knowledge.diffing import DiffQuestion
from integrations_api.knowledge.purge import purge
from integrations_api.knowledge.retention import Keep, Retention
from integrations_api.knowledge.rollback import roll_back
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.versions import begin_version, publish
from tests.knowledge.conftest import ADMIN, Api
from tests.knowledge.test_random_histories import HISTORIES, Ending, Model, Wish, all_incidents
from tests.support.knowledge import EPOCH, Story, begin_story, build_versions, doc, gone, published_at, touched
from tests.support.long import FULL
from tests.support.terms import assert_counts_are_exact

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def retention(sessions: Sessions, *, versions: int | None = None, raw: timedelta | None = None) -> Retention:
    keep = Keep(versions=versions, raw=raw, rejections=timedelta(days=30), resumable=WEEK)
    return Retention(sessions=sessions, clock=lambda: NOW, keep=keep)


async def execute(sessions: Sessions, statement: str, **facts: Any) -> None:
    async with sessions() as session, session.begin():
        await session.execute(text(statement), facts)


async def count(sessions: Sessions, table: str) -> int:
    async with sessions() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def add_run(sessions: Sessions, story: Story, state: str, *, days_ago: float = 0) -> UUID:
    """A run that ended (or not) so long ago, with a raw record of its own."""
    run = uuid4()
    ended = None if state in ("queued", "running") else NOW - timedelta(days=days_ago)
    await execute(
        sessions,
        "INSERT INTO sync_runs (id, dataset_id, mode, trigger, state, created_at, finished_at)"
        " VALUES (:run, :dataset, 'full', 'manual', :state, :created, :ended)",
        run=run, dataset=story.dataset_id, state=state, created=ended or NOW, ended=ended,
    )  # fmt: skip
    await execute(
        sessions,
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, raw) VALUES (:run, 'id-1', 0, :dataset, '{}')",
        run=run, dataset=story.dataset_id,
    )  # fmt: skip
    return run


async def add_unnamed_content(sessions: Sessions, story: Story) -> None:
    """A content as a run writes it while it fetches."""
    await execute(
        sessions,
        "INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
        " VALUES (:dataset, 'x', 'Nobody names this', '', '[]', '{}', '')",
        dataset=story.dataset_id,
    )


async def test_the_newest_versions_stay_and_older_ones_answer_with_words(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, *({"INC1": doc(title=f"Title {n}")} for n in range(1, 6)))

    await retention(sessions, versions=2).prune()

    path = f"/knowledge/datasets/{story.dataset_id}/versions"
    assert [version["number"] for version in (await api.get(path))["versions"]] == [5, 4]
    sentence = "Version 3 is not kept any more; the oldest that can be read is version 4"
    for place in ("", "/incidents", "/diff?base=5", "/export"):
        assert (await api.get(f"{path}/3{place}", status=404))["message"] == sentence
    for place in (f"{path}/4/diff?base=3", "/knowledge/incidents/INC1?version=3"):
        assert (await api.get(place, status=404))["message"] == sentence
    unasked = (await api.get(f"{path}/4/diff", status=404))["message"]
    assert unasked.startswith("Version 3, which version 4 was built upon, is not kept any more: compare it with")
    assert (await api.get(f"{path}/4/diff?base=5"))["counts"]["changed"] == 1
    assert (await api.get("/knowledge/incidents/INC1?version=4"))["incident"]["title"] == "Title 4"
    history = (await api.get("/knowledge/incidents/INC1/history"))["history"]
    assert [entry["version"] for entry in history] == [5, 4]
    assert await count(sessions, "revisions") == await count(sessions, "contents") == 2
    async with sessions() as session:
        with pytest.raises(NotFound, match="not kept any more"):
            await roll_back(session, dataset_id=story.dataset_id, to_version=3, new_number=6)


async def test_a_dataset_that_was_looked_after_by_a_clock_that_was_ahead_is_looked_after_all_the_same(
    sessions: Sessions,
) -> None:
    await build_versions(sessions, *({"INC1": doc(title=f"Title {n}")} for n in range(1, 6)))
    await execute(sessions, "UPDATE datasets SET pruned_at = :at", at=NOW + timedelta(days=365))

    await retention(sessions, versions=2).prune()

    assert await count(sessions, "versions WHERE state = 'published'") == 2
    assert await count(sessions, f"datasets WHERE pruned_at = '{NOW.isoformat()}'") == 1


async def test_all_versions_stay_where_nothing_is_said(sessions: Sessions) -> None:
    await build_versions(sessions, *({"INC1": doc(title=f"Title {n}")} for n in range(1, 6)))

    await retention(sessions).prune()

    assert await count(sessions, "revisions") == await count(sessions, "contents") == 5
    assert await count(sessions, "versions WHERE state = 'published'") == 5


async def test_what_a_rollback_went_back_to_stays_as_do_held_and_building_versions(
    api: Api, knowledge: KnowledgeService, sessions: Sessions
) -> None:
    story = await build_versions(sessions, *({"INC1": doc(title=f"Title {n}")} for n in range(1, 4)))
    async with sessions() as session, session.begin():
        number = await begin_version(
            session, dataset_id=story.dataset_id, kind="rollback", run_id=None, source_version=2
        )
        plan = await roll_back(session, dataset_id=story.dataset_id, to_version=2, new_number=number)
        await publish(session, dataset_id=story.dataset_id, version=number, plan=plan, at=published_at(number))
    story.last = story.head = number
    story.live["INC1"].content_id = await story.live_content("INC1")
    await story.version({"INC1": doc(title="Title 5")})
    await story.version({"INC1": doc(title="Title 6")}, state="held")

    await retention(sessions, versions=1).prune()

    listed = await api.get(f"/knowledge/datasets/{story.dataset_id}/versions")
    assert [(one["number"], one["state"]) for one in listed["versions"]] == [
        (6, "held"),
        (5, "published"),
        (2, "published"),
    ]
    for version in (2, 5, 6):
        incident, _ = await knowledge.incident("INC1", dataset_id=story.dataset_id, version=version)
        assert incident["title"] == f"Title {version}"


async def test_a_stamp_that_moved_later_does_not_hide_an_older_change(api: Api, sessions: Sessions) -> None:
    """The change of version 2 is told by a revision that no kept version reads, but a touched one looks back to."""
    story = await build_versions(
        sessions,
        {"INC1": doc(title="Before"), "INC2": doc()},
        {"INC1": doc(title="After")},
        {"INC1": touched(EPOCH + timedelta(days=1)), "INC2": doc(state="Closed")},
    )
    before = await api.get("/knowledge/incidents/INC1")
    await execute(sessions, "UPDATE versions SET source_version = 1 WHERE number = 3")  # so that version 1 stays

    await retention(sessions, versions=1).prune()

    assert await api.get("/knowledge/incidents/INC1") == before
    diff = await api.get(f"/knowledge/datasets/{story.dataset_id}/versions/3/diff?base=1")
    assert [change["number"] for change in diff["changes"]] == ["INC1", "INC2"]


@settings(max_examples=40 if FULL else 10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, keep=st.integers(1, 4))
async def test_whatever_happened_what_is_kept_reads_as_before(
    knowledge: KnowledgeService, sessions: Sessions, history: list[tuple[dict[str, Wish], Ending]], keep: int
) -> None:
    model = Model(await begin_story(sessions))
    await model.live_through(history)
    dataset_id = model.story.dataset_id

    async def kept() -> list[int]:
        listed = await knowledge.versions(dataset_id, below=None, limit=100)
        return sorted(one["number"] for one in listed.items if one["state"] == "published")

    async def told(numbers: list[int]) -> dict[object, object]:
        found: dict[object, object] = {n: await all_incidents(knowledge, model.story, n) for n in numbers}
        for version in numbers:
            for base in numbers:
                question = DiffQuestion(dataset_id=dataset_id, base=base, version=version, limit=1000)
                found[base, version] = (await knowledge.diff(question)).changes
        return found

    published, sources = await kept(), await _sources(sessions, dataset_id)
    expected = sorted({*published[-keep:], *sources})
    was = await told(expected)

    await retention(sessions, versions=keep).prune()

    assert await kept() == expected
    assert await told(expected) == was
    await assert_counts_are_exact(sessions, dataset_id)
    await _purge_all(sessions, model.story)
    async with sessions() as session:
        for table in ("contents", "term_counts", "revisions", "documents"):
            left = await session.scalar(text(f"SELECT count(*) FROM {table} WHERE dataset_id = :d"), {"d": dataset_id})
            assert left == 0, table


async def _sources(sessions: Sessions, dataset_id: UUID) -> set[int]:
    async with sessions() as session:
        found = await session.scalars(
            text("SELECT source_version FROM versions WHERE dataset_id = :d AND source_version IS NOT NULL"),
            {"d": dataset_id},
        )
        return set(found)


async def _purge_all(sessions: Sessions, story: Story) -> None:
    async with sessions() as session:
        statement = text("SELECT id, external_id FROM documents WHERE dataset_id = :d")
        documents = (await session.execute(statement, {"d": story.dataset_id})).all()
    for one in documents:
        async with sessions() as session, session.begin():
            await purge(session, dataset_id=story.dataset_id, document_id=one.id, external_id=one.external_id)


async def test_pieces_make_up_the_whole(
    knowledge: KnowledgeService, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PIECE", 3)
    numbers = [f"INC{i}" for i in range(10)]
    story = await build_versions(sessions, *({one: doc(title=f"word{v} {one}") for one in numbers} for v in range(4)))
    await add_run(sessions, story, "succeeded", days_ago=90)

    await retention(sessions, versions=1, raw=timedelta(days=60)).prune()

    assert await count(sessions, "revisions") == await count(sessions, "contents") == 10
    assert await count(sessions, "raw_records") == 0
    assert await count(sessions, "term_counts WHERE term IN ('word0', 'word1', 'word2')") == 0
    await assert_counts_are_exact(sessions, story.dataset_id)


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_dataset_with_a_run_is_left_alone_until_the_run_is_over(sessions: Sessions, state: str) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    await add_unnamed_content(sessions, story)
    run = await add_run(sessions, story, state)

    await retention(sessions, versions=1).prune()
    assert await count(sessions, "versions WHERE state = 'published'") == 2
    assert await count(sessions, "contents") == 3

    await execute(sessions, "UPDATE sync_runs SET state = 'succeeded', finished_at = now() WHERE id = :id", id=run)
    await retention(sessions, versions=1).prune()
    assert await count(sessions, "contents") == 1


async def test_a_run_that_begins_meanwhile_ends_the_walk_and_it_comes_round_again(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    run: list[UUID] = []
    walk: Callable[..., Awaitable[pruning.Removed]] = pruning.prune_terms

    async def and_a_run_begins(*args: Any) -> pruning.Removed:
        removed = await walk(*args)
        run.append(await add_run(sessions, story, "queued"))
        return removed

    monkeypatch.setattr(pruning, "prune_terms", and_a_run_begins)
    await retention(sessions, versions=1).prune()
    assert await count(sessions, "contents") == 2
    assert await count(sessions, "audit_entries WHERE details ->> 'revisions' = '1'") == 1  # It tells what has gone.

    monkeypatch.setattr(pruning, "prune_terms", walk)
    await execute(sessions, "UPDATE sync_runs SET state = 'cancelled', finished_at = now() WHERE id = :id", id=run[0])
    await retention(sessions, versions=1).prune()
    assert await count(sessions, "contents") == 1


async def test_a_walk_that_the_end_of_its_worker_breaks_off_is_gone_on_with_by_the_next(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    reached = asyncio.Event()

    async def and_wait(*args: Any) -> pruning.Removed:
        reached.set()
        return await asyncio.Future()

    with monkeypatch.context() as patched:
        patched.setattr(pruning, "prune_terms", and_wait)
        walk = asyncio.create_task(retention(sessions, versions=1).prune())
        await reached.wait()
        walk.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walk
    assert await count(sessions, "contents") == 2

    await retention(sessions, versions=1).prune()

    assert await count(sessions, "contents") == 1


async def test_a_dataset_that_is_never_quiet_for_long_is_walked_through_all_the_same(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PIECE", 5)
    numbers = [f"INC{i}" for i in range(10)]
    story = await build_versions(sessions, *({one: doc(title=f"word{v} {one}") for one in numbers} for v in range(4)))
    await add_run(sessions, story, "succeeded", days_ago=90)
    looks = await runs_begin_again_and_again(sessions, story, monkeypatch)

    for _ in range(20):
        await retention(sessions, versions=1, raw=timedelta(days=60)).prune()
        await execute(sessions, "UPDATE sync_runs SET state = 'cancelled', finished_at = now() WHERE state = 'queued'")

    assert len(looks) > 20
    assert await count(sessions, "revisions") == await count(sessions, "contents") == 10
    assert await count(sessions, "raw_records w JOIN sync_runs r ON r.id = w.run_id WHERE r.state = 'succeeded'") == 0
    await assert_counts_are_exact(sessions, story.dataset_id)


async def test_a_purge_while_a_walk_is_broken_off_has_all_of_it_walked_through_again(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PIECE", 1)
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": doc(state="Closed")})
    await runs_begin_again_and_again(sessions, story, monkeypatch)
    keeping = retention(sessions)
    for _ in range(2):
        await keeping.prune()
        await execute(sessions, "UPDATE sync_runs SET state = 'cancelled', finished_at = now() WHERE state = 'queued'")
    assert await count(sessions, "datasets WHERE pruning ->> 'step' = 'contents'") == 1

    async with sessions.begin() as session:
        await purge(session, dataset_id=story.dataset_id, document_id=story.id("INC2"), external_id="INC2")

    assert await count(sessions, "datasets WHERE pruned_at IS NULL AND pruning IS NULL") == 1


async def runs_begin_again_and_again(sessions: Sessions, story: Story, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on a run begins whenever somebody looks for one for the fourth time."""
    looks: list[int] = []
    look: Callable[..., Awaitable[UUID | None]] = datasets.run_after_lock

    async def and_a_run_may_begin(*args: Any) -> UUID | None:
        looks.append(len(looks))
        if len(looks) % 4 == 0:
            await add_run(sessions, story, "queued")
        return await look(*args)

    monkeypatch.setattr(datasets, "run_after_lock", and_a_run_may_begin)
    return looks


async def test_no_version_goes_once_a_run_has_begun(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    claim: Callable[..., Awaitable[pruning.Claimed | None]] = pruning.claim_dataset

    async def and_a_run_begins(*args: Any, **facts: Any) -> pruning.Claimed | None:
        claimed = await claim(*args, **facts)
        if claimed is not None:
            await add_run(sessions, story, "queued")
        return claimed

    monkeypatch.setattr(pruning, "claim_dataset", and_a_run_begins)
    await retention(sessions, versions=1).prune()

    assert await count(sessions, "versions WHERE state = 'published'") == 2


@pytest.mark.parametrize(("state", "days_ago", "stays"), [("failed", 5, 1), ("failed", 8, 0), ("cancelled", 0, 0)])
async def test_what_a_run_wrote_stays_while_it_may_be_resumed(
    sessions: Sessions, state: str, days_ago: float, stays: int
) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await add_unnamed_content(sessions, story)
    await add_run(sessions, story, "succeeded", days_ago=days_ago + 2)
    await add_run(sessions, story, state, days_ago=days_ago)

    await retention(sessions, raw=timedelta(days=1)).prune()

    assert await count(sessions, "contents") == 1 + stays
    assert await count(sessions, "raw_records") == (0 if days_ago > WEEK.days else 1)


async def test_raw_records_go_when_their_days_are_over(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    for state, days_ago in (("succeeded", 20), ("succeeded", 40), ("cancelled", 40), ("failed", 40)):
        await add_run(sessions, story, state, days_ago=days_ago)
    for state in ("abandoned", "held"):
        number, run = await story.version({}, state=state), await add_run(sessions, story, "held", days_ago=40)
        await execute(sessions, "UPDATE sync_runs SET version = :number WHERE id = :run", number=number, run=run)

    await retention(sessions, raw=timedelta(days=30)).prune()

    async with sessions() as session:
        left = await session.scalars(
            text("SELECT r.state || coalesce(r.version, 0) FROM raw_records w JOIN sync_runs r ON r.id = w.run_id")
        )
        assert set(left) == {"held3", "succeeded0"}


async def test_settled_rejections_go_with_the_log_of_their_run_or_with_raw_records(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    for name, resolved, days_ago in (("open", False, 90), ("old", True, 31), ("new", True, 29)):
        await execute(
            sessions,
            "INSERT INTO rejected_records (run_id, external_id, dataset_id, reason, raw, resolved, at)"
            " VALUES (:run, :name, :dataset, 'no number', '{}', :resolved, :at)",
            run=uuid4(), name=name, dataset=story.dataset_id, resolved=resolved, at=NOW - timedelta(days=days_ago),
        )  # fmt: skip

    await retention(sessions).prune()

    async with sessions() as session:
        assert set(await session.scalars(text("SELECT external_id FROM rejected_records"))) == {"open", "new"}

    await execute(sessions, "UPDATE datasets SET pruned_at = NULL")
    await retention(sessions, raw=timedelta(days=28)).prune()

    async with sessions() as session:
        assert set(await session.scalars(text("SELECT external_id FROM rejected_records"))) == {"open"}


async def test_an_export_of_a_version_that_is_pruned_meanwhile_breaks_off(
    knowledge: KnowledgeService, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "EXPORT_PAGE", 1)
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": gone(), "INC2": gone()})
    opened = await knowledge.export(story.dataset_id, 1, format_="ndjson", after=None, principal=ADMIN)
    assert b"INC1" in await anext(opened.chunks)

    await retention(sessions, versions=1).prune()

    with pytest.raises(NotFound, match="Version 1 is not kept any more"):
        await anext(opened.chunks)


async def test_a_dataset_is_looked_after_once_a_day_and_a_purge_calls_for_it_at_once(
    api: Api, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()})
    await retention(sessions).prune()
    await add_unnamed_content(sessions, story)

    await retention(sessions).prune()
    assert await count(sessions, "contents") == 3

    await api.post("/knowledge/incidents/INC1/purge", {"reason": "Erasure request 118"})
    await retention(sessions).prune()
    assert await count(sessions, "contents") == 1


async def test_documents_that_were_never_published_go(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({"INC2": doc()}, state="abandoned")
    await execute(sessions, "DELETE FROM revisions WHERE valid_from = 2")

    await retention(sessions).prune()

    assert await count(sessions, "documents") == 1


async def test_the_audit_says_what_went(sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": gone()}, {"INC2": doc(title="New")})

    await retention(sessions, versions=1).prune()
    await retention(sessions, versions=1).prune()

    async with sessions() as session:
        entries = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
    assert [(entry.actor, entry.action, entry.object_id) for entry in entries] == [
        ("worker", "knowledge.prune", str(story.dataset_id))
    ] * 2
    assert entries[0].details == {"versions": 2, "from": 1, "to": 2, "keep": 1}
    assert entries[1].details["revisions"] == 2
