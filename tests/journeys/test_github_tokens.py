"""A user's token of a GitHub App ends after eight hours, and its refresh token is good for one use."""

import pytest

from tests.connectors.github.sources import SimulatedGitHub
from tests.journeys.test_matrix import begun
from tests.support.cells import CELLS

pytestmark = pytest.mark.anyio

BY_APP = next(cell for cell in CELLS if cell.name == "GitHub oauth2")


async def test_tokens_that_ended_are_renewed_again_and_again_without_anybody(database_url: str) -> None:
    async with begun(database_url, BY_APP) as journey:
        source = journey.opened.source
        assert isinstance(source, SimulatedGitHub)
        used = set()
        for n in range(3):
            source.create(f"New at the source ({n})")
            stats = await journey.sync("full")
            assert stats["verdict"]["state"] == "complete"
            (token,) = source.instance.tokens.values()
            used.add(token.value)
            token.expires = 0
        assert len(used) == 3


async def test_a_sign_in_that_was_taken_back_is_told_in_words(database_url: str) -> None:
    async with begun(database_url, BY_APP) as journey:
        source = journey.opened.source
        assert isinstance(source, SimulatedGitHub)
        source.instance.tokens.clear()
        source.server.simulator.door.refresh_tokens.clear()

        events = await journey.api.watch("POST", f"/integrations/sync/{journey.integration}")

        assert events[-1].event == "error"
        assert events[-1].json()["message"].startswith("Failed to fetch issues from GitHub: ")
        assert "onnect" in events[-1].json()["message"]
