"""A simulated source over its control plane: what happens to it, how it misbehaves, and what it holds in the end."""

import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from integrations_api.simulator.servicenow.incidents import JournalEntry
from integrations_api.simulator.servicenow.table import Row
from tests.support.matrix import Listing, said_by

WORDS = ("mail", "printer", "network", "login", "slow", "broken", "outage", "disk", "password", "screen", "café", "VPN")
MOST_GONE = 15
FAULTS: tuple[dict[str, Any], ...] = (
    {"name": "server_error", "status": 502, "times": 2},
    {"name": "rate_limited", "times": 1},
    {"name": "truncated_json", "times": 1, "skip": 1},
    {"name": "reset_mid_body", "times": 1, "skip": 2},
    {"name": "accepted_202", "times": 1},
    {"name": "latency", "milliseconds": 150, "times": 20},
)
COLUMNS = (
    "sys_id", "number", "short_description", "description", "cause", "close_notes", "state", "priority", "assigned_to",
    "sys_updated_on",
)  # fmt: skip


@dataclass
class Source:
    """Its incidents are changed, deleted and brought back, so that there are always about as many."""

    url: str
    chance: random.Random
    client: httpx.AsyncClient
    integration: str = ""
    living: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    changes: int = 0

    async def prepare(self) -> None:
        """Gives the user of the integration every role that a sync needs."""
        for role in ("delete_log_reader", "archive_reader", "journal_reader"):
            await self._do("grant", role=role)
        self.living = await self._do("sys_ids")

    async def change(self) -> None:
        """Some updates; a deletion, or a return."""
        for sys_id in self.chance.sample(self.living, self.chance.randint(1, 6)):
            title = " ".join(self.chance.choices(WORDS, k=4))
            await self._do(
                "update", sys_id=sys_id, changes={"short_description": title, "priority": self.chance.choice("12345")}
            )
        if len(self.gone) < MOST_GONE and self.chance.random() < 0.5:
            self.gone.append(self.living.pop(self.chance.randrange(len(self.living))))
            await self._do("delete", sys_id=self.gone[-1])
        elif self.gone:
            self.living.append(self.gone.pop(0))
            await self._do("undelete", sys_id=self.living[-1])
            # As it was, no incremental sync could see it: the verdict would be short until the next full one.
            await self._do("update", sys_id=self.living[-1], changes={"state": "2"})
        self.changes += 1

    async def misbehave(self) -> None:
        answer = await self.client.post(f"{self.url}/__simulator__/faults", json=self.chance.choice(FAULTS))
        answer.raise_for_status()

    async def behave(self) -> None:
        (await self.client.delete(f"{self.url}/__simulator__/faults")).raise_for_status()
        (await self.client.delete(f"{self.url}/__simulator__/requests")).raise_for_status()

    async def listing(self) -> Listing:
        """What it holds, said as the product should say it."""
        found = {}
        for values in await self._do("listing", fields=COLUMNS):
            row = Row(values)
            row.added_journal = tuple(JournalEntry(*entry) for entry in await self._do("journal", sys_id=row.sys_id))
            found[row.sys_id] = said_by(row)
        return found

    async def _do(self, operation: str, **arguments: Any) -> Any:
        answer = await self.client.post(f"{self.url}/__simulator__/do/{operation}", json=arguments)
        answer.raise_for_status()
        return answer.json()["result"]
