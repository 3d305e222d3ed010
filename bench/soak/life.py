"""What goes on during a soak: syncs, watchers, readers, changes at the sources, kills; each with a seeded chance."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from bench.soak.processes import Process
from bench.soak.sources import WORDS, Source

EXPECTED_ENDS = re.compile(r"^Sync was cancelled by |is going on|The events of this run are no longer kept")
EXPECTED_STATUSES = {
    "cancel": {200, 409},  # It may have ended before.
    "read": {200},
    "old version": {200, 404, 410},  # It may have been pruned.
}


@dataclass
class Life:
    """What the actors share: whom they ask, what they count, and when it is over."""

    seed: int
    apis: list[Process]
    workers: list[Process]
    sources: list[Source]
    client: httpx.AsyncClient
    over: asyncio.Event = field(default_factory=asyncio.Event)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    counts: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    down: set[str] = field(default_factory=set)
    """Names of processes that have been killed and not come back yet, or have just come back."""

    def chance(self, who: str) -> random.Random:
        return random.Random(f"{self.seed}/{who}")

    async def pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)

    async def repeat(self, who: str, act: Callable[[random.Random], Awaitable[None]]) -> None:
        """One actor, until all is over. What breaks is counted, and he goes on."""
        chance = self.chance(who)
        while not self.over.is_set():
            try:
                await act(chance)
            except Exception as error:
                self.unexpected[f"{who.partition(' ')[0]}: {type(error).__name__}: {str(error)[:150]}"] += 1
                await self.pause(1)

    def an_api(self, chance: random.Random) -> Process:
        return chance.choice(self.apis)

    async def ask(self, api: Process, method: str, path: str, expected: str = "read", **options: Any) -> Any:
        """The JSON of an answer; None where it had another status, or the API was killed meanwhile."""
        try:
            answer = await self.client.request(method, f"{api.url}{path}", **options)
        except httpx.TransportError as error:
            self.lost(api, error)
            return None
        self.counts[f"{expected} {answer.status_code}"] += 1
        if answer.status_code not in EXPECTED_STATUSES[expected]:
            self.unexpected[f"{method} {path.partition('?')[0][:40]}: {answer.status_code} {answer.text[:150]}"] += 1
        return answer.json() if answer.status_code == 200 else None

    def lost(self, api: Process, error: httpx.TransportError) -> None:
        """A connection broke: to be expected of an API that is killed now and then, and of no other."""
        if api is self.apis[-1]:
            self.counts["connections cut by kills"] += 1
        else:
            self.unexpected[f"connection to {api.name}: {type(error).__name__}"] += 1


@dataclass
class Watching:
    """A run's stream as one client sees it, over as many connections as it takes."""

    life: Life
    last: str | None = None
    end: str | None = None
    verdict: str | None = None

    def see(self, event: ServerSentEvent) -> None:
        """Every event is the next one of its run."""
        if not event.id:
            self.end = event.event  # No run was started: the answer is one event.
            return
        run, _, seq = event.id.partition(":")
        before, _, last = (self.last or f"{run}:0").partition(":")
        if run == before and int(seq) != int(last) + 1:
            self.life.unexpected[f"watching: event {seq} came after {last}"] += 1
        self.last = event.id
        self.life.counts["events"] += 1
        if event.event != "progress":
            self.end = event.event
            self._judge(json.loads(event.data))

    def _judge(self, data: Any) -> None:
        if self.end == "error" and not EXPECTED_ENDS.search(data["message"]):
            self.life.unexpected[f"run: {data['message'][:150]}"] += 1
        if self.end == "complete":
            self.verdict = data["stats"]["verdict"]["state"]
            self.life.counts[f"verdict {self.verdict}"] += 1

    async def read(self, api: Process, method: str, path: str, *, most: int = 1_000_000) -> None:
        """Reads on, from where it left; until the end, until it has seen enough, or until the connection breaks."""
        headers = {"Last-Event-ID": self.last} if self.last else {}
        try:
            async with aconnect_sse(self.life.client, method, f"{api.url}{path}", headers=headers) as stream:
                if stream.response.status_code != 200:
                    self.end = str(stream.response.status_code)
                    return
                async for event in stream.aiter_sse():
                    self.see(event)
                    most -= 1
                    if self.end or not most:
                        return
        except httpx.TransportError as error:
            self.life.lost(api, error)


