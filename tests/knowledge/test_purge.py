"""Removing one incident for good."""

from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from integrations_api.audit.models import AuditEntry
from integrations_api.db.engine import Sessions
from integrations_api.errors import NotFound
from integrations_api.knowledge.purge import purge
from tests.knowledge.conftest import Api
from tests.support.knowledge import Story, build_versions, doc, gone
from tests.support.plans import noted

pytestmark = pytest.mark.anyio

BODY = {"reason": "Erasure request 118"}
SECRET = "Ada Lovelace"


async def execute(sessions: Sessions, statement: str, **facts: Any) -> None:
    async with sessions() as session, session.begin():
        await session.execute(text(statement), facts)


async def stage_raw(sessions: Sessions, story: Story, external_id: str) -> None:
    """A raw, a staged and a rejected record of a finished run."""
    facts = {"run": uuid4(), "dataset": story.dataset_id, "external": external_id, "id": story.id(external_id)}
    facts["raw"] = f'{{"caller": "{SECRET}"}}'
    await execute(
        sessions,
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, raw)"
        " VALUES (:run, :external, 1, :dataset, :raw)",
        **facts,
    )
    await execute(
        sessions,
        "INSERT INTO rejected_records (run_id, external_id, dataset_id, reason, raw)"
        " VALUES (:run, :external, :dataset, 'no number', :raw)",
        **facts,
    )
    await execute(
        sessions,
        "INSERT INTO staged_changes (run_id, ordinal, document_id, external_id, number, change)"
        " VALUES (:run, 1, :id, :external, :external, 'added')",
        **facts,
    )


async def everything(sessions: Sessions) -> str:
    """Every row of every table, as text."""
    async with sessions() as session:
        tables = await session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        dumps = [await session.scalars(text(f"SELECT t::text FROM {table} t")) for table in tables]
        return "\n".join(line for dump in dumps for line in dump)


async def test_a_purged_incident_is_in_no_version_and_in_no_table(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"sys-id-1": doc("INC1", text=f"{SECRET} cannot print"), "INC2": doc(text="Nobody can print")},
        {"sys-id-1": doc("INC1", text=f"{SECRET} can print again")},
        {"sys-id-1": gone()},
        {"sys-id-1": doc("INC1", text=f"{SECRET} cannot print")},
    )
    await stage_raw(sessions, story, "sys-id-1")

    answer = await api.post("/knowledge/incidents/INC1/purge", BODY)

    assert answer == {
        "success": True,
        "message": "The incident is removed from every version",
        "purged": {
            "id": str(story.id("sys-id-1")),
            "integration_id": str(story.dataset_id),
            "revisions": 4,
            "contents": 2,
            "raw_records": 1,
            "rejected_records": 1,
        },
    }
    left = await everything(sessions)
    assert SECRET not in left
    assert "sys-id-1" not in left
    for version in range(1, 5):
        page = await api.get(f"/knowledge/datasets/{story.dataset_id}/versions/{version}/incidents?include=tombstones")
        assert [incident["number"] for incident in page["incidents"]] == ["INC2"]
    await api.get("/knowledge/incidents/INC1", status=404)
    await api.post("/knowledge/incidents/INC1/purge", BODY, status=404)


async def test_what_a_failed_run_wrote_of_it_goes_too(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"sys-id-1": doc("INC1")})
    await execute(
        sessions,
        "INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
        " VALUES (:dataset, 'unnamed', :secret, '', '[]', '{}', '')",
        dataset=story.dataset_id, secret=SECRET,
    )  # fmt: skip
    await execute(
        sessions,
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, hash, raw)"
        " VALUES (:run, 'sys-id-1', 1, :dataset, 'unnamed', :secret)",
        run=uuid4(), dataset=story.dataset_id, secret=SECRET,
    )  # fmt: skip
    await plan(sessions, story, "sys-id-1", title=SECRET)
    await plan(sessions, story, "sys-id-2", title="Planned of another")

    await api.post("/knowledge/incidents/INC1/purge", BODY)

    left = await everything(sessions)
    assert SECRET not in left
    assert "Planned of another" in left


async def test_what_nobody_can_tell_whose_it_is_goes_at_once_while_a_run_may_go_on_for_then_nothing_is_pruned(
    api: Api, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"sys-id-1": doc("INC1")})
    for hash_, title in (("unnamed", SECRET), ("of another", "Of a run that may be resumed")):
        await execute(
            sessions,
            "INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
            " VALUES (:dataset, CAST(:hash AS text)::bytea, :title, '', '[]', '{}', '')",
            dataset=story.dataset_id, hash=hash_, title=title,
        )  # fmt: skip
    facts = {"run": uuid4(), "dataset": story.dataset_id}
    await execute(
        sessions,
        "INSERT INTO sync_runs (id, dataset_id, mode, trigger, state, finished_at)"
        " VALUES (:run, :dataset, 'full', 'manual', 'failed', now())",
        **facts,
    )
    await execute(
        sessions,
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, hash, raw)"
        " VALUES (:run, 'sys-id-2', 1, :dataset, 'of another', '{}')",
        **facts,
    )

    await api.post("/knowledge/incidents/INC1/purge", BODY)

    left = await everything(sessions)
    assert SECRET not in left
    assert "Of a run that may be resumed" in left


