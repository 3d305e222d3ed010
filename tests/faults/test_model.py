"""A random life of a source and of its integration: in the end the dataset is the table, and no version has changed.

Rules are what people, administrators and misfortune do; syncs happen among them, under faults or not. What a version
said when it was published is kept, and read again in the end.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from integrations_api.errors import Conflict
from integrations_api.integrations.schemas import IntegrationIn
from integrations_api.integrations.service import IntegrationService
from integrations_api.simulator.servicenow import parse_fault
from integrations_api.simulator.servicenow.access import DEFAULT_PASSWORD
from integrations_api.sync.control import RunControl
from integrations_api.sync.models import SyncRun
from tests.support.long import FULL
from tests.support.matrix import Copied, Listing, Product, product, source
from tests.support.syncing import ADMIN

PICK = st.integers(min_value=0, max_value=10_000)
TEXTS = st.text(max_size=30)
FAULTS = (
    "mutate_during_scan:updates=2,creates=1,deletes=1",
    "truncated_json:times=2,skip=1",
    "truncated_json:share=0.9,times=2,on=any",
    "broken_200:shape=text_row,at_row=1,times=2",
    "quota_timeout:most_rows=2",
    "rate_limited:times=3",
    "rate_limited:kind=bare,times=3",
    "server_error:status=502,form=html,times=3",
    "accepted_202:times=2",
    "reset_mid_body:times=2",
    "late_rows:count=3,lag=100,on=any,skip=4",
    "query_acl_drops_sort:column=sys_id",
    "hibernating",
)
FILTERS = ("", "state=1", "stateIN1,2,3", "active=true")


class LifeOfASource(RuleBasedStateMachine):
    """One source, one integration; the product around them is shared."""

    portal: BlockingPortal
    product: Product

    def __init__(self) -> None:
        super().__init__()
        self._context = source(25)
        self.server = self._context.__enter__()
        self.copied: Copied = self.portal.call(self._connect)
        self.published: dict[int, Listing] = {}
        self.filter = ""

    async def _connect(self) -> Copied:
        return await self.product.connect(self.server, page_size=5)

    # ---- what happens at the source

    def _some(self, pick: int) -> str | None:
        ids = self.server.instance.sys_ids()
        return ids[pick % len(ids)] if ids else None

    @rule(title=TEXTS, state=st.sampled_from("1237"))
    def create(self, title: str, state: str) -> None:
        self.server.instance.create({"short_description": title, "state": state})

    @rule(pick=PICK, title=TEXTS, state=st.sampled_from("1237"), touches=st.booleans())
    def update(self, pick: int, title: str, state: str, touches: bool) -> None:
        if sys_id := self._some(pick):
            self.server.instance.update(sys_id, {"short_description": title, "state": state}, touch=touches)

    @rule(pick=PICK, text=TEXTS)
    def note(self, pick: int, text: str) -> None:
        if sys_id := self._some(pick):
            self.server.instance.work_note(sys_id, f"Seen: {text}")

    @rule(pick=PICK, audited=st.booleans())
    def delete(self, pick: int, audited: bool) -> None:
        if sys_id := self._some(pick):
            self.server.instance.delete(sys_id, audit=audited)

    @rule(pick=PICK)
    def archive(self, pick: int) -> None:
        if sys_id := self._some(pick):
            self.server.instance.archive(sys_id)

    @rule(seconds=st.integers(min_value=1, max_value=4000))
    def time_passes(self, seconds: int) -> None:
        self.copied.advance(seconds)

    @rule(text=st.sampled_from(FAULTS))
    def misbehave(self, text: str) -> None:
        self.server.faults.clear()
        self.server.faults.add(parse_fault(text))

    # ---- what happens to the integration

    @rule(chosen=st.sampled_from(FILTERS))
    def change_filter(self, chosen: str) -> None:
        self.filter = chosen
        self._edit()

    @rule()
    def move_last_synced_back(self) -> None:
        self._edit(lastSynced="2026-03-01T00:00:00Z")

    def _edit(self, **more: str) -> None:
        config = {"url": self.server.url, "username": "integration", "password": DEFAULT_PASSWORD, "page_size": 5}
        sent = IntegrationIn(
            service_name="ServiceNow", auth_type="basic_auth", is_active=True,
            config={**config, "filter": self.filter, **more},
        )  # fmt: skip
        self.portal.call(self._update, sent)

    async def _update(self, sent: IntegrationIn) -> None:
        integrations = self.product.bench.components[IntegrationService]
        await integrations.update(self.copied.integration, sent, principal=ADMIN)

    # ---- what happens to syncs

    @rule(mode=st.sampled_from(["incremental", "full"]))
    def sync(self, mode: Any) -> None:
        self.portal.call(self.copied.sync, mode)
        self._remember()

    @rule(pause=st.sampled_from([0.0, 0.01, 0.05, 0.1]))
    def cancel(self, pause: float) -> None:
        self.portal.call(self._start_and_cancel, pause)
        self._remember()

    async def _start_and_cancel(self, pause: float) -> None:
        run_id = await self.product.bench.start(self.copied.integration)
        await asyncio.sleep(pause)
        with suppress(Conflict):  # It may have ended before.
            await self.product.bench.components[RunControl].cancel(self.copied.integration, principal=ADMIN)
        await self.copied.finished(run_id)

    @rule(pause=st.sampled_from([0.0, 0.02, 0.1]))
    def restart_the_worker(self, pause: float) -> None:
        self.portal.call(self._start_and_restart, pause)
        self._remember()

    async def _start_and_restart(self, pause: float) -> None:
        bench = self.product.bench
        run_id = await bench.start(self.copied.integration)
        await asyncio.sleep(pause)
        await bench.stop_workers()
        bench.start_worker()
        await self.copied.finished(run_id)

    @rule(pause=st.sampled_from([0.0, 0.02, 0.1]))
    def lose_all_database_connections(self, pause: float) -> None:
        self.portal.call(self._start_and_cut, pause)
        self._remember()

    async def _start_and_cut(self, pause: float) -> None:
        run_id = await self.product.bench.start(self.copied.integration)
        await asyncio.sleep(pause)
        await self.product.cut_connections()
        await self.copied.finished(run_id)

    def _remember(self) -> None:
        """What the head says, if it is a version that was not seen before."""
        head = self.portal.call(self.copied.head)
        if head is not None and head not in self.published:
            self.published[head] = self.portal.call(self.copied.listing, head)

    # ---- the end

    def teardown(self) -> None:
        try:
            self.server.faults.clear()
            self.copied.advance(600)
            run: SyncRun = self.portal.call(self.copied.sync_well, "full")
            self.portal.call(self._assert_all, run)
        finally:
            self._context.__exit__(None, None, None)

    async def _assert_all(self, run: SyncRun) -> None:
        await self.copied.assert_dataset_equals_source(matches=FILTERED[self.filter])
        assert run.verdict is not None
        assert run.verdict["state"] == "complete"
        for version, said in self.published.items():
            now = await self.copied.listing(version)
            assert _settled(now) == _settled(said), f"version {version} reads otherwise than when it was published"


FILTERED: dict[str, dict[str, list[str]]] = {
    "": {},
    "state=1": {"state": ["1"]},
    "stateIN1,2,3": {"state": ["1", "2", "3"]},
    "active=true": {"active": ["true"]},
}


def _settled(listing: Listing) -> Listing:
    """Without the source's stamp, which moves for the head when nothing else has changed."""
    moving = ("source_updated_at", "synced_at")
    return {key: {name: value for name, value in one.items() if name not in moving} for key, one in listing.items()}


@contextmanager
def _shared(database_url: str) -> Iterator[None]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(product(database_url, sync_max_attempts=100)) as running,
    ):
        LifeOfASource.portal, LifeOfASource.product = portal, running
        yield


# The product runs in a thread beside this one, and PgQueuer draws its pauses from the same `random` while a rule is
# chosen: Hypothesis would take that for a strategy of ours.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_whatever_happens_the_dataset_is_the_source_and_versions_stay_as_they_were(database_url: str) -> None:
    chosen = settings(
        max_examples=30 if FULL else 3,
        stateful_step_count=30 if FULL else 10,
        derandomize=not FULL,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with _shared(database_url):
        run_state_machine_as_test(LifeOfASource, settings=chosen)
