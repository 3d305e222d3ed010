"""Writes pages while the next ones are being read and mapped: the source, this process and PostgreSQL work at once.

Contents need no order and are written as soon as a page is mapped; the pages themselves are committed one after the
other, each with its cursor. A crash loses what was not committed, and the next attempt reads it again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from integrations_api.connectors.records import Page
from integrations_api.knowledge.documents import Content
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.intake import Intake

DEPTH = 1
"""Pages that may be on their way into the database while another one is mapped. Bounds the memory of a run: two were
30 MiB more, and a twentieth faster.
"""

KeepContents = Callable[[Sequence[Content]], Awaitable[None]]
KeepPage = Callable[[Page, Intake], Awaitable[list[LoggedEvent]]]
Writing = asyncio.Task[list[LoggedEvent]]


class PageWriter:
    """Use it as an async context manager: what is on its way when that is left goes no further."""

    def __init__(self, *, keep_contents: KeepContents, keep_page: KeepPage) -> None:
        self._keep_contents = keep_contents
        self._keep_page = keep_page
        self._writing: deque[Writing] = deque()

    async def __aenter__(self) -> "PageWriter":
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def put(self, page: Page, intake: Intake) -> list[LoggedEvent]:
        """Begins to write a page; returns the events of an earlier one when there are too many on their way."""
        before = self._writing[-1] if self._writing else None
        self._writing.append(asyncio.create_task(self._write(page, intake, before)))
        return await self._oldest() if len(self._writing) > DEPTH else []

    async def drain(self) -> list[LoggedEvent]:
        """Waits until everything is written; returns the events."""
        told: list[LoggedEvent] = []
        while self._writing:
            told += await self._oldest()
        return told

    async def _oldest(self) -> list[LoggedEvent]:
        told = await self._writing[0]
        self._writing.popleft()
        return told

    async def _write(self, page: Page, intake: Intake, before: Writing | None) -> list[LoggedEvent]:
        await self._keep_contents(intake.contents)
        if before is not None:
            await asyncio.wait({before})
            before.result()  # What stopped that page stops this one.
        return await self._keep_page(page, intake)
