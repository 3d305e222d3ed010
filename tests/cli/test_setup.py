"""What the commands share: the database that cannot be used is said in one sentence."""

import asyncpg
import pytest

from integrations_api.cli.setup import database_trouble
from integrations_api.errors import Unavailable


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
