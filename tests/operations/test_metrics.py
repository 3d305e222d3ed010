"""What Prometheus is given: who may read it, what is counted, and what is asked of the database."""

from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.components import Components
from integrations_api.connectors.errors import Refused
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from integrations_api.errors import ConfigurationError
from integrations_api.metrics import REGISTRY, RUN_ENDS, VAULT_REASONS
from integrations_api.operations.exposition import Exposition
from integrations_api.operations.gauges import STALEST
from integrations_api.operations.port import metrics_app
from integrations_api.settings import Settings, load_settings
from integrations_api.sync.runs import RunState, is_final
from integrations_api.vault.bootstrap import resolve_secrets
from integrations_api.vault.cipher import Vault
from integrations_api.vault.errors import SecretDamaged, SecretNotAuthentic, UnknownKey
from tests.support.applications import bare_app, client_of, live_app, settings_for
from tests.support.served import served
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio

TOKEN = "a-token-for-prometheus"


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def series(components: Components) -> dict[tuple[str, str], float]:
    """Every sample by its name and its label values."""
    families = await components[Exposition].families()
    return {(s.name, ",".join(s.labels.values())): s.value for family in families for s in family.samples}


async def test_metrics_are_off_until_a_token_is_set(database_url: str) -> None:
    async with live_app(database_url) as live:
        answer = await live.client.get("/metrics", headers=await live.credentials())

    assert answer.status_code == 404
    assert "METRICS_TOKEN" in answer.json()["message"]


async def test_only_the_token_opens_them_not_even_an_admins(database_url: str) -> None:
    async with live_app(database_url, metrics_token=TOKEN) as live:
        without = await live.client.get("/metrics")
        admins = await live.client.get("/metrics", headers=await live.credentials())
        given = await live.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert (without.status_code, admins.status_code, given.status_code) == (401, 401, 200)
    assert given.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "integrations_database_up 1.0" in given.text
    assert TOKEN not in given.text


@pytest.mark.parametrize(("token", "sent", "status"), [(None, "", 200), (TOKEN, "", 401), (TOKEN, TOKEN, 200)])
async def test_a_port_of_its_own_asks_for_the_token_where_one_is_set(
    database_url: str, token: str | None, sent: str, status: int
) -> None:
    async with live_app(database_url, metrics_token=token) as live:
        app = metrics_app(live.components[Exposition], live.components[Settings])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/metrics", headers={"Authorization": f"bearer {sent}"} if sent else {})

    assert answer.status_code == status


def test_an_address_that_others_reach_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_HOST", "0.0.0.0")
    with pytest.raises(ConfigurationError, match="METRICS_HOST: other machines"):
        load_settings(_env_file=None)
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    assert load_settings(_env_file=None).metrics_host == "0.0.0.0"


async def test_requests_are_counted_by_template_and_nothing_a_client_makes_up() -> None:
    made_up = [("GET", f"/no/such/{uuid4()}"), ("BREW", "/healthz")]
    before = counted("integrations_http_requests_total", method="GET", route="/healthz", status="200")
    async with client_of(bare_app()) as client:
        await client.get("/healthz?token=canary")
        for method, path in made_up:
            await client.request(method, path)

    assert counted("integrations_http_requests_total", method="GET", route="/healthz", status="200") == before + 1
    assert counted("integrations_http_requests_total", method="GET", route="(none)", status="404") >= 1
    labels = [value for family in REGISTRY.collect() for s in family.samples for value in s.labels.values()]
    assert not [value for value in labels if "BREW" in value or "no/such" in value or "canary" in value]


async def test_a_sync_is_counted_by_records_changes_phases_and_end(database_url: str) -> None:
    names = ("integrations_sync_records_fetched_total", "integrations_sync_changes_ingested_total")
    before = [counted(name, service="ServiceNow") for name in names]
    ended = {state: counted("integrations_sync_runs_ended_total", state=state) for state in RUN_ENDS}
    fetching = counted("integrations_sync_phase_seconds_count", phase="fetching")
    async with bench(database_url) as b:
        b.source.fill(7)
        integration = await b.integration()
        await b.sync(integration)
        b.source.fail_at_page, b.source.failure = b.source.pages_read, Refused("wrong password")
        await b.sync(integration)
        shown = await series(b.components)

    assert [counted(name, service="ServiceNow") for name in names] == [before[0] + 7, before[1] + 7]
    assert counted("integrations_sync_runs_ended_total", state="succeeded") == ended["succeeded"] + 1
    assert counted("integrations_sync_runs_ended_total", state="failed") == ended["failed"] + 1
    assert counted("integrations_sync_phase_seconds_count", phase="fetching") >= fetching + 1
    assert shown["integrations_configured", "active"] == 1
    assert shown["integrations_workers", ""] == 1
    assert ("integrations_watermark_lag_seconds", str(integration)) in shown


