"""Texts that take long to take apart are stored all the same."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from integrations_api.connectors.records import MappedDocument, Note
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.knowledge import contents
from integrations_api.knowledge.documents import content_of
from integrations_api.knowledge.lexicon import words_of

pytestmark = pytest.mark.anyio


async def test_the_server_does_not_take_a_transaction_for_idle_whose_process_is_at_work(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words_of_slowly(text: str) -> list[str]:
        time.sleep(0.02)
        return words_of(text)

    monkeypatch.setattr(contents, "AWAKE", 0.1)
    monkeypatch.setattr(contents, "words_of", words_of_slowly)
    dataset_id = uuid4()
    many = [content_of(MappedDocument(f"INC{n}", "VPN is down", "", [], {}, None)) for n in range(40)]
    engine = create_engine(database_url, pool_size=1, idle_limit=timedelta(seconds=1))
    async with create_sessions(engine).begin() as session:
        await session.execute(
            text("INSERT INTO datasets (id, service_name) VALUES (:id, 'ServiceNow')"), {"id": dataset_id}
        )

        await contents.keep(session, dataset_id=dataset_id, contents=many)

        assert await session.scalar(text("SELECT count(*) FROM contents")) == 40
    await engine.dispose()


def test_the_hash_of_a_content_is_the_one_that_was_stored_for_it() -> None:
    """With another one, an upgrade would report every incident as changed, and store it anew."""
    notes = [Note(at="2026-03-01T10:00:00Z", author="Ada", kind="comment", text="Rolled back")]
    document = MappedDocument("INC1", "VPN is down", "From home", notes, {"state": "New", "a": 1}, "https://x.example")

    assert content_of(document).hash.hex() == "4d5c83fce5b2e021e939f74144975ce02f115bab67a49428267fdd868fd2a3d9"
