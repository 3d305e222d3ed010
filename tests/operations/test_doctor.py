"""The doctor on real things: what it sees of each, what it tells to do, and that it changes nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from integrations_api.clock import utc_now
from integrations_api.connectors.records import Check
from integrations_api.operations import doctor, look_at_database, look_outside
from integrations_api.operations.looking import Place
from integrations_api.settings import Settings
from integrations_api.vault.bootstrap import KEYS_FILE, generate_secrets
from integrations_api.vault.keys import generate_key
from integrations_api.wiring import egress_policy
from tests.egress.raw_server import RawServer, answer, raw_server
from tests.support.applications import settings_for
from tests.support.databases import with_database
from tests.support.embedding import embedding_server
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
ORDER = ["settings", "database", "schema", "extensions", "clock", "queue", "keys", "egress"]
A_WORKER = "INSERT INTO workers (id, host, pid, seen_at) VALUES (gen_random_uuid(), 'here', 1, now() + '1 h')"
"""Stays alive however long a test takes."""
REFUSED = "https://10.0.0.1"
"""Where the guard lets nobody go, so that no test asks a host out there."""
OF_THE_DATABASE = {"schema", "extensions", "clock", "queue", "egress"}


def at(server: RawServer) -> str:
    return f"127.0.0.1:{server.port}"


async def findings(settings: Settings) -> list[Check]:
    return [check async for check in doctor.examine(settings, egress_policy(settings))]


async def found(settings: Settings, name: str) -> Check:
    (check,) = [check for check in await findings(settings) if check.name == name]
    return check


async def found_by(b: Bench, name: str) -> Check:
    return await found(b.components[Settings], name)


@asynccontextmanager
async def looked_after(database_url: str, **settings: Any) -> AsyncIterator[Bench]:
    """Parts over a database, with one worker that is alive."""
    async with bench(database_url, workers=0, **settings) as b:
        await b.change(A_WORKER)
        yield b


async def test_where_all_is_well_every_line_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(look_at_database, "SLOW_ANSWER", 60)  # the machine that tests may be busy
    monkeypatch.setattr(look_at_database, "CLOCKS_APART", timedelta(minutes=1))
    async with raw_server() as source, looked_after(database_url, egress_allowed_hosts=[at(source)]) as b:
        await b.integration(url=f"http://{at(source)}/a/path")
        seen = await findings(b.components[Settings])

    assert [check.name for check in seen] == ORDER
    assert [check for check in seen if check.status != "ok" or check.remedy is not None] == []
    assert seen[-1].seen.startswith(f"http://{at(source)} (of 1 integration) answers 200 in ")
    (head,) = source.heads
    assert head.startswith("HEAD / HTTP/1.1")
    assert "authorization" not in head.lower()


async def test_without_its_database_it_says_why_and_what_it_could_not_look_at() -> None:
    seen = {check.name: check for check in await findings(settings_for(NOWHERE))}

    assert list(seen) == ORDER
    assert seen["database"].status == "failed"
    assert seen["database"].seen.startswith("Nobody listens there")
    assert {name for name, check in seen.items() if check.seen.startswith("not looked at")} == OF_THE_DATABASE
    assert seen["keys"].status == "ok"


def test_a_stall_timeout_within_which_a_source_need_not_answer_is_told() -> None:
    answer = timedelta(seconds=70)
    checks = [
        doctor.settings_check(settings_for(NOWHERE, egress_timeout=answer, sync_stall_timeout=stall))
        for stall in (answer, answer + timedelta(seconds=1))
    ]

    assert [check.status for check in checks] == ["warning", "ok"]
    assert "SYNC_STALL_TIMEOUT" in str(checks[0].remedy)


async def test_a_database_that_does_not_exist_is_named(database_url: str) -> None:
    check = await found(settings_for(with_database(database_url, "gone")), "database")

    assert check.status == "failed"
    assert "gone" in check.seen
    assert check.remedy == "Create the database, or correct its name in DATABASE_URL"


def test_the_bundled_database_is_neither_made_nor_started_nor_given_keys(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path / "data")

    seen = asyncio.run(findings(settings))

    assert {check.status for check in seen} == {"ok", "warning"}
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_this_user_may_not_enter_is_told_of_database_and_keys(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0)
    nobody, is_root = 65534, os.geteuid() == 0
    if is_root:  # who may enter every folder
        os.seteuid(nobody)
    try:
        seen = asyncio.run(findings(Settings(_env_file=None, data_dir=tmp_path / "data")))
    finally:
        if is_root:
            os.seteuid(0)

    told = {check.name: (check.status, check.remedy) for check in seen}
    assert told["database"] == told["keys"] == ("failed", "Run this as the user who runs `serve`")


async def test_how_the_schema_stands_is_told(database_url: str) -> None:
    stories = [
        ("SELECT 1", "ok", "at head ("),
        ("UPDATE alembic_version SET version_num = '29991231_later'", "ok", "ahead, at 29991231_later"),
        ("UPDATE alembic_version SET version_num = '20261123_initial'", "failed", "behind, at 20261123_initial: "),
        ("DROP TABLE alembic_version", "failed", "none yet: "),
    ]
    async with looked_after(database_url) as b:
        for change, status, seen in stories:
            await b.change(change)
            check = await found_by(b, "schema")

            assert (check.status, check.seen[: len(seen)]) == (status, seen)
            assert (check.remedy == "Run `integrations-api migrate`") == (status == "failed")


@pytest.fixture
async def clerk(database_url: str) -> AsyncIterator[str]:
    """A role that may read and write all that a service writes, and owns nothing; its URL is the database's with it."""
    name = f"clerk_{uuid4().hex[:8]}"
    async with bench(database_url, workers=0) as b:
        for statement in (
            f"CREATE ROLE {name} NOLOGIN",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}",
            f"REVOKE UPDATE, DELETE ON audit_entries, audit_seals FROM {name}",
            f"REVOKE INSERT, UPDATE, DELETE ON alembic_version, schema_serves FROM {name}",
        ):
            await b.change(statement)
        yield name
        await b.change(f"DROP OWNED BY {name}")
        await b.change(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("SELECT '{}'", "at head ("),
        ("REVOKE DELETE ON sync_runs FROM {}", "this user may not read and write sync_runs"),
        ("REVOKE USAGE ON SEQUENCE pgqueuer_id_seq FROM {}", "this user may not read and write pgqueuer_id_seq"),
        ("REVOKE USAGE ON SEQUENCE contents_id_seq FROM {}", "at head ("),
        ("REVOKE INSERT ON audit_entries, users FROM {}", "this user may not read and write audit_entries and 1 more"),
        ("REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM {}", "this user may not read and write a"),
        ("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM {}", "permission denied for table alembic_version"),
    ],
)
async def test_rights_that_a_user_lacks_are_told(database_url: str, clerk: str, change: str, seen: str) -> None:
    async with looked_after(database_url) as b:
        await b.change(change.format(clerk))
    url = make_url(database_url).update_query_dict({"role": clerk}).render_as_string(hide_password=False)

    check = await found(settings_for(url), "schema")

    assert check.seen[: len(seen)] == seen
    assert (check.status, check.remedy) == (
        ("ok", None)
        if seen.startswith("at head")
        else ("failed", "Let the database's owner grant this user what it lacks")
    )