async def test_the_queue_and_waiting_runs_are_seen_with_their_age(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        await b.start(await b.integration())
        await b.change(
            "UPDATE pgqueuer SET created = now() - interval '1 hour', execute_after = now() - interval '1 hour'"
        )
        shown = await series(b.components)

    assert shown["integrations_queue_jobs", "queued"] == 1
    assert shown["integrations_queue_jobs", "picked"] == 0
    assert timedelta(minutes=59).total_seconds() < shown["integrations_queue_oldest_seconds", ""] < 7200
    assert shown["integrations_sync_runs", "queued"] == 1
    assert shown["integrations_workers", ""] == 0


async def test_only_the_stalest_integrations_have_series_of_their_own(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        stalest = await b.integration()
        await b.change("UPDATE integrations SET created_at = now() - interval '2 days'")
        await b.change(
            """INSERT INTO integrations (id, service_name, auth_type, config, is_active)
               SELECT gen_random_uuid(), 'ServiceNow', 'basic_auth', '{}', true FROM generate_series(1, :many)""",
            many=STALEST + 20,
        )
        shown = await series(b.components)

    ages = [name for name, _ in shown if name == "integrations_sync_age_seconds"]
    assert len(ages) == STALEST
    assert shown["integrations_sync_age_seconds", str(stalest)] > timedelta(days=1).total_seconds()


async def test_without_a_database_it_says_so_and_gives_the_rest() -> None:
    async with live_app("postgresql://nobody@127.0.0.1:1/nothing") as live:
        shown = await series(live.components)

    assert shown["integrations_database_up", ""] == 0
    assert ("integrations_streams_open", "") in shown
    assert not [name for name, _ in shown if name == "integrations_queue_jobs"]


async def test_connections_in_use_are_seen(database_url: str) -> None:
    async with live_app(database_url) as live, live.components[AsyncEngine].connect():
        shown = await series(live.components)

    assert shown["integrations_db_pool_connections", "in_use"] == 1
    assert shown["integrations_db_pool_limit", ""] == 5


async def test_an_open_stream_is_counted_while_it_lasts(database_url: str) -> None:
    async with bench(database_url, workers=0) as b, served(b) as api:
        run = await b.start(await b.integration())
        async with api.client.stream("GET", f"/integrations/runs/{run}/events") as stream:
            await anext(stream.aiter_bytes())
            during = counted("integrations_streams_open")

    assert during == 1


def test_what_the_vault_and_the_guard_refuse_is_counted() -> None:
    settings = settings_for("postgresql://nobody@127.0.0.1:1/nothing")
    vault = Vault(resolve_secrets(settings).keyring)
    before = {reason: counted("integrations_vault_refusals_total", reason=reason) for reason in VAULT_REASONS}
    refused = counted("integrations_egress_refusals_total")

    with pytest.raises(SecretDamaged):
        vault.open(b"nothing of ours", context="here")
    with pytest.raises(SecretNotAuthentic):
        vault.open(vault.seal("word", context="here"), context="there")
    with pytest.raises(EgressRefused):
        open_client(EgressPolicy(), "http://example.com")

    assert counted("integrations_vault_refusals_total", reason="damaged") == before["damaged"] + 1
    assert counted("integrations_vault_refusals_total", reason="not_authentic") == before["not_authentic"] + 1
    assert counted("integrations_egress_refusals_total") == refused + 1


def test_the_words_that_stand_as_labels_are_all_there_are() -> None:
    assert set(RUN_ENDS) == {state.value for state in RunState if is_final(state)}
    assert set(VAULT_REASONS) == {error.reason for error in (UnknownKey, SecretDamaged, SecretNotAuthentic)}
