"""What the knowledge room asks of PostgreSQL follows indexes, in a dataset where reading everything would show."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from integrations_api.db.engine import Sessions
from integrations_api.knowledge import pruning, purge, staging, terms, versions
from integrations_api.knowledge.diffing import DiffQuestion
from integrations_api.knowledge.repository import IncidentKey
from integrations_api.knowledge.rollback import roll_back
from integrations_api.knowledge.service import KnowledgeService
from tests.support.plans import most_rows, noted, plans, who_passes_on

pytestmark = pytest.mark.anyio

DATASET = uuid4()

# 20,000 documents in version 1; version 2 changes 20 of them and touches 5,000.
_FILL = """
    INSERT INTO datasets (id, service_name, head, last_version) VALUES (:dataset, 'ServiceNow', 2, 2);
    INSERT INTO versions (dataset_id, number, state, kind, published_at)
    SELECT :dataset, n, 'published', 'sync', now() FROM generate_series(1, 2) n;
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)
    SELECT :dataset, decode(md5(n::text), 'hex'), 'Mail ' || n, 'It is down.', '[]', '{}', ''
    FROM generate_series(1, 20000) n;
    INSERT INTO documents (id, dataset_id, external_id)
    SELECT md5(n::text)::uuid, :dataset, 'id-' || n FROM generate_series(1, 20000) n;
    INSERT INTO revisions (document_id, valid_from, valid_to, dataset_id, content_id, number, change)
    SELECT md5(n::text)::uuid, 1, CASE WHEN n <= 5020 THEN 2 ELSE 2147483647 END, :dataset,
           (SELECT min(id) FROM contents) + n - 1, 'INC' || lpad(n::text, 7, '0'), 'added'
    FROM generate_series(1, 20000) n;
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change)
    SELECT md5(n::text)::uuid, 2, :dataset,
           (SELECT max(id) FROM contents) - CASE WHEN n <= 20 THEN n ELSE 20000 - n END,
           'INC' || lpad(n::text, 7, '0'), CASE WHEN n <= 20 THEN 'updated' ELSE 'touched' END
    FROM generate_series(1, 5020) n;
    ANALYZE;
"""


@pytest.fixture
async def many(sessions: Sessions) -> None:
    async with sessions() as session, session.begin():
        for statement in _FILL.split(";"):
            if statement.strip():
                await session.execute(text(statement), {"dataset": DATASET})


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(("base", "version"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("fields", [(), ("title", "attributes.state")])
async def test_a_diff_starts_from_what_changed(
    knowledge: KnowledgeService, sessions: Sessions, base: int, version: int, fields: tuple[str, ...]
) -> None:
    with noted(sessions) as statements:
        question = DiffQuestion(dataset_id=DATASET, base=base, version=version, fields=fields, limit=1000)
        found = await knowledge.diff(question)

    indexes, scanned = await plans(sessions, statements)
    assert found.counts == {"added": 0, "changed": 20, "removed": 0}
    assert {"ix_revisions_changed", "pk_revisions", "pk_contents"} <= indexes
    assert scanned == set()


@pytest.mark.usefixtures("many")
async def test_a_page_is_read_in_the_order_of_numbers(knowledge: KnowledgeService, sessions: Sessions) -> None:
    with noted(sessions) as statements:
        after = IncidentKey("INC0010000", UUID(int=0))
        page = await knowledge.incidents(DATASET, 2, after=after, limit=50, tombstones=False)

    indexes, scanned = await plans(sessions, statements)
    assert page.incidents[0]["number"] == "INC0010000"
    assert {"ix_revisions_number", "pk_contents"} <= indexes
    assert scanned == set()


@pytest.mark.usefixtures("many")
async def test_one_incident_is_found_by_number_and_by_id(knowledge: KnowledgeService, sessions: Sessions) -> None:
    with noted(sessions) as statements:
        one, _ = await knowledge.incident("INC0000007", dataset_id=None, version=None)
        await knowledge.incident(one["id"], dataset_id=None, version=1)
        await knowledge.history("INC0000007", dataset_id=None, version=None, before=None, limit=50)

    indexes, scanned = await plans(sessions, statements)
    assert {"ix_revisions_number", "pk_revisions"} <= indexes
    assert scanned == set()


@pytest.mark.usefixtures("many")
async def test_a_rollback_follows_the_difference(sessions: Sessions) -> None:
    with noted(sessions) as statements:
        async with sessions() as session:
            plan = await roll_back(session, dataset_id=DATASET, to_version=1, new_number=3)

    indexes, scanned = await plans(sessions, statements)
    assert plan.updated == 20
    assert {"ix_revisions_changed", "ix_revisions_ended"} <= indexes
    assert scanned == set()


# What the first dataset's sync has read is known to the planner; of the second dataset and its run it knows nothing.
_SECOND = """
    INSERT INTO raw_records (run_id, external_id, seq, dataset_id, number, hash, raw)
    SELECT md5('run')::uuid, 'id-' || n, n, :dataset, 'INC' || n, decode(md5(n::text), 'hex'), '{}'
    FROM generate_series(1, 20000) n;
    ANALYZE raw_records;
    INSERT INTO datasets (id, service_name) VALUES (:second, 'Jira');
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)
    SELECT :second, decode(md5(n::text), 'hex'), 'Mail ' || n, 'It is down.', '[]', '{}', ''
    FROM generate_series(1, 500) n;
    INSERT INTO raw_records (run_id, external_id, seq, dataset_id, number, hash, raw)
    SELECT :run, 'id-' || n % 500, n, :second, 'INC' || n, decode(md5(n::text), 'hex'), '{}'
    FROM generate_series(1, 1000) n;