@pytest.mark.parametrize("change", ["SELECT 1", "DROP TABLE alembic_version"], ids=["behind", "none yet"])
async def test_that_a_user_cannot_migrate_is_told_where_that_would_be_the_remedy(
    database_url: str, clerk: str, change: str
) -> None:
    async with looked_after(database_url) as b:
        await b.change("UPDATE alembic_version SET version_num = '20261123_initial'")
        await b.change(change)
    url = make_url(database_url).update_query_dict({"role": clerk}).render_as_string(hide_password=False)

    check = await found(settings_for(url), "schema")

    assert check.seen.endswith(", and this user may not make or change tables")
    assert (check.status, check.remedy) == (
        "failed",
        "Run `integrations-api migrate` as one who may, such as the database's owner",
    )


async def test_a_schema_that_took_something_away_fails_and_no_row_is_asked(database_url: str) -> None:
    async with looked_after(database_url) as b:
        await b.change("UPDATE alembic_version SET version_num = '29991231_later'")
        await b.change("DELETE FROM schema_serves")
        seen = {check.name: check for check in await findings(b.components[Settings])}

    assert seen["schema"].status == "failed"
    assert {name for name, check in seen.items() if check.seen.startswith("not looked at")} == {"queue", "egress"}


@pytest.mark.parametrize(
    ("change", "status", "remedy"),
    [
        ("SET default_transaction_read_only = on", "failed", "let DATABASE_URL name the primary"),
        ("CONNECTION LIMIT 5", "warning", "One more process may take up to 7: raise max_connections"),
        ("SET statement_timeout = '30s'", "warning", "SET it to 0 for this user"),
    ],
)
async def test_a_database_that_does_not_suit_is_told(database_url: str, change: str, status: str, remedy: str) -> None:
    async with looked_after(database_url) as b:
        name = (await b.rows("SELECT current_database() AS name"))[0].name
        await b.change(f'ALTER DATABASE "{name}" {change}')
        check = await found_by(b, "database")

    assert check.status == status
    assert check.remedy is not None
    assert remedy in check.remedy


