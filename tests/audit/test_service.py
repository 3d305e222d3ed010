"""The record is written with the deed, and says who, how and from where."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access.principal import Principal
from integrations_api.api.current import RequestContext, serving
from integrations_api.audit.models import AuditEntry
from integrations_api.audit.service import record
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.vault.mask import MASK

pytestmark = pytest.mark.anyio

ADA = Principal(user_id=UUID(int=1), email="ada@example.com", permissions=frozenset(), credential="token:7")


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine: AsyncEngine = create_engine(database_url, pool_size=2)
    yield create_sessions(engine)
    await engine.dispose()


async def entries(sessions: Sessions) -> list[AuditEntry]:
    async with sessions() as session:
        return list(await session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


async def test_a_caller_is_recorded_with_his_credential_request_and_address(sessions: Sessions) -> None:
    with serving(RequestContext(request_id="r-1", address="192.0.2.7")):
        async with sessions.begin() as session:
            await record(
                session,
                action="integration.create",
                object_type="integration",
                object_id=UUID(int=2),
                principal=ADA,
                details={"keys": ["url", "password"]},
            )

    (entry,) = await entries(sessions)
    assert (entry.actor_id, entry.actor, entry.credential) == (ADA.user_id, ADA.email, "token:7")
    assert (entry.action, entry.object_type, entry.object_id) == (
        "integration.create",
        "integration",
        str(UUID(int=2)),
    )
    assert (entry.request_id, entry.address) == ("r-1", "192.0.2.7")
    assert entry.details == {"keys": ["url", "password"]}
    assert entry.at.tzinfo is not None


async def test_a_process_is_recorded_by_its_name(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await record(session, action="sync.end", object_type="sync_run", object_id="x", actor="worker")

    (entry,) = await entries(sessions)
    assert (entry.actor, entry.actor_id, entry.credential) == ("worker", None, None)
    assert (entry.request_id, entry.address, entry.details) == (None, None, {})


async def test_a_deed_that_is_rolled_back_leaves_no_record(sessions: Sessions) -> None:
    async with sessions() as session:
        await record(session, action="a", object_type="t", object_id=None, actor="worker")
        await session.rollback()

    assert await entries(sessions) == []


async def test_a_secret_that_slips_into_the_details_is_masked(sessions: Sessions) -> None:
    details = {"config": {"url": "u", "apiKey": "canary"}, "password": "canary"}
    async with sessions.begin() as session:
        await record(session, action="a", object_type="t", object_id=None, actor="worker", details=details)

    (entry,) = await entries(sessions)
    assert entry.details == {"config": {"url": "u", "apiKey": MASK}, "password": MASK}


@pytest.mark.parametrize("who", [{}, {"principal": ADA, "actor": "worker"}])
async def test_there_is_exactly_one_who(sessions: Sessions, who: dict[str, object]) -> None:
    async with sessions() as session:
        with pytest.raises(ValueError, match="either a principal or an actor"):
            await record(session, action="a", object_type="t", object_id=None, **who)  # type: ignore[arg-type]
