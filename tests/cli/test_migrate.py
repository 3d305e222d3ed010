"""`migrate`, and commands that meet a database which is not as they need it."""

import asyncio
import socket

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from integrations_api.cli.setup import migrate_database
from integrations_api.db.compatibility import RELEASES
from integrations_api.db.migrations import pending, upgrade
from integrations_api.errors import ConfigurationError
from tests.cli.conftest import Run, use_database
from tests.support.databases import plain_url

LAST_RELEASE = list(RELEASES)[-1]


def test_an_empty_database_is_refused_until_it_is_migrated(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_database(monkeypatch, empty_database_url)

    refusals = [run(*command) for command in (("migrate", "--check"), ("users", "list"), ("serve", "--port", "0"))]
    migrated = run("migrate")
    checked = run("migrate", "--check")

    assert {refused.code for refused in refusals} == {1}
    for refused in refusals:
        assert refused.complaint.endswith("run `integrations-api migrate`")
    assert (migrated.code, checked.code) == (0, 0)
    assert checked.out == migrated.out
    assert run("users", "list").code == 0


def test_migrating_twice_is_fine(run: Run, on_database: str) -> None:
    assert run("migrate").code == 0
    assert run("migrate").code == 0


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("worker",), ("migrate",), ("users", "list")])
def test_a_database_that_is_away_is_one_line_without_the_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    use_database(monkeypatch, f"postgresql://ada:canary-7361@127.0.0.1:{port}/nothing")

    refused = run(*command)

    assert refused.code == 1
    assert refused.complaint.startswith("integrations-api: The database cannot be used (")
    assert "canary-7361" not in refused.err + refused.out


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1:port", "[::1", "no.invalid", "127.0.0.1:99999", "127.0.0.1:1/x?sslmode=never"]
)
def test_an_address_of_no_database_is_refused_without_the_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, host: str, level: str
) -> None:
    use_database(monkeypatch, f"postgresql://ada:canary-7361@{host}/nothing?password=canary-7361")
    monkeypatch.setenv("LOG_LEVEL", level)

    refused = run("migrate")

    assert refused.code == 1
    assert "canary-7361" not in refused.err + refused.out


def test_a_database_that_does_not_exist_is_named(run: Run, on_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = make_url(on_database).set(database="no_such_database").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", gone)

    refused = run("migrate")

    assert refused.code == 1
    assert 'database "no_such_database" does not exist' in refused.complaint


def test_the_database_of_a_later_release_that_serves_this_one_is_fine_and_left_alone(
    run: Run, on_database: str
) -> None:
    change(on_database, "UPDATE alembic_version SET version_num = '29991231_later'")

    checked, migrated = run("migrate", "--check"), run("migrate")

    assert (checked.code, migrated.code) == (0, 0)
    assert checked.out == "The schema is at 29991231_later, of a later release, which serves this one\n"
    assert run("users", "list").code == 0


def test_what_every_start_does_with_the_bundled_database_leaves_that_of_a_later_release_as_it_is(
    database_url: str,
) -> None:
    change(database_url, "UPDATE alembic_version SET version_num = '29991231_later'")
    migrate_database(database_url)

    change(database_url, "DELETE FROM schema_serves")
    with pytest.raises(ConfigurationError, match=r"'29991231_later'.*run that one"):
        migrate_database(database_url)


@pytest.mark.parametrize("command", [("migrate",), ("migrate", "--check"), ("serve", "--port", "0"), ("users", "list")])
def test_the_database_of_a_later_release_that_took_something_away_is_left_alone(
    run: Run, on_database: str, command: tuple[str, ...]
) -> None:
    change(on_database, "UPDATE alembic_version SET version_num = '29991231_later'")
    change(on_database, "DELETE FROM schema_serves")

    refused = run(*command)

    assert refused.code == 1
    assert "29991231_later" in refused.complaint
    assert "run that release" in refused.complaint


def test_checking_lists_what_waits(run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_database(monkeypatch, empty_database_url)
    upgrade(empty_database_url, LAST_RELEASE)

    checked = run("migrate", "--check")

    assert checked.code == 1
    assert [line.partition(": ")[0] for line in checked.out.splitlines()] == [
        script.revision for script in pending(LAST_RELEASE)
    ]
    assert checked.complaint.endswith("run `integrations-api migrate`")


def change(url: str, statement: str) -> None:
    async def once() -> None:
        connection = await asyncpg.connect(plain_url(url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(once())
