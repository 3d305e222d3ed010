"""People who watch syncs, come back when their connection breaks, and notice every event that is missing or doubled."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from httpx_sse import EventSource, ServerSentEvent

PAUSE = 0.2
"""Seconds before a watcher comes back."""

Way = Literal["POST", "GET", "ticket"]


@dataclass
class Watcher:
    """Follows the sync of one integration to its end.

    By POST it starts or joins the run, as the contract's clients do; by GET it needs one that has begun; with a ticket
    it is a browser's EventSource, which can send no header of its own.
    """

    client: httpx.AsyncClient
    integration: str
    way: Way = "GET"
    path: str = ""
    ticket: str = ""
    seen: list[tuple[str, Any]] = field(default_factory=list)
    run_id: str = ""
    breaks: int = 0
    refusals: int = 0
    is_over: bool = False

    async def watch(self) -> None:
        """Returns after the terminal event. Raises AssertionError for an event out of order or an odd answer."""
        while not self.is_over:
            try:
                await self._follow()
            except httpx.TransportError:
                self.breaks += 1
            if not self.is_over:
                await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        method = "POST" if self.way == "POST" else "GET"
        async with self.client.stream(method, self._url(), headers=self._headers(), params=self._query()) as answer:
            if answer.status_code == 503:
                self.refusals += 1
                return
            assert answer.status_code == 200, f"{self} was answered {answer.status_code}"
            async for event in EventSource(answer).aiter_sse():
                if event.data:  # httpx-sse makes an empty event of each ping; a browser does not
                    self._take(event)
        # A stream that ends whole before its last event asks the client to come back.
        self.breaks += not self.is_over

    def _url(self) -> str:
        if self.way == "ticket":
            return f"/integrations/runs/{self.run_id}/events"
        return f"/integrations/sync/{self.integration}" + ("" if self.way == "POST" else "/events")

    def _headers(self) -> dict[str, str]:
        return {"Last-Event-ID": self._last} if self.seen and self.way != "ticket" else {}

    def _query(self) -> dict[str, str]:
        if self.way != "ticket":
            return {}
        return {"ticket": self.ticket, **({"last_event_id": self._last} if self.seen else {})}

    @property
    def _last(self) -> str:
        return f"{self.run_id}:{len(self.seen)}"

    def _take(self, event: ServerSentEvent) -> None:
        run_id, _, seq = event.id.rpartition(":")
        assert run_id, f"{self} was told, outside of any run: {event.data}"
        self.run_id = self.run_id or run_id
        assert run_id == self.run_id, f"{self} was given another run's event, {event.id}"
        told = f"event {seq}, {event.event}: {event.data}"
        assert int(seq) == len(self.seen) + 1, f"{self} was given, after event {len(self.seen)}, {told}"
        assert not self.is_over, f"{self} was given event {seq} after the last one"
        self.seen.append((event.event, json.loads(event.data)))
        self.is_over = event.event in ("complete", "error")

    def __str__(self) -> str:
        return f"a watcher by {self.way} of integration {self.integration}, after {self.breaks} broken connections,"


@dataclass
class Crowd:
    """All watchers, and what they do."""

    watchers: list[Watcher] = field(default_factory=list)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def join(self, watcher: Watcher) -> None:
        self.watchers.append(watcher)
        self.tasks.append(asyncio.create_task(watcher.watch()))

    async def until_all_have_seen_something(self) -> None:
        """Whatever happens in a run: its first event was there before its watchers."""
        await self._until(lambda: all(one.seen for one in self.watchers))

    async def until_events(self, count: int) -> None:
        """So many have arrived, all watchers taken together."""
        await self._until(lambda: self.events >= count)

    async def until_over(self) -> None:
        await asyncio.gather(*self.tasks)

    async def _until(self, condition: Any) -> None:
        while not condition():
            for task in self.tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)

    @property
    def breaks(self) -> int:
        """How often a connection broke, or was ended by a replica that ends."""
        return sum(one.breaks for one in self.watchers)

    @property
    def events(self) -> int:
        """How many have arrived, all watchers taken together."""
        return sum(len(one.seen) for one in self.watchers)

    async def leave(self) -> None:
        """Whoever is still there goes home."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def __str__(self) -> str:
        """How far they are, for who reads that it took too long."""
        states = Counter(
            "are through" if one.is_over else "are in the middle" if one.seen else "have seen nothing"
            for one in self.watchers
        )
        told = [f"{count} {state}" for state, count in states.items()]
        return (
            f"of {len(self.watchers)} watchers {', '.join(told)}; {self.events} events, "
            f"{self.breaks} broken connections"
        )
