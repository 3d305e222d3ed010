"""Each thing a ServiceNow can do to a sync, through the whole product: afterwards the dataset is the table.

Twice each: in the first load, and in an incremental run after changes; then one ordinary sync, and every document is
compared. `make test` keeps one case of each kind.
"""

import pytest

from integrations_api.simulator.servicenow import SimulatorServer, evolve
from tests.faults.cases import BLINDING, CLOCKS, HIDING, PASSING, REFUSING, STALE, Case, each
from tests.support.long import FULL
from tests.support.matrix import Product, source

pytestmark = pytest.mark.anyio


@each(*PASSING)
async def test_nothing_is_lost_under(service: Product, server: SimulatorServer, case: Case) -> None:
    copied = await service.connect(server, page_size=case.page_size)
    for seed in (1, 2):
        faults = case.strike(server)
        await copied.sync_well()
        assert seed > 1 or all(fault.hits for fault in faults)
        server.faults.clear()
        copied.advance(600)
        await copied.sync_well()
        await copied.assert_dataset_equals_source()
        evolve(server.instance, 20, seed=seed)


async def test_ids_with_capitals_are_ids_as_others(service: Product, server: SimulatorServer) -> None:
    server.add_fault("capital_ids", every=3)
    copied = await service.connect(server)
    for seed in (1, 2):
        await copied.sync_well()
        await copied.assert_dataset_equals_source()
        evolve(server.instance, 20, seed=seed)
        copied.advance(600)


@each(*HIDING)
async def test_what_may_be_seen_is_there_and_the_rest_once_it_may_be_seen(
    service: Product, server: SimulatorServer, case: Case
) -> None:
    copied = await service.connect(server, page_size=case.page_size)
    case.strike(server)
    hidden = len(server.instance.hidden | server.instance.blank)

    first = await copied.sync_well()
    await copied.assert_dataset_equals_source()
    evolve(server.instance, 20, seed=1)
    copied.advance(600)
    await copied.sync_well()
    await copied.assert_dataset_equals_source()
    server.faults.clear()
    await copied.sync_well("full")

    await copied.assert_dataset_equals_source()
    assert first.verdict is not None
    assert (first.verdict["state"], first.verdict["hidden"]) == ("short", hidden)


async def test_where_nothing_may_be_seen_the_verdict_is_unknown_and_says_why(
    service: Product, server: SimulatorServer
) -> None:
    copied = await service.connect(server)
    server.add_fault("hidden_rows", percent=0, run=90, run_at=0.0)

    run = await copied.sync_well()

    assert run.verdict is not None
    assert (run.verdict["state"], run.verdict["why"]) == (
        "unknown",
        "the source counts 90 but shows this user none (access rules)",
    )
    server.faults.clear()
    await copied.sync_well()
    await copied.assert_dataset_equals_source()


@each(*BLINDING)
async def test_no_record_is_lost_for_its_fields(service: Product, server: SimulatorServer, case: Case) -> None:
    copied = await service.connect(server)
    case.strike(server)

    run = await copied.sync_well()
    known = {sys_id: (one["number"], one["source_updated_at"]) for sys_id, one in (await copied.listing()).items()}
    server.faults.clear()
    await copied.sync_well("full")

    await copied.assert_dataset_equals_source()
    final = {sys_id: (one["number"], one["source_updated_at"]) for sys_id, one in (await copied.listing()).items()}
    assert known == final
    assert (run.rejected, run.verdict and run.verdict["state"]) == (0, "complete")


@each(*(REFUSING if FULL else REFUSING[:1] + REFUSING[4:5]))
async def test_a_first_load_that_cannot_be_trusted_fails_with_words(
    service: Product, server: SimulatorServer, case: Case
) -> None:
    copied = await service.connect(server)
    case.strike(server)

    run = await copied.sync()

    assert run.state == "failed"
    assert run.error is not None
    assert run.error.startswith("Failed to fetch incidents from ServiceNow: ")
    assert case.words in run.error
    assert case.remedy in (run.remedy or "")
    assert await copied.head() is None
    server.faults.clear()
    await copied.sync_well()
    await copied.assert_dataset_equals_source()


@each(*REFUSING, *STALE)
async def test_a_run_that_cannot_be_trusted_fails_with_words_and_changes_nothing(
    service: Product, server: SimulatorServer, case: Case
) -> None:
    copied = await service.connect(server)
    await copied.sync_well()
    before = await copied.listing()
    evolve(server.instance, 40, seed=3)
    copied.advance(3600)
    case.strike(server)

    run = await copied.sync()

    assert (run.state, run.error is not None and case.words in run.error) == ("failed", True)
    assert case.remedy in (run.remedy or "")
    assert (await copied.head(), await copied.listing()) == (1, before)
    server.faults.clear()
    await copied.sync_well()
    await copied.assert_dataset_equals_source()


async def test_a_filter_that_is_ignored_never_loads_the_wrong_set(service: Product, server: SimulatorServer) -> None:
    copied = await service.connect(server, filter="state=2")
    server.add_fault("ignored_term", column="state")

    run = await copied.sync()

    assert (run.state, await copied.head()) == ("failed", None)
    assert run.error is not None
    assert "condition on state" in run.error


@pytest.mark.parametrize("count", [12_000 if FULL else 300])
async def test_rows_that_share_one_second_in_any_order_are_all_read(service: Product, count: int) -> None:
    with source(count + 50) as server:
        copied = await service.connect(server, page_size=100 if FULL else 50)
        await copied.sync_well()
        copied.advance(600)
        server.add_fault("same_second_bulk", count=count)
        server.instance.update_many(server.instance.sys_ids()[:count], {"short_description": "Bulk change"})

        run = await copied.sync_well()

        assert (run.mode, run.updated) == ("incremental", count)
        await copied.assert_dataset_equals_source()


@each(*CLOCKS)
async def test_a_source_whose_clock_is_wrong_loses_nothing(
    service: Product, server: SimulatorServer, case: Case
) -> None:
    copied = await service.connect(server)
    case.strike(server)
    server.add_fault("mutate_during_scan", updates=2, creates=1, deletes=1)
    for seed in (1, 2, 3):
        await copied.sync_well()
        evolve(server.instance, 10, seed=seed)

    server.faults.clear("mutate_during_scan")
    await copied.sync_well()

    await copied.assert_dataset_equals_source()


ZONES = [
    ("Europe/Berlin", "2026-03-28 23:30:00"),
    ("Europe/Berlin", "2026-10-24 23:30:00"),
    ("America/New_York", "2026-11-01 04:30:00"),
    ("America/St_Johns", "2026-03-08 04:30:00"),
    ("Pacific/Auckland", "2026-04-04 12:30:00"),
    ("UTC", "2026-03-28 23:30:00"),
]


@pytest.mark.parametrize(("zone", "at"), ZONES if FULL else ZONES[:1])
async def test_literals_read_in_the_sessions_zone_lose_nothing_over_a_change_of_clocks(
    service: Product, zone: str, at: str
) -> None:
    with source(at=at, time_zone=zone) as server:
        server.add_fault("literal_in_session_zone")
        copied = await service.connect(server)
        await copied.sync_well()
        for step in range(4):
            evolve(server.instance, 8, seed=step)
            copied.advance(2400)
            evolve(server.instance, 8, seed=10 + step)

            run = await copied.sync_well()

            # In the hour that comes twice nothing can be proved: then everything is read, and that is said.
            assert run.mode == "incremental" or "Everything is read" in run.warnings[0]
            await copied.assert_dataset_equals_source(note_times=False)
