"""How long things are kept: a daily look at each dataset, by one worker of all, in short transactions."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.audit import service as audit
from integrations_api.clock import Clock
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import datasets, pruning
from integrations_api.knowledge.pruning import Claimed, Place, Removed
from integrations_api.logs import get_logger

log = get_logger(__name__)

EVERY = timedelta(days=1)
"""How often a dataset is looked after."""


class Keep(Struct, frozen=True):
    """What is kept: so many versions (None: all), raw records for so long (None: for ever).

    Settled rejections stay as long as the event log of the run that had them. A failed run may be resumed for
    `resumable`; until then everything it has made stays.
    """

    versions: int | None
    raw: timedelta | None
    rejections: timedelta
    resumable: timedelta


class _Interrupted(Exception):
    """A run has begun: the dataset is its own."""


Step = Callable[[AsyncSession, str], Awaitable[Removed]]


class _Look(Struct):
    """One look after a dataset: where it stands, and how many rows it has removed."""

    dataset_id: UUID
    place: Place | None
    removed: Counter[str]


class Retention:
    """Prunes every dataset once a day. What was done twice, or by halves, does no harm."""

    def __init__(self, *, sessions: Sessions, clock: Clock, keep: Keep) -> None:
        self._sessions = sessions
        self._clock = clock
        self._keep = keep

    async def prune(self) -> None:
        """Looks after each dataset whose day has come and that no run is busy with."""
        while (claimed := await self._claim()) is not None:
            await self._look_after(_Look(claimed.dataset_id, claimed.place, Counter()))

    async def _claim(self) -> Claimed | None:
        now = self._clock()
        async with self._sessions.begin() as session:
            return await pruning.claim_dataset(session, now=now, before=now - EVERY)

    async def _look_after(self, look: _Look) -> None:
        """Goes on where a run has ended the last look: a large dataset that is synced often is never quiet for long."""
        try:
            await self._versions(look.dataset_id)
            for name, step in _from(look.place, await self._steps(look.dataset_id)):
                await self._walk(look, name, step)
        except _Interrupted:
            await self._put_off(look)
        except asyncio.CancelledError:  # This worker is to end: another goes on, and not only tomorrow.
            await self._put_off(look)
            raise
        finally:
            await self._tell(look)

    async def _put_off(self, look: _Look) -> None:
        async with self._sessions.begin() as session:
            await pruning.put_off(session, look.dataset_id, place=look.place)

    async def _versions(self, dataset_id: UUID) -> None:
        """Decides which versions go, and writes it down; what they alone need goes after that."""
        if self._keep.versions is None:
            return
        async with self._sessions.begin() as session:
            await _only_while_quiet(session, dataset_id)
            pruned = await pruning.prune_versions(session, dataset_id, keep=self._keep.versions)
            if pruned:
                details = {"versions": len(pruned), "from": pruned[0], "to": pruned[-1], "keep": self._keep.versions}
                await _record(session, dataset_id, details)

    async def _steps(self, dataset_id: UUID) -> list[tuple[str, Step]]:
        """What there is to walk through, in order: contents go when the revisions that named them have gone."""
        async with self._sessions() as session:
            has_pruned = await pruning.has_pruned_versions(session, dataset_id)
        steps = self._steps_of_versions(dataset_id) if has_pruned else []
        return steps + self._steps_of_leftovers(dataset_id)

    def _steps_of_versions(self, dataset_id: UUID) -> list[tuple[str, Step]]:
        return [
            ("revisions", lambda session, after: pruning.prune_revisions(session, dataset_id, after)),
            ("term_counts", lambda session, after: pruning.prune_terms(session, dataset_id, after)),
        ]

    def _steps_of_leftovers(self, dataset_id: UUID) -> list[tuple[str, Step]]:
        now, keep = self._clock(), self._keep
        failed = now - keep.resumable
        settled = now - min(keep.rejections, keep.raw or keep.rejections)
        steps: list[tuple[str, Step]] = [
            ("documents", lambda s, after: pruning.prune_documents(s, dataset_id, after, failed_since=failed)),
            ("contents", lambda s, after: pruning.prune_contents(s, dataset_id, after, failed_since=failed)),
            ("rejected_records", lambda s, _: pruning.prune_rejected(s, dataset_id, before=settled)),
        ]
        if keep.raw is not None:
            old = now - keep.raw
            steps.append(
                ("raw_records", lambda s, _: pruning.prune_raw(s, dataset_id, before=old, failed_before=failed))
            )
        return steps

    async def _walk(self, look: _Look, name: str, step: Step) -> None:
        after: str | None = look.place.after if look.place is not None and look.place.step == name else ""
        while after is not None:
            look.place = Place(name, after)
            async with self._sessions.begin() as session:
                await _only_while_quiet(session, look.dataset_id)
                done = await step(session, after)
            look.removed[name] += done.rows
            after = done.after

    async def _tell(self, look: _Look) -> None:
        counts = {name: rows for name, rows in look.removed.items() if rows}
        if not counts:
            return
        log.info("knowledge.pruned", dataset_id=str(look.dataset_id), **counts)
        async with self._sessions.begin() as session:
            await _record(session, look.dataset_id, counts)


def _from(place: Place | None, steps: list[tuple[str, Step]]) -> list[tuple[str, Step]]:
    """The steps from a place on; all of them where its step is not among them any more."""
    names = [name for name, _ in steps]
    return steps[names.index(place.step) :] if place is not None and place.step in names else steps


async def _only_while_quiet(session: AsyncSession, dataset_id: UUID) -> None:
    """Takes the dataset's lock. A run that begins meanwhile waits for this transaction, and ends the walk."""
    if await datasets.run_after_lock(session, dataset_id) is not None:
        raise _Interrupted


async def _record(session: AsyncSession, dataset_id: UUID, details: dict[str, int]) -> None:
    await audit.record(
        session,
        action="knowledge.prune",
        object_type="dataset",
        object_id=dataset_id,
        actor=audit.WORKER,
        details=details,
    )