async def sync(life: Life, source: Source, chance: random.Random) -> None:
    """A run from start to end, sometimes full, sometimes under a fault, sometimes cancelled."""
    if chance.random() < 0.25:
        await source.misbehave()
    mode = "full" if chance.random() < 0.15 else "incremental"
    watching, path = Watching(life), f"/integrations/sync/{source.integration}"
    cancelling = asyncio.create_task(_cancel(life, path, chance)) if chance.random() < 0.15 else None
    await watching.read(life.an_api(chance), "POST", f"{path}?mode={mode}")
    while watching.end is None and not life.over.is_set():  # The API was killed: somewhere else it goes on.
        await life.pause(0.3)
        await watching.read(life.an_api(chance), "GET", f"{path}/events")
    if cancelling is not None:
        await cancelling
    life.counts[f"sync ended: {watching.end}"] += 1
    await source.behave()
    await life.pause(chance.uniform(0.5, 4))  # Versions are pruned only while no run is going on.


async def _cancel(life: Life, path: str, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, 0.6))
    await life.ask(life.apis[0], "POST", f"{path}/cancel", "cancel")


async def watch(life: Life, chance: random.Random) -> None:
    """Comes, leaves after some events, and comes back to the other API for the rest."""
    path = f"/integrations/sync/{chance.choice(life.sources).integration}/events"
    watching = Watching(life)
    for _ in range(chance.randint(1, 4)):
        await watching.read(life.an_api(chance), "GET", path, most=chance.randint(1, 40))
        if watching.end or life.over.is_set():
            break
        await life.pause(chance.uniform(0, 0.3))
    await life.pause(chance.uniform(0.2, 1.5))


async def read(life: Life, chance: random.Random) -> None:
    """Looks at something: most often a search."""
    api, source = life.an_api(chance), chance.choice(life.sources)
    dataset, words = f"/knowledge/datasets/{source.integration}", chance.sample(WORDS, 2)
    found = await life.ask(api, "GET", f"/knowledge/search?q={words[0]}+{words[1]}&integration={source.integration}")
    if found and found["hits"]:
        number = chance.choice(found["hits"])["number"]
        about = f"/knowledge/incidents/{number}"
        wanted = chance.choice((f"{about}/history?", f"{about}/similar?", f"{about}?"))
        await life.ask(api, "GET", f"{wanted}&integration={source.integration}", "old version")
    listed = await life.ask(api, "GET", f"{dataset}/versions?limit=10")
    versions = [one["number"] for one in (listed or {"versions": []})["versions"] if one["state"] == "published"]
    if len(versions) > 1:
        old, new = sorted(chance.sample(versions, 2))
        await life.ask(api, "GET", f"{dataset}/versions/{new}/diff?base={old}", "old version")
        await life.ask(api, "GET", f"{dataset}/versions/{old}/incidents?limit=50", "old version")
    await life.pause(chance.uniform(0, 0.5))


async def change(life: Life, source: Source, chance: random.Random) -> None:
    await source.change()
    await life.pause(chance.uniform(0.3, 2))


async def kill(life: Life, chance: random.Random) -> None:
    """SIGKILL for one of the two that may be killed; it comes back after a while."""
    await life.pause(chance.uniform(8, 25))
    if life.over.is_set():
        return
    victim = chance.choice((life.apis[-1], life.workers[-1]))
    await asyncio.to_thread(victim.kill)
    life.counts[f"kills of {victim.name}"] += 1
    await asyncio.sleep(chance.uniform(0, 5))
    await asyncio.to_thread(victim.begin)