async def plan(sessions: Sessions, story: Story, external_id: str, *, title: str) -> None:
    """What a run that maps anew has planned: a content that no raw record has the hash of."""
    await execute(
        sessions,
        "WITH content AS (INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
        " VALUES (:dataset, CAST(:external AS text)::bytea, :title, '', '[]', '{}', '') RETURNING id)"
        " INSERT INTO staged_changes (run_id, ordinal, document_id, external_id, number, change, content_id)"
        " SELECT :run, 1, :id, :external, :external, 'updated', id FROM content",
        run=uuid4(), dataset=story.dataset_id, id=story.id(external_id), external=external_id, title=title,
    )  # fmt: skip


async def test_what_no_version_ever_had_can_be_purged(api: Api, sessions: Sessions) -> None:
    """A record that could never be mapped, and one that was purged and that a failed run has read again."""
    story = await build_versions(sessions, {"sys-id-1": doc("INC1"), "sys-id-9": doc("INC9")})
    # Documents' ids are made from the source's own (staging.plan), so a run that planned to add it named it so.
    story.ids["sys-id-2"] = UUID(md5(f"{story.dataset_id}/sys-id-2".encode(), usedforsecurity=False).hexdigest())
    for external_id in ("sys-id-1", "sys-id-2"):
        await stage_raw(sessions, story, external_id)
    await api.post("/knowledge/incidents/INC1/purge", BODY)
    await stage_raw(sessions, story, "sys-id-1")
    await execute(sessions, "UPDATE raw_records SET number = 'INC1' WHERE external_id = 'sys-id-1'")

    by_number = await api.post("/knowledge/incidents/INC1/purge", BODY)
    by_id = await api.post("/knowledge/incidents/sys-id-2/purge", BODY, integration=str(story.dataset_id))

    for answer in (by_number, by_id):
        counts = answer["purged"]
        assert (counts["revisions"], counts["raw_records"], counts["rejected_records"]) == (0, 1, 1)
    left = await everything(sessions)
    assert SECRET not in left
    assert "sys-id-2" not in left
    await api.post("/knowledge/incidents/sys-id-2/purge", BODY, status=404)
    await api.get("/knowledge/incidents/INC9")


async def test_who_comes_second_purges_nothing_of_others(sessions: Sessions) -> None:
    """Both have found the incident, and one has waited for the other."""
    story = await build_versions(sessions, {"sys-id-1": doc("INC1")})
    facts = {"dataset": story.dataset_id, "run": uuid4()}
    await execute(
        sessions,
        "INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
        " VALUES (:dataset, 'unnamed', 'Of a run that may be resumed', '', '[]', '{}', '')",
        **facts,
    )
    await execute(
        sessions,
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, hash, raw)"
        " VALUES (:run, 'sys-id-2', 1, :dataset, 'unnamed', '{}')",
        **facts,
    )

    async with sessions.begin() as session:
        await purge(session, dataset_id=story.dataset_id, document_id=story.id("sys-id-1"), external_id="sys-id-1")
        with pytest.raises(NotFound):
            await purge(session, dataset_id=story.dataset_id, document_id=story.id("sys-id-1"), external_id="sys-id-1")

    assert "Of a run that may be resumed" in await everything(sessions)


async def test_what_another_integration_has_of_the_same_source_stays_and_keeps_nothing_here(
    api: Api, sessions: Sessions
) -> None:
    """Both have the same ids and the same texts."""
    one, two = [await build_versions(sessions, {"sys-id-1": doc("INC1", text=SECRET)}) for _ in range(2)]
    for story in (one, two):
        await stage_raw(sessions, story, "sys-id-1")
    await execute(
        sessions,
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, hash, raw)"
        " SELECT :run, 'sys-id-2', 1, dataset_id, hash, '{}' FROM contents WHERE dataset_id = :dataset",
        run=uuid4(), dataset=two.dataset_id,
    )  # fmt: skip
    await execute(
        sessions,
        "INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
        " VALUES (:dataset, 'unnamed', 'Of a run that may be resumed', '', '[]', '{}', '')",
        dataset=two.dataset_id,
    )
    before = await stored(sessions, two)

    await api.post("/knowledge/incidents/INC1/purge", BODY, integration=str(one.dataset_id))

    assert await stored(sessions, two) == before
    assert await stored(sessions, one) == []


