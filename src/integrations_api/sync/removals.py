"""Which documents have vanished at the source: candidates first, then each one confirmed."""

from collections.abc import Awaitable, Callable, Mapping

from integrations_api.connectors.merge import in_chunks
from integrations_api.connectors.protocol import Connector
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import staging
from integrations_api.sync.models import SyncRun

Gone = list[tuple[str, str]]
"""(external id, reason) of each document that is no longer there."""
Tell = Callable[[int, int], Awaitable[None]]
"""Told how many candidates were asked for, and of how many."""

AT_ONCE = 200
"""Candidates asked for before that is told: some sources want several requests for each, and there may be thousands."""


async def find_gone(sessions: Sessions, *, run: SyncRun, connector: Connector, tell: Tell) -> Gone:
    """A full run asks for every live document it did not see; an incremental one follows the delete log.

    Both ask for the records that are only tried again: one that was rejected and has vanished must not stay.
    """
    suspects = await _suspects(sessions, run=run, connector=connector)
    gone: Gone = []
    asked = 0
    for some in in_chunks(list(suspects), AT_ONCE):
        if asked:
            await tell(asked, len(suspects))
        found = await connector.confirm_gone({external_id: suspects[external_id] for external_id in some})
        gone.extend((one.external_id, one.reason) for one in found)
        asked += len(some)
    return gone


async def _suspects(sessions: Sessions, *, run: SyncRun, connector: Connector) -> Mapping[str, str]:
    """External ids, each with the number it was last known by; empty for what was never mapped."""
    named = await _candidates(sessions, run=run, connector=connector)
    async with sessions() as session:
        candidates = dict.fromkeys([*named, *await staging.unread_rejections(session, run.id)])
        if not candidates:
            return {}
        numbers = await staging.numbers_of(session, dataset_id=run.dataset_id, external_ids=list(candidates))
    return {external_id: numbers.get(external_id, "") for external_id in candidates}


async def _candidates(sessions: Sessions, *, run: SyncRun, connector: Connector) -> list[str]:
    if run.mode == "full":
        async with sessions() as session:
            return await staging.unseen_documents(
                session, run_id=run.id, dataset_id=run.dataset_id, created_until=run.source_started_at
            )
    if run.reads_from is None:
        return []
    logged = await connector.deleted_since(run.reads_from)
    if not logged:
        return []
    async with sessions() as session:
        return list(await staging.numbers_of(session, dataset_id=run.dataset_id, external_ids=logged))
