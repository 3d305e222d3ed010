"""The schema: what models say is what migrations make, there and back; what later releases may do to it."""

import ast
import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory
from anyio.from_thread import BlockingPortal, start_blocking_portal

from integrations_api.db import migrations
from integrations_api.db.compatibility import RELEASES, ends, serves
from integrations_api.db.engine import sqlalchemy_url
from integrations_api.db.migrations import alembic_config, pending, scripts, upgrade
from integrations_api.db.revisions import head_revision, known_revisions
from integrations_api.errors import Unavailable
from tests.support.databases import plain_url
from tests.support.releases import TOMORROW, tomorrows_migrations

LAST_RELEASE = list(RELEASES)[-1]


class PortalReader:
    """A connection that is used from a test that is not asynchronous."""

    def __init__(self, portal: BlockingPortal, url: str) -> None:
        self._portal = portal
        self._connection = portal.call(asyncpg.connect, plain_url(url))

    def do(self, script: str) -> None:
        self._portal.call(self._connection.execute, script)

    def stop(self) -> None:
        self.do("ROLLBACK")

    def close(self) -> None:
        self._portal.call(self._connection.close)


def ask(url: str, statement: str) -> list[asyncpg.Record]:
    async def once() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(plain_url(url))
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    return asyncio.run(once())


def test_models_and_migrations_say_the_same(database_url: str) -> None:
    command.check(alembic_config(sqlalchemy_url(database_url)))


