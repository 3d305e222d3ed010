"""The queue's own records of what became of jobs and workers do not grow for ever."""

from datetime import timedelta

import pytest

from integrations_api.clock import utc_now
from integrations_api.queue import tidying
from integrations_api.queue.tidying import KEPT, QueueTidying
from integrations_api.queue.worker import QueueWorker
from integrations_api.worker_wiring import build_worker
from tests.support.plans import noted
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio

TABLES = ("pgqueuer_log", "pgqueuer_statistics", "workers")


async def test_what_the_queue_wrote_down_is_forgotten_after_a_day_piece_by_piece(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "PIECE", 2)
    async with bench(database_url, workers=0) as b:
        for age in ("1 minute", "25 hours", "26 hours", "27 hours"):
            what = f"now() - interval '{age}', 1, 'successful', 0, 'sync'"
            await b.change(
                f"INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint) SELECT {what}",
            )
            await b.change(
                f"INSERT INTO pgqueuer_statistics (created, count, status, priority, entrypoint) SELECT {what}"
            )
            await b.change(
                "INSERT INTO workers (id, host, pid, seen_at) "
                f"SELECT gen_random_uuid(), 'killed', 1, now() - interval '{age}'"
            )

        await QueueTidying(sessions=b.sessions, clock=utc_now).forget()
        left = {table: len(await b.rows(f"SELECT 1 FROM {table}")) for table in TABLES}
        await QueueTidying(sessions=b.sessions, clock=lambda: utc_now() + KEPT + timedelta(hours=1)).forget()
        later = {table: len(await b.rows(f"SELECT 1 FROM {table}")) for table in TABLES}

    assert left == dict.fromkeys(TABLES, 1)
    assert later == dict.fromkeys(TABLES, 0)


async def test_workers_tidy_up_after_the_queue(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        assert "tidy_queue" in {name for name, _, _ in build_worker(b.components).duties}


async def test_a_worker_looks_after_everything_that_somebody_must(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        assert {name for name, _, _ in build_worker(b.components).duties} == {
            "watch",
            "sweep",
            "start_due",
            "start_remap",
            "forget_raw_file",
            "seal_audit",
            "tidy_queue",
            "forget_old_events",
            "forget_old_plans",
            "prune_knowledge",
            "prune_rates",
            "prune_sign_ins",
            "prune_tickets",
            "prune_oauth_flows",
        }


async def test_what_reads_all_of_a_large_table_is_done_by_the_worker_that_has_lived_longest(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        elder, younger = build_worker(b.components), build_worker(b.components)
        for worker in (elder, younger):
            await worker._show_life()

        both = await deletions(b, elder), await deletions(b, younger)
        await b.change("UPDATE workers SET seen_at = now() - interval '31 seconds' WHERE id = :id", id=elder.id)
        without_the_elder = await deletions(b, younger)

        assert (both, without_the_elder) == ((1, 0), 1)


async def deletions(b: Bench, worker: QueueWorker) -> int:
    """How often the worker goes through the plans of runs."""
    with noted(b.sessions) as statements:
        await next(duty for name, _, duty in worker.duties if name == "forget_old_plans")()
    return sum("DELETE FROM staged_changes" in statement for statement, _ in statements)