async def stored(sessions: Sessions, story: Story) -> list[str]:
    """Every row of a dataset that an incident may be in, as text."""
    tables = ("raw_records", "rejected_records", "contents", "documents", "revisions")
    statement = " UNION ALL ".join(f"SELECT t::text FROM {table} t WHERE dataset_id = :dataset" for table in tables)
    async with sessions() as session:
        return sorted(await session.scalars(text(statement), {"dataset": story.dataset_id}))


async def test_a_content_that_another_incident_shares_stays(api: Api, sessions: Sessions) -> None:
    await build_versions(
        sessions, {"id-1": doc("SAME", title="Shared"), "id-2": doc("SAME", title="Shared"), "id-3": doc()}
    )
    story_id = (await api.get("/knowledge/incidents/id-3"))["incident"]["integration_id"]
    listed = await api.get(f"/knowledge/datasets/{story_id}/versions/1/incidents")
    first = next(incident for incident in listed["incidents"] if incident["external_id"] == "id-1")

    answer = await api.post(f"/knowledge/incidents/{first['id']}/purge", BODY)

    assert answer["purged"]["contents"] == 0
    assert (await api.get("/knowledge/incidents/SAME"))["incident"]["title"] == "Shared"


async def test_counts_say_what_can_still_be_read(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc(), "INC2": doc(), "INC3": doc()}, {"INC2": gone()}, {"INC1": doc(state="Closed")}
    )
    path = f"/knowledge/datasets/{story.dataset_id}"

    await api.post("/knowledge/incidents/INC2/purge", BODY)
    dataset = (await api.get(path))["dataset"]
    assert (dataset["documents"], dataset["tombstones"]) == (2, 0)

    with noted(sessions) as statements:
        await api.post("/knowledge/incidents/INC1/purge", BODY)
    dataset = (await api.get(path))["dataset"]
    versions = (await api.get(path + "/versions"))["versions"]
    assert sum("UPDATE versions" in statement for statement, _ in statements) == 1  # Each may write tens of thousands.
    assert (dataset["documents"], dataset["tombstones"]) == (1, 0)
    assert [version["documents"] for version in versions] == [1, 1, 1]


async def test_the_audit_keeps_who_and_why_and_nothing_of_the_incident(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"id-1": doc("INC1", title=SECRET)})

    await api.post("/knowledge/incidents/INC1/purge", {"reason": "  Erasure request 118 "})

    async with sessions() as session:
        entry = (await session.scalars(select(AuditEntry))).one()
    assert (entry.actor, entry.action, entry.object_id) == (
        "admin@example.com",
        "knowledge.purge",
        str(story.id("id-1")),
    )
    assert entry.details == {"dataset": str(story.dataset_id), "reason": "Erasure request 118", "revisions": 1}


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_nothing_is_purged_while_a_run_is_going_on(api: Api, sessions: Sessions, state: str) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    run = uuid4()
    await execute(
        sessions,
        "INSERT INTO sync_runs (id, dataset_id, mode, trigger, state)"
        " VALUES (:run, :dataset, 'full', 'manual', :state)",
        run=run, dataset=story.dataset_id, state=state,
    )  # fmt: skip

    refused = await api.post("/knowledge/incidents/INC1/purge", BODY, status=409)

    assert str(run) in refused["message"]
    await api.get("/knowledge/incidents/INC1")
    await execute(sessions, "UPDATE sync_runs SET state = 'failed' WHERE id = :run", run=run)
    await api.post("/knowledge/incidents/INC1/purge", BODY)


async def test_a_purge_must_mean_one_incident_and_say_why(api: Api, sessions: Sessions) -> None:
    one = await build_versions(sessions, {"INC1": doc(), "id-2": doc("OLD")}, {"id-2": doc("INC2"), "id-3": doc("OLD")})
    two = await build_versions(sessions, {"INC1": doc()})
    path = "/knowledge/incidents/INC1/purge"

    assert str(two.dataset_id) in (await api.post(path, BODY, status=409))["message"]
    # A number that two incidents bore, though at different times.
    assert str(one.id("id-3")) in (await api.post("/knowledge/incidents/OLD/purge", BODY, status=409))["message"]
    assert "reason" in (await api.post(path, {"reason": " "}, status=422))["message"]
    assert "reason" in (await api.post(path, {}, status=422))["message"]
    assert (await api.post(path, BODY, status=403, caller="viewer"))["message"] == "Missing permission: knowledge.purge"
    await api.post(path, BODY, integration=str(two.dataset_id))
    assert (await api.get("/knowledge/incidents/INC1"))["incident"]["integration_id"] == str(one.dataset_id)


async def test_an_incident_known_only_to_a_building_version_can_be_purged(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({"INC2": doc(title=SECRET)}, state="held")

    await api.post("/knowledge/incidents/INC2/purge", BODY)

    assert SECRET not in await everything(sessions)
    assert (await api.get(f"/knowledge/datasets/{story.dataset_id}"))["dataset"]["documents"] == 1
