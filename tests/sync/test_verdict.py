"""The verdict: what the source counts, what the dataset holds, and which records stand between them."""

from datetime import timedelta
from typing import Any

import pytest

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.records import SourceCount
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.sync.verdict import judge
from tests.support.plans import most_rows, noted
from tests.support.sources import MemoryConnector
from tests.support.syncing import ADMIN, bench

COUNTED: dict[str, tuple[dict[str, Any], tuple[str, int, str | None]]] = {
    "equal": ({"total": 10, "stored": 10}, ("complete", 0, None)),
    "equal, and one whose newest state could not be mapped": (
        {"total": 10, "stored": 10, "rejected": 1},
        ("complete", 0, None),
    ),
    "too much": (
        {"total": 8, "stored": 10},
        (
            "over",
            0,
            "the dataset holds 2 more than the source counts; the next full sync looks for deleted records again",
        ),
    ),
    "too much, and not all was read": (
        {"total": 9, "stored": 10, "read_all": False},
        ("over", 0, "the dataset holds 1 more than the source counts; a full sync looks for deleted records"),
    ),
    "hidden": (
        {"total": 10, "stored": 7},
        ("short", 3, "3 are counted by the source but not shown to this user (access rules)"),
    ),
    "missing, and not all was read": (
        {"total": 10, "stored": 9, "read_all": False},
        (
            "short",
            1,
            "1 is counted by the source and not stored, hidden from this user (access rules), or not read: "
            "a full sync tells",
        ),
    ),
    "not mapped": (
        {"total": 10, "stored": 8, "rejected": 2, "unmapped": 2},
        ("short", 0, "2 could not be mapped: see the run's rejected records"),
    ),
    "hidden, and not mapped": (
        {"total": 10, "stored": 7, "rejected": 2, "unmapped": 2},
        ("short", 1, "1 is counted by the source but not shown to this user (access rules), 2 could not be mapped"),
    ),
    "hidden, and one whose newest state could not be mapped": (
        {"total": 10, "stored": 9, "rejected": 1},
        ("short", 1, "1 is counted by the source but not shown to this user (access rules)"),
    ),
    "come into sight without a change": (
        {"total": 10, "stored": 7, "unmapped": 1, "only_visible": True, "read_all": False},
        ("short", 0, "2 that the source shows were not read yet: a full sync reads them, 1 could not be mapped"),
    ),
    "come into sight while all was read": (
        {"total": 10, "stored": 9, "only_visible": True},
        ("short", 0, "1 that the source shows was not read yet: the next full sync reads it"),
    ),
    "not mapped, and as many not there any more": (
        {"total": 10, "stored": 10, "rejected": 1, "unmapped": 1},
        (
            "short",
            0,
            "1 could not be mapped: see the run's rejected records; 1 more is stored than are left: "
            "the next full sync looks for deleted records again",
        ),
    ),
    "begun later": (
        {"total": 10, "stored": 7, "partial_since": "2026-03-01T00:00:00Z"},
        (
            "short",
            0,
            "3 are missing: the first sync began at 2026-03-01T00:00:00Z (config.lastSynced); a full sync reads all",
        ),
    ),
    "not counted": (
        {"total": None, "stored": 7},
        ("unknown", 0, "the source does not tell how many records it has"),
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_a_verdict_says_what_is_missing_and_why(case: str) -> None:
    given, (state, hidden, why) = COUNTED[case]
    facts = {"rejected": 0, "unmapped": 0, **given}
    total, only_visible = facts.pop("total"), facts.pop("only_visible", False)

    verdict = judge(source=SourceCount(total, only_visible=only_visible), **facts)

    assert (verdict["state"], verdict["hidden"], verdict["why"]) == (state, hidden, why)
    assert (verdict["source"], verdict["stored"], verdict["rejected"]) == (total, given["stored"], facts["rejected"])


@pytest.mark.anyio
async def test_a_full_sync_names_what_is_missing_by_the_sources_own_ids(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(7)
        b.source.rows["id-INC00002"]["number"] = ""
        integration = await b.integration()
        first = await b.sync(integration)
        b.source.remove("INC00007")  # Nobody counts it.
        b.source.hide("INC00004")
        b.source.change("INC00005", number="")

        quick, full = await b.sync(integration), await b.sync(integration, mode="full")

        assert first.verdict == {
            "state": "short",
            "source": 7,
            "stored": 6,
            "rejected": 1,
            "hidden": 0,
            "why": "1 could not be mapped: see the run's rejected records",
            "ids": ["id-INC00002"],
        }
        assert quick.verdict is not None
        assert quick.verdict["ids"] is None
        assert full.verdict == {
            "state": "short",
            "source": 6,
            "stored": 4,
            "rejected": 2,  # INC00005 is stored as it was before
            "hidden": 1,
            "why": "1 is counted by the source but not shown to this user (access rules), 1 could not be mapped",
            "ids": ["id-INC00002", "id-INC00004"],
        }
        b.source.show("INC00004")
        b.source.change("INC00002", number="INC00002")
        healed = await b.sync(integration, mode="full")
        assert healed.verdict is not None
        assert (healed.verdict["state"], healed.verdict["ids"]) == ("complete", None)


@pytest.mark.anyio
async def test_a_full_sync_names_what_it_holds_and_did_not_read(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(5)
        integration = await b.integration()
        await b.sync(integration)
        b.source.unlisted.add("id-INC00003")  # still there for whoever asks for it by its id
        b.source.counted = 4

        run = await b.sync(integration, mode="full")

        assert run.verdict is not None
        assert (run.verdict["state"], run.verdict["stored"], run.verdict["ids"]) == ("over", 5, ["id-INC00003"])


@pytest.mark.anyio
async def test_what_was_made_while_the_sync_ran_stands_for_nothing_that_is_missing(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.hide("INC00002")
        later = (b.source.now() + timedelta(hours=1)).isoformat()
        b.source.rows["id-late"] = {"id": "id-late", "number": "", "title": "", "created": later, "updated": later}

        hiding = await b.sync(await b.integration())
        b.source.show("INC00002")
        showing = await b.sync(hiding.dataset_id, mode="full")

        assert hiding.verdict is not None
        assert (hiding.rejected, hiding.verdict["hidden"], hiding.verdict["why"]) == (
            1,
            1,
            "1 is counted by the source but not shown to this user (access rules)",
        )
        assert (showing.rejected, showing.verdict and showing.verdict["state"]) == (1, "complete")


@pytest.mark.anyio
async def test_what_was_purged_here_is_not_said_to_be_hidden_there(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        await b.components[KnowledgeService].purge("INC00002", dataset_id=integration, reason="118", principal=ADMIN)

        run = await b.sync(integration)

        assert run.verdict is not None
        assert (run.verdict["state"], run.verdict["why"]) == (
            "short",
            "1 is counted by the source and not stored, hidden from this user (access rules), or not read: "
            "a full sync tells",
        )


# Each of its documents was touched two thousand times; and another integration has many documents.
_A_YEAR_AND_OTHERS = """
    INSERT INTO revisions (document_id, valid_from, valid_to, dataset_id, content_id, number, change)
    SELECT document_id, -n, 1 - n, dataset_id, content_id, number, 'touched' FROM revisions, generate_series(1, 2000) n;
    INSERT INTO datasets (id, service_name) VALUES (md5('')::uuid, 'Jira');
    INSERT INTO documents (id, dataset_id, external_id)
    SELECT md5(n::text)::uuid, md5('')::uuid, n FROM generate_series(1, 20000) n;
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change)
    SELECT d.id, 1, d.dataset_id, (SELECT min(id) FROM contents), 'X', 'added' FROM documents d
    WHERE d.dataset_id = md5('')::uuid;
    ANALYZE revisions, documents
"""


@pytest.mark.anyio
async def test_a_sync_that_finds_little_does_not_count_all_that_ever_was(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(10)
        integration = await b.integration()
        await b.sync(integration)
        for statement in _A_YEAR_AND_OTHERS.split(";"):
            await b.change(statement)
        b.source.change("INC00001", title="Mail is up")

        with noted(b.sessions) as statements:
            run = await b.sync(integration)

        assert (run.mode, run.updated, run.verdict and run.verdict["state"]) == ("incremental", 1, "complete")
        asked = [one for one in statements if "count(*)" in one[0] and "revisions" in one[0]]
        assert asked
        for one in asked:
            assert await most_rows(b.sessions, [one]) <= 1000, one[0]


@pytest.mark.anyio
async def test_what_was_created_later_than_the_source_was_counted_is_left_out_by_whichever_count(
    database_url: str,
) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.rows["id-INC00003"]["created"] = "2099-01-01T00:00:00+00:00"
        integration = await b.integration()

        runs = [await b.sync(integration), await b.sync(integration), await b.sync(integration, mode="full")]

        found = [(run.mode, run.verdict and (run.verdict["state"], run.verdict["stored"])) for run in runs]
        assert found == [("full", ("complete", 2)), ("incremental", ("complete", 2)), ("full", ("complete", 2))]


@pytest.mark.anyio
async def test_a_source_that_gives_its_records_and_no_count_leaves_the_verdict_open(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> SourceCount:
        raise Refused("Access to the table incident was refused (403)")

    monkeypatch.setattr(MemoryConnector, "count", refuse)
    async with bench(database_url) as b:
        b.source.fill(3)

        run = await b.sync(await b.integration())

        assert (run.state, run.added) == ("succeeded", 3)
        assert run.verdict is not None
        assert (run.verdict["state"], run.verdict["why"]) == (
            "unknown",
            "the source could not be counted: Access to the table incident was refused (403)",
        )
