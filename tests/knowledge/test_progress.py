"""How far a dataset is embedded, when many ask and it takes long to count."""

import asyncio
from typing import Any

import pytest

from integrations_api.db.engine import Sessions
from integrations_api.knowledge import service
from integrations_api.knowledge.service import KnowledgeService
from tests.support.knowledge import build_versions, doc

pytestmark = pytest.mark.anyio


async def test_what_takes_long_to_count_is_counted_once_for_all_who_ask_meanwhile_and_for_a_while(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, counted = 1.2, 0

    async def slowly(*_: Any) -> None:
        nonlocal counted
        counted += 1
        await asyncio.sleep(seconds)

    monkeypatch.setattr(service, "progress", slowly)
    knowledge = KnowledgeService(sessions=sessions)
    one, other = [(await build_versions(sessions, {"INC1": doc()})).dataset_id for _ in range(2)]

    await asyncio.gather(*(knowledge.dataset(one) for _ in range(12)))
    await knowledge.dataset(one)
    of_one = counted
    seconds = 0
    for _ in range(3):
        await knowledge.dataset(other)

    assert (of_one, counted) == (1, 4)