async def test_a_queue_without_workers_or_with_old_jobs_is_told(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        await b.start(await b.integration(url=REFUSED))
        await b.change(
            "UPDATE pgqueuer SET created = now() - interval '1 hour', execute_after = now() - interval '1 hour'"
        )
        without = await found_by(b, "queue")
        await b.change(A_WORKER)
        late = await found_by(b, "queue")

    assert (without.status, late.status) == ("warning", "warning")
    assert "1 job waits, the oldest for 36" in without.seen
    assert without.seen.endswith("0 workers alive")
    assert late.seen.endswith("1 worker alive")
    assert late.remedy == "Add workers, or raise WORKER_CONCURRENCY"


@pytest.mark.parametrize(("ahead", "status"), [(5, "warning"), (-5, "warning"), (60, "failed")])
async def test_clocks_that_are_apart_are_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch, ahead: int, status: str
) -> None:
    monkeypatch.setattr(look_at_database, "utc_now", lambda: utc_now() + timedelta(seconds=ahead))

    check = await found(settings_for(database_url), "clock")

    assert check.status == status
    assert ("ahead of" if ahead > 0 else "behind") in check.seen


async def test_a_key_that_rows_need_and_a_secret_that_does_not_open_are_told(database_url: str) -> None:
    async with looked_after(database_url) as b:
        await b.integration(url=REFUSED)
        settings = b.components[Settings]
        assert settings.encryption_keys is not None
        needed = settings.encryption_keys.get_secret_value().partition(":")[0]
        other = settings.model_copy(update={"encryption_keys": SecretStr(generate_key())})
        lacking = await found(other, "keys")
        await b.change("UPDATE integration_secrets SET path = '/client_secret'")
        moved = await found(settings, "keys")

    assert lacking.status == moved.status == "failed"
    assert f"the encryption key {needed}" in lacking.seen
    assert "0 of 1 stored secrets that were tried open" in moved.seen
    assert moved.remedy == "`integrations-api secrets check` names those that do not"


async def test_keys_that_others_may_read_are_told_and_left_as_they_are(tmp_path: Path) -> None:
    kept = tmp_path / KEYS_FILE
    kept.write_text("".join(f"{name}={value}\n" for name, value in generate_secrets().items()))
    kept.chmod(0o644)

    check = await found(Settings(_env_file=None, data_dir=tmp_path), "keys")

    assert (check.status, check.remedy) == ("warning", f"Run chmod 600 {kept}")
    assert kept.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("text", "mode", "status"),
    [
        ("SECRET_KEY=x\n", 0o644, "warning"),
        ("METRICS_TOKEN=x\n", 0o604, "warning"),
        ("POSTGRES_PASSWORD=x\n", 0o644, "warning"),
        ("SECRET_KEY=x\n", 0o640, "ok"),
        ("#SECRET_KEY=x\nSECRET_KEY=\nPORT=8000\n", 0o644, "ok"),
    ],
)
def test_secrets_in_an_env_file_that_everybody_may_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, status: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(text)
    Path(".env").chmod(mode)
    settings = settings_for(NOWHERE)

    check = doctor.settings_check(settings)

    assert check.status == status
    assert check.remedy == ("Run chmod 600 .env" if status == "warning" else None)


async def egress_of(b: Bench, *urls: str) -> Sequence[Check]:
    for url in urls:
        await b.integration(url=url)
    seen = await findings(b.components[Settings])
    return [check for check in seen if check.name == "egress"]