"""


@pytest.mark.usefixtures("many")
async def test_the_first_sync_of_another_integration_looks_each_record_up_once(sessions: Sessions) -> None:
    second, run = uuid4(), uuid4()
    async with sessions() as session, session.begin():
        for statement in _SECOND.split(";"):
            if statement.strip():
                await session.execute(text(statement), {"dataset": DATASET, "second": second, "run": run})

    with noted(sessions) as statements:
        async with sessions() as session, session.begin():
            planned = await staging.plan(session, run_id=run, dataset_id=second)
            await staging.drop_superseded_raw(session, run_id=run, dataset_id=second)
            await session.rollback()

    assert planned.added == 500
    assert len(statements) > 3
    assert await most_rows(sessions, statements) <= 5000


@pytest.mark.usefixtures("many")
async def test_words_that_no_version_reads_are_looked_for_once(sessions: Sessions) -> None:
    second = uuid4()
    words = [f"word{n}" for n in range(500)]
    async with sessions() as session, session.begin():
        counts = (
            "INSERT INTO term_counts (dataset_id, term, version, documents) SELECT CAST(:id AS uuid), 'word' || n, 1, "
        )
        await session.execute(text(f"{counts} 1 FROM generate_series(1, 5000) n"), {"id": DATASET})
        await session.execute(text("ANALYZE term_counts"))
        await session.execute(text("INSERT INTO datasets (id, service_name) VALUES (:id, 'Jira')"), {"id": second})
        await session.execute(text(f"{counts} n % 2 FROM generate_series(0, 999) n"), {"id": second})

    with noted(sessions) as statements:
        async with sessions() as session, session.begin():
            gone = await terms.forget_unread(session, dataset_id=second, terms=words)
            await session.rollback()

    assert gone == 250
    assert await most_rows(sessions, statements) <= 2000


@pytest.mark.usefixtures("many")
async def test_pruning_does_not_copy_the_numbers_of_all_kept_versions_for_each_row(sessions: Sessions) -> None:
    with noted(sessions) as statements:
        async with sessions() as session:
            await pruning.prune_revisions(session, DATASET, "")
            await terms.forget_unread(session, dataset_id=DATASET, terms=["mail"])
            await session.rollback()

    asked = [one for one in statements if "array_agg" in one[0]]
    assert len(asked) == 2
    assert await who_passes_on(sessions, asked, ("array_agg", "numbers")) <= {"Aggregate", "CTE Scan"}


@pytest.mark.usefixtures("many")
async def test_a_purge_does_not_read_what_others_have(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text(_SECOND.split(";")[0]), {"dataset": DATASET})
        await session.execute(text("ANALYZE raw_records"))
        one = await session.scalar(text("SELECT id FROM documents WHERE external_id = 'id-7'"))
    assert one is not None

    with noted(sessions) as statements:
        async with sessions.begin() as session:
            purged = await purge.purge(session, dataset_id=DATASET, document_id=one, external_id="id-7")
            await session.rollback()

    assert (purged.revisions, purged.raw_records) == (2, 1)
    assert await most_rows(sessions, statements) <= 1000


async def test_the_planner_is_told_of_tables_without_waiting_for_one_that_is_being_vacuumed(sessions: Sessions) -> None:
    async with sessions.begin() as vacuum, sessions.begin() as session:
        await vacuum.execute(text("LOCK TABLE contents IN SHARE UPDATE EXCLUSIVE MODE"))
        await session.execute(text("SET LOCAL lock_timeout = '1s'"))

        await versions.refresh_statistics(session)

        known = "SELECT relname FROM pg_class WHERE relname IN ('contents', 'revisions') AND reltuples >= 0"
        assert list(await session.scalars(text(known))) == ["revisions"]
