"""After a year of syncs every few minutes nothing that is asked again and again reads all of them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from integrations_api.audit.reading import AuditFilter, AuditReader
from integrations_api.clock import utc_now
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.knowledge import pruning, purge, remapping
from integrations_api.knowledge.repository import oldest_kept
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.versions import rolled_back_since
from integrations_api.sync import repository
from integrations_api.sync.duties import SyncDuties
from tests.support.plans import kept_plans_scan, most_rows, noted
from tests.support.sources import MemorySource, MemorySources

pytestmark = pytest.mark.anyio

DATASET = UUID(int=7)
RUNS = 10_000
LONG_AGO = datetime.now(UTC) - timedelta(days=2)

# Each run has made a version, of which ten are kept, and has two entries in the audit; twenty still have a log.
_FILL = """
    INSERT INTO datasets (id, service_name, head, last_version) VALUES (:dataset, 'ServiceNow', :runs, :runs);
    INSERT INTO sync_runs (id, dataset_id, mode, trigger, state, created_at, finished_at)
    SELECT md5(n::text)::uuid, :dataset, 'incremental', 'schedule', 'succeeded', at, at FROM (
        SELECT n, now() - (:runs - n) * interval '5 minutes' AS at FROM generate_series(1, :runs) n) years;
    INSERT INTO sync_events (run_id, seq, event, payload, at)
    SELECT md5(n::text)::uuid, 1, 'complete', '{}', now() - (:runs - n) * interval '5 minutes'
    FROM generate_series(:runs - 19, :runs) n;
    INSERT INTO versions (dataset_id, number, state, kind, created_at)
    SELECT :dataset, n, CASE WHEN n > :runs - 10 THEN 'published' ELSE 'pruned' END, 'sync',
           now() - (:runs - n) * interval '5 minutes'
    FROM generate_series(1, :runs) n;
    INSERT INTO audit_entries (actor, action, object_type)
    SELECT CASE n WHEN 1 THEN 'ada@example.com' ELSE 'worker' END, CASE n WHEN 2 THEN 'integration.create'
        ELSE 'sync.end' END, 'integration' FROM generate_series(1, 2 * :runs) n;
    ANALYZE;
"""


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url, pool_size=2)
    sessions = create_sessions(engine)
    async with sessions.begin() as session:
        for statement in _FILL.split(";"):
            if statement.strip():
                facts = {"dataset": DATASET, "runs": RUNS}
                await session.execute(text(statement), {name: facts[name] for name in facts if f":{name}" in statement})
    yield sessions
    await engine.dispose()


async def test_what_is_asked_again_and_again_does_not_read_all_that_was(sessions: Sessions) -> None:
    duties = SyncDuties(
        sessions=sessions, sources=MemorySources(MemorySource()), clock=utc_now, keep_events=timedelta(minutes=42)
    )
    reader = AuditReader(sessions=sessions)

    with noted(sessions) as statements:
        await duties.forget_old_events()
        page, _ = await reader.page(AuditFilter(action="integration.create"), limit=50, cursor=None)
        mine, _ = await reader.page(AuditFilter(actor="ada@example.com"), limit=50, cursor=None)
        versions = await KnowledgeService(sessions=sessions).versions(DATASET, below=None, limit=50)
        async with sessions() as session:
            oldest = await oldest_kept(session, DATASET)
            found = await remapping.at_rest(session, [DATASET], failed_since=LONG_AGO)
            went_back = await rolled_back_since(session, DATASET, LONG_AGO)
            may_go_on = await pruning.a_run_may_go_on(session, DATASET, failed_since=LONG_AGO)
            left = (await session.scalars(text("SELECT count(*) FROM sync_events"))).one()

    assert (left, len(page), len(mine)) == (9, 1, 1)
    assert [version["number"] for version in versions.items] == list(range(RUNS, RUNS - 10, -1))
    assert (oldest, found, went_back, may_go_on) == (RUNS - 9, DATASET, False, False)
    asked = [one for one in statements if one[0].lstrip().startswith(("SELECT", "WITH"))]
    assert len(asked) > 8
    for one in asked:
        assert await most_rows(sessions, [one]) <= 3000, one[0]


async def test_plans_that_are_kept_look_for_runs_that_go_on_by_their_index(sessions: Sessions) -> None:
    with noted(sessions) as statements:
        async with sessions.begin() as session:
            assert await repository.may_start_remap(session)
            assert await repository.find_active(session, DATASET) is None
            assert await repository.busy_among(session, [DATASET]) == set()
            turned = await repository.turn_into_sync(
                session, DATASET, mode="full", trigger="manual", requested_by=uuid4()
            )
            assert turned is None

    asked = [one for one in statements if "sync_runs" in one[0]]
    assert len(asked) == 4
    assert await kept_plans_scan(sessions, asked) == set()


_REJECTED_OF_MANY = """
    INSERT INTO rejected_records (run_id, external_id, dataset_id, reason, raw, resolved, at)
    SELECT md5(n::text)::uuid, 'id-1', md5((n % 200)::text)::uuid, 'no number', '', n > 200, now()
    FROM generate_series(1, 20000) n
"""


async def test_what_cannot_be_mapped_is_looked_for_in_its_own_dataset(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text(_REJECTED_OF_MANY))
        await session.execute(text("ANALYZE rejected_records"))
        dataset = await session.scalar(text("SELECT md5('7')::uuid"))
    assert dataset is not None

    with noted(sessions) as statements:
        async with sessions() as session:
            gone = await pruning.prune_rejected(session, dataset, before=LONG_AGO)
            purged = await purge.purge(session, dataset_id=dataset, document_id=uuid4(), external_id="id-1")
            await session.rollback()

    assert (gone.rows, purged.rejected_records) == (0, 100)
    for one in statements:
        assert await most_rows(sessions, [one]) <= 1000, one[0]


async def test_tickets_are_not_read_through_for_each_run_that_is_deleted(sessions: Sessions) -> None:
    user = {"user": uuid4()}
    async with sessions.begin() as session:
        await session.execute(text("INSERT INTO users (id, email, permissions) VALUES (:user, 'a@b', '{}')"), user)
        tickets = """
            INSERT INTO stream_tickets (hash, run_id, user_id, token_generation, created_at)
            SELECT sha256(n::text::bytea), md5(n::text)::uuid, :user, 0, now() FROM generate_series(1, 5000) n
        """
        await session.execute(text(tickets), user)
        await session.execute(text("ANALYZE stream_tickets"))

    async with sessions() as session:
        await session.execute(text("DELETE FROM sync_runs WHERE created_at < now() - interval '30 days'"))
        reads = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'stream_tickets'"
        found = await session.scalar(text(reads))
        await session.rollback()

    assert found == 0