def test_the_way_back_leads_to_an_empty_database_and_up_again(empty_database_url: str) -> None:
    config = alembic_config(sqlalchemy_url(empty_database_url))
    upgrade(empty_database_url)
    command.downgrade(config, "base")

    left = ask(empty_database_url, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")

    assert {row["relname"] for row in left} <= {"alembic_version", "alembic_version_pkc"}
    upgrade(empty_database_url)
    command.check(config)


def test_the_chain_of_revisions_is_read_as_alembic_reads_it() -> None:
    assert list(known_revisions()) == [script.revision for script in scripts().walk_revisions()][::-1]
    assert head_revision() == scripts().get_current_head()


def test_the_schema_serves_this_release_and_the_one_before(database_url: str) -> None:
    served = {row["revision"] for row in ask(database_url, "SELECT revision FROM schema_serves")}

    assert {LAST_RELEASE, head_revision()} <= served
    assert served == set(serves(scripts(), head_revision()))


COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL
           OR is_identity = 'YES' AS may_be_left_out
    FROM information_schema.columns WHERE table_schema = 'public'
"""


def test_what_the_release_before_reads_and_writes_is_still_there(empty_database_url: str) -> None:
    upgrade(empty_database_url, LAST_RELEASE)
    before = {(row["table_name"], row["column_name"]): row for row in ask(empty_database_url, COLUMNS)}
    upgrade(empty_database_url)
    after = {(row["table_name"], row["column_name"]): row for row in ask(empty_database_url, COLUMNS)}

    assert not before.keys() - after.keys(), "the release before needs these columns"
    for place, was in before.items():
        assert after[place]["data_type"] == was["data_type"], place
        assert after[place]["may_be_left_out"] or not was["may_be_left_out"], place
    old_tables = {table for table, _ in before}
    demanded = [k for k in after.keys() - before.keys() if k[0] in old_tables and not after[k]["may_be_left_out"]]
    assert not demanded, "the release before does not know these columns"


def new_migrations() -> list[Script]:
    return pending(LAST_RELEASE)


@pytest.mark.parametrize("script", new_migrations(), ids=lambda script: str(script.revision))
def test_a_migration_builds_indexes_of_tables_that_may_be_large_beside_the_work(script: Script) -> None:
    tree = ast.parse(Path(script.path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    made = {first(call) for call in calls if called(call) == "create_table"}

    for call in calls:
        if called(call) == "create_index":
            table = call.args[1]
            assert isinstance(table, ast.Constant)
            assert table.value in made, "use db.indexes.build_index"
        if called(call) == "execute":
            statement = " ".join(ast.unparse(call).upper().split())
            assert "CREATE INDEX" not in statement, "use db.indexes.build_index"


@pytest.mark.parametrize("script", new_migrations(), ids=lambda script: str(script.revision))
def test_a_migration_waits_for_a_table_as_long_as_all_of_them_do(script: Script) -> None:
    assert "lock_timeout" not in inspect.getsource(script.module.upgrade), "migrations/env.py sets it"


def called(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr


def first(call: ast.Call) -> Any:
    assert isinstance(call.args[0], ast.Constant)
    return call.args[0].value


def test_a_migration_that_ends_older_code_names_a_release() -> None:
    named = [ends(script) for script in scripts().walk_revisions() if ends(script) is not None]

    assert set(named) <= set(RELEASES)


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`upgrade` brings tomorrow's schema."""
    folder = tomorrows_migrations(tmp_path / "migrations")
    monkeypatch.setattr("integrations_api.db.migrations.migrations_folder", lambda: folder)


@pytest.mark.usefixtures("tomorrow")
def test_a_migration_lets_everybody_pass_while_it_comes_back_for_a_table_in_use(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []
    with reading(database_url, "staged_changes") as reader:

        def in_a_pause(_: float) -> None:
            passed.append(ask(database_url, "SELECT count(*) FROM staged_changes"))
            reader.stop()

        monkeypatch.setattr("integrations_api.db.migrations.time.sleep", in_a_pause)
        upgrade(database_url)

    assert len(passed) == 1
    assert ask(database_url, "SELECT version_num FROM alembic_version")[0][0] == TOMORROW


@pytest.mark.usefixtures("tomorrow")
def test_a_migration_that_never_gets_its_table_ends_in_words_and_changes_nothing(database_url: str) -> None:
    with reading(database_url, "staged_changes"), pytest.raises(Unavailable, match="migrate` again"):
        upgrade(database_url, patience=0)

    assert ask(database_url, "SELECT version_num FROM alembic_version")[0][0] == head_revision()
    assert ask(database_url, "SELECT to_regclass('tomorrows_table')")[0][0] is None


@pytest.mark.usefixtures("tomorrow")
def test_half_an_index_of_a_migration_that_was_killed_is_made_anew(database_url: str) -> None:
    for number in (1, 2):
        ask(database_url, f"INSERT INTO schema_serves VALUES ('{number}')")
    with pytest.raises(asyncpg.UniqueViolationError):
        ask(database_url, "CREATE UNIQUE INDEX CONCURRENTLY ix_revisions_tomorrow ON schema_serves ((1))")

    upgrade(database_url)

    built = "SELECT indrelid::regclass::text, indisvalid FROM pg_index WHERE indexrelid = to_regclass('{}')"
    assert [tuple(row) for row in ask(database_url, built.format("ix_revisions_tomorrow"))] == [("revisions", True)]


@pytest.mark.usefixtures("tomorrow")
def test_the_schema_says_whose_code_it_serves_on_the_way_up_and_back(database_url: str) -> None:
    upgrade(database_url)
    there = {row["revision"] for row in ask(database_url, "SELECT revision FROM schema_serves")}
    command.downgrade(migrations.alembic_config(sqlalchemy_url(database_url)), head_revision())
    back = {row["revision"] for row in ask(database_url, "SELECT revision FROM schema_serves")}

    assert there == {TOMORROW, *back}
    assert head_revision() in back


def test_a_migration_that_takes_something_away_ends_the_code_that_needed_it(tmp_path: Path) -> None:
    later = ScriptDirectory(tomorrows_migrations(tmp_path / "migrations", ends=LAST_RELEASE))

    served = serves(later, TOMORROW)

    assert {TOMORROW, head_revision()} <= set(served)
    assert served == [TOMORROW, *(script.revision for script in reversed(new_migrations()))]


@contextmanager
def reading(url: str, table: str) -> Iterator[PortalReader]:
    """Somebody who reads a table in a transaction that he leaves open until he is stopped."""
    with start_blocking_portal() as portal:
        reader = PortalReader(portal, url)
        try:
            reader.do(f"BEGIN; SELECT count(*) FROM {table}")
            yield reader
        finally:
            reader.close()
