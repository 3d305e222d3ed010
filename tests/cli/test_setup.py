"""What the commands share: the database that cannot be used is said in one sentence."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from integrations_api.cli.setup import database_trouble, trouble_later
from integrations_api.errors import Unavailable
from tests.cli.conftest import Run, use_database
from tests.support.databases import plain_url


@pytest.mark.parametrize(
    "lost",
    [
        ConnectionResetError("Connection reset by peer"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.InternalClientError("cannot switch to state 12"),
    ],
    ids=lambda lost: type(lost).__name__,
)
def test_however_the_database_goes_away_it_is_said_in_one_sentence(lost: Exception) -> None:
    with (
        pytest.raises(Unavailable, match=rf"^The database cannot be used \({lost}\): is it running") as said,
        database_trouble(),
    ):
        raise lost
    assert said.value.__cause__ is None


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (asyncpg.ConnectionDoesNotExistError("cut"), "The database cannot be used (cut): is it running"),
        (ConnectionRefusedError("nobody"), "The database cannot be used (nobody): is it running"),
        (asyncpg.ReadOnlySQLTransactionError("no"), "The database can only be read (no): does DATABASE_URL name"),
        (asyncpg.UndefinedTableError("a defect"), None),
        (OSError(28, "No space left for what is printed"), None),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_what_comes_in_the_middle_of_a_command_is_told_too_and_no_defect_is_blamed_on_the_database(
    trouble: Exception, said: str | None
) -> None:
    told = trouble_later(trouble)

    assert (told or "")[: len(said or "")] == (said or "")
    assert (told is None) == (said is None)


def test_of_a_silent_database_is_said_that_it_does_not_answer() -> None:
    with (
        pytest.raises(Unavailable, match=r"^The database cannot be used \(no answer in time\): is it running"),
        database_trouble(),
    ):
        raise TimeoutError


def change(url: str, statements: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(plain_url(url))
        await connection.execute(statements)
        await connection.close()

    asyncio.run(execute())


@pytest.fixture
def guest(database_url: str) -> Iterator[str]:
    """The database as a role sees it that may only ask for its version."""
    name = f"guest_{uuid4().hex[:8]}"
    change(database_url, f"CREATE ROLE {name} NOLOGIN; GRANT SELECT ON alembic_version, schema_serves TO {name}")
    yield make_url(database_url).update_query_dict({"role": name}).render_as_string(hide_password=False)
    change(database_url, f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("command", [("users", "list"), ("worker",)], ids=" ".join)
def test_a_user_without_rights_is_sent_to_the_doctor(
    run: Run, guest: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    use_database(monkeypatch, guest)

    refused = run(*command)

    assert refused.code == 1
    assert refused.complaint.startswith("integrations-api: The database refuses this user a right (permission denied ")
    assert refused.complaint.endswith("`integrations-api doctor` says what it needs")
