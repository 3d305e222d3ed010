"""A browser's EventSource (under Node) watches a run: with a ticket, over broken connections, until told to stop."""

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.browsers import Browser, Relay, browser, install, relay
from tests.support.gates import gate
from tests.support.served import Served, served
from tests.support.syncing import PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def modules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """npm's packages, kept beside pytest's own cache."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    return install(cache.mkdir("npm") if cache else tmp_path_factory.mktemp("npm"))


async def _ticketed(api: Served, run_id: UUID) -> str:
    """The path a page opens: with a ticket, for an EventSource sends no header of its own."""
    answer = await api.client.post(f"/integrations/runs/{run_id}/ticket")
    return f"/integrations/runs/{run_id}/events?ticket={answer.json()['ticket']}"


async def _logged(b: Bench, run_id: UUID) -> list[dict[str, Any]]:
    events = await b.events(run_id)
    return [{"event": name, "id": f"{run_id}:{i}", "data": data} for i, (name, data) in enumerate(events, 1)]


def _resumed_after(passed: Relay) -> list[str]:
    """The `Last-Event-ID` of each request, empty where there is none."""
    heads = passed.asked.split("\r\n\r\n")[:-1]
    return ["".join(re.findall(r"(?mi)^last-event-id: (\S+)", head)) for head in heads]


async def _stays_away(page: Browser) -> bool:
    """The end of the page: told 204, and nothing left that it waits for."""
    return await page.end() == 0 and page.seen[-1] == {"event": "closed", "code": 204}


async def test_a_browser_with_a_ticket_follows_a_run_to_its_end_and_stays_away(
    database_url: str, modules: Path
) -> None:
    async with bench(database_url) as b, served(b) as api, relay(api.url) as passed:
        b.source.fill(300)
        b.source.gate = asyncio.Event()
        run_id = await b.start(await b.integration())
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        async with browser(passed.url + await _ticketed(api, run_id), modules) as page:
            await page.until("progress")

            b.source.gate.set()

            assert await _stays_away(page)
            assert page.told == await _logged(b, run_id)
            assert page.told[-1]["event"] == "complete"
            assert _resumed_after(passed) == ["", page.told[-1]["id"]]


async def test_a_browser_whose_connection_breaks_comes_back_and_misses_and_repeats_nothing(
    database_url: str, modules: Path
) -> None:
    async with bench(database_url, sync_chunk_size=20) as b, served(b) as api, relay(api.url) as passed:
        b.source.fill(300)
        async with gate(database_url, when="NEW.ingested >= 100 AND OLD.ingested < 100") as closed:
            run_id = await b.start(await b.integration())
            await closed.reached()
            async with browser(passed.url + await _ticketed(api, run_id), modules) as page:
                await page.until("progress", 10)

                passed.cut_after = 3000  # of the next connection: in the middle of an event
                passed.cut()
                await page.until("lost")
                await closed.open()

                assert await _stays_away(page)
                assert page.told == await _logged(b, run_id)
                assert [one["event"] for one in page.seen if "data" not in one].count("lost") == 3
                assert _resumed_after(passed)[-1] == page.told[-1]["id"]
                assert set(_resumed_after(passed)[1:]) <= {one["id"] for one in page.told}


async def test_a_browser_without_a_good_ticket_is_refused_and_does_not_try_again(
    database_url: str, modules: Path
) -> None:
    async with bench(database_url, workers=0) as b, served(b) as api:
        run_id = await b.start(await b.integration())
        async with browser(f"{api.url}/integrations/runs/{run_id}/events?ticket=iat_guessed", modules) as page:
            assert await page.end() == 0
            assert page.seen == [{"event": "closed", "code": 401}]