async def test_each_host_has_a_line_of_its_own_that_names_what_is_in_the_way(database_url: str) -> None:
    async with raw_server(respond=answer(b"", status="503 Unavailable")) as source:
        url = f"http://{at(source)}"
        async with looked_after(database_url, egress_allowed_hosts=[at(source), "127.0.0.1:1"]) as b:
            ill, closed, refused = await egress_of(b, url, url + "/again", "http://127.0.0.1:1", "https://10.0.0.1")

    assert (ill.status, closed.status, refused.status) == ("warning", "failed", "failed")
    assert ill.seen.startswith(f"{url} (of 2 integrations) answers 503 in ")
    assert closed.seen == "http://127.0.0.1:1 (of 1 integration): Connection refused"
    assert "10.0.0.1 is a private address" in refused.seen
    assert refused.remedy is not None
    assert "EGRESS_ALLOWED_HOSTS" in refused.remedy


async def test_hosts_are_asked_side_by_side_and_one_that_hangs_is_not_waited_for_long(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[asyncio.StreamWriter] = []
    all_asked, never = asyncio.Event(), asyncio.Event()

    async def once_all_are_asked(writer: asyncio.StreamWriter) -> None:
        asked.append(writer)
        if len(asked) == 2:
            all_asked.set()
        await all_asked.wait()
        writer.write(answer(b""))
        await writer.drain()

    async def hang(_: asyncio.StreamWriter) -> None:
        await never.wait()

    monkeypatch.setattr(look_outside, "WITHIN", timedelta(seconds=5))
    async with (
        raw_server(respond=once_all_are_asked) as one,
        raw_server(respond=once_all_are_asked) as other,
        raw_server(respond=hang) as hung,
    ):
        hosts = [at(server) for server in (hung, one, other)]
        async with looked_after(database_url, egress_allowed_hosts=hosts) as b:
            seen = await egress_of(b, *(f"http://{host}" for host in hosts))
        never.set()

    assert [check.status for check in seen] == ["failed", "ok", "ok"]
    assert seen[0].seen.endswith("No answer within 5 s")


async def test_more_hosts_than_are_asked_are_counted(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_outside, "MOST_HOSTS", 1)
    async with looked_after(database_url) as b:
        seen = await egress_of(b, "https://10.0.0.1", "https://10.0.0.2", "https://10.0.0.3")

    assert len(seen) == 2
    assert seen[-1].seen == "2 more hosts were not asked"


async def test_sign_in_servers_and_gateways_are_reached_too(database_url: str) -> None:
    site = {"url": "https://10.0.0.1", "auth_url": "https://10.0.0.2", "api_url": "https://10.0.0.3/ex"}
    async with looked_after(database_url) as b:
        await b.integration(url=REFUSED)
        await b.change(
            "UPDATE integrations SET service_name = 'Jira', auth_type = 'oauth2', config = CAST(:config AS json)",
            config=orjson.dumps({**site, "client_id": "x", "client_secret": "********"}).decode(),
        )
        seen = await egress_of(b)

    assert {check.seen.partition(" ")[0] for check in seen} == {"https://10.0.0.2", "https://10.0.0.3"}


async def test_the_embedding_service_is_asked_for_a_vector(database_url: str) -> None:
    async with embedding_server() as service, looked_after(database_url, **service.settings()) as b:
        well = await found_by(b, "embeddings")
        wanted = (await found_by(b, "extensions")).status
        service.faults = [401, 503]
        refused, ill = await found_by(b, "embeddings"), await found_by(b, "embeddings")

    assert (well.status, refused.status, ill.status) == ("ok", "failed", "failed")
    assert well.seen == f"{service.url} answers for bag with 64 numbers"
    assert wanted == "warning"  # pgvector is not there, or not switched on yet


async def test_whatever_looks_cannot_write(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write(place: Place) -> Check:
        async with place.sessions.begin() as session:
            await session.execute(text("CREATE TABLE planted ()"))
        return Check("planted", "ok", "written")

    monkeypatch.setattr(doctor, "ON_ANY_SCHEMA", {"planted": write})

    check = await found(settings_for(database_url), "planted")

    assert check.status == "failed"
    assert "read-only transaction" in check.seen
