"""Renewing tokens: by one at a time over all processes, stored before they are used, whatever is killed or cut off."""

import asyncio
import os
import signal
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.oauth import AccessTokens
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.oauth import renewal
from integrations_api.oauth.tokens import TokenKeeper
from integrations_api.settings import Settings
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow import Fault, ServiceNowInstance, SimulatorServer
from integrations_api.simulator.servicenow.messages import Call
from tests.support.connecting import Connecting
from tests.support.gates import gate
from tests.support.processes import PATIENCE, as_environment

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).parent / "renewing_child.py"


class HeldToken(Fault):
    """The first answer of the token URL is made, and held back until the test lets it go."""

    name = "held_token"
    default_on = "token"

    def __init__(self) -> None:
        super().__init__(times=1)
        self.is_made = threading.Event()
        self.may_go = threading.Event()

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if self.strikes(call):
            self.is_made.set()
            await asyncio.to_thread(self.may_go.wait, PATIENCE)
        return None


def asked(server: SimulatorServer) -> list[Any]:
    return [entry for entry in server.log.requests if entry.kind == "token"]


@dataclass
class Kept:
    """An integration whose stored token has come to its end."""

    product: Connecting
    integration: str

    async def tokens(self) -> AccessTokens:
        """What a connector would be handed."""
        integrations = self.product.bench.components[IntegrationReader]
        async with self.product.bench.sessions() as session:
            loaded = await integrations.load(session, UUID(self.integration))
        found = self.product.bench.components[TokenKeeper].tokens_for(loaded)
        assert found is not None
        return found

    async def end(self) -> None:
        """The stored access token is to be renewed now."""
        await self.product.bench.change("UPDATE oauth_tokens SET renew_at = now() - CAST(:some AS interval)", some=HOUR)


HOUR = timedelta(hours=1)


@pytest.fixture
async def kept(product: Connecting, servicenow: SimulatorServer) -> Kept:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    made = Kept(product, integration)
    await made.end()
    servicenow.instance.door.expire_tokens()
    servicenow.log.clear()
    return made


async def child(kept: Kept) -> asyncio.subprocess.Process:
    """Another process that wants a token, says `ready`, waits for a line, and prints a hash of what it got."""
    environment = as_environment(kept.product.bench.components[Settings])
    return await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), kept.integration,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=os.environ | environment,
    )  # fmt: skip


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().strip()


async def begin(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    assert await said(process) == "ready"
    process.stdin.write(b"go\n")
    await process.stdin.drain()


async def test_a_token_is_renewed_ahead_of_its_end(kept: Kept, servicenow: SimulatorServer) -> None:
    tokens = await kept.tokens()

    first, second = await tokens.current(), await tokens.current()

    assert first == second
    assert len(asked(servicenow)) == 1


async def test_many_who_want_a_token_at_once_make_one_request(kept: Kept, servicenow: SimulatorServer) -> None:
    several = [await kept.tokens() for _ in range(4)]

    got = await asyncio.gather(*(one.current() for one in several for _ in range(3)))

    assert len(set(got)) == 1
    assert len(asked(servicenow)) == 1


async def test_those_whose_token_was_refused_share_one_renewal(kept: Kept, servicenow: SimulatorServer) -> None:
    several = [await kept.tokens() for _ in range(3)]
    old = [await one.current() for one in several]
    servicenow.instance.door.expire_tokens()
    servicenow.log.clear()

    got = await asyncio.gather(*(one.renewed(old[0]) for one in several))

    assert set(got).isdisjoint(old)
    assert len(set(got)) == len(asked(servicenow)) == 1


async def test_two_processes_that_renew_at_once_make_one_request(kept: Kept, servicenow: SimulatorServer) -> None:
    held = HeldToken()
    servicenow.add_fault(held)
    processes = [await child(kept) for _ in range(2)]
    for process in processes:
        await begin(process)
    await asyncio.to_thread(held.is_made.wait, PATIENCE)
    await one_waits_for_the_lock(kept)

    held.may_go.set()
    got = [await said(process) for process in processes]

    assert [await process.wait() for process in processes] == [0, 0]
    assert got[0] == got[1] != ""
    assert len(asked(servicenow)) == 1


async def one_waits_for_the_lock(kept: Kept) -> None:
    question = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%oauth_tokens%'"
    )
    async with asyncio.timeout(PATIENCE):
        while not await kept.product.bench.rows(question):  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.02)


async def test_after_a_kill_between_question_and_answer_another_process_renews(
    kept: Kept, servicenow: SimulatorServer
) -> None:
    held = HeldToken()
    servicenow.add_fault(held)
    killed = await child(kept)
    await begin(killed)
    await asyncio.to_thread(held.is_made.wait, PATIENCE)

    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    held.may_go.set()
    token = await (await kept.tokens()).current()

    assert servicenow.instance.door.tokens[token].refresh
    assert (await kept.product.sync(kept.integration)).state == "succeeded"


async def test_a_run_that_is_taken_away_leaves_its_renewal_to_end(kept: Kept, servicenow: SimulatorServer) -> None:
    held = HeldToken()
    servicenow.add_fault(held)
    wanted = asyncio.create_task((await kept.tokens()).current())
    await asyncio.to_thread(held.is_made.wait, PATIENCE)

    wanted.cancel()
    held.may_go.set()
    await kept.product.bench.components[TokenKeeper].settle()

    assert await (await kept.tokens()).current() in servicenow.instance.door.tokens
    assert len(asked(servicenow)) == 1


async def test_an_answer_is_stored_though_the_database_was_lost_meanwhile(
    kept: Kept, servicenow: SimulatorServer
) -> None:
    held = HeldToken()
    servicenow.add_fault(held)
    wanted = asyncio.create_task((await kept.tokens()).current())
    await asyncio.to_thread(held.is_made.wait, PATIENCE)

    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    await kept.product.bench.rows(cut + " AND datname = current_database()")
    held.may_go.set()
    token = await wanted

    assert await (await kept.tokens()).current() == token
    assert len(asked(servicenow)) == 1


async def test_an_answer_is_stored_though_the_database_was_lost_before_it_was_committed(
    kept: Kept, servicenow: SimulatorServer, database_url: str
) -> None:
    """A primary that dies while it waits for its standby, say: the statements were answered, and nothing stays."""
    async with gate(database_url, when="true", at="UPDATE ON oauth_tokens") as committing:
        await committing.connection.execute(
            """
            DROP TRIGGER gate ON oauth_tokens;
            CREATE CONSTRAINT TRIGGER gate AFTER UPDATE ON oauth_tokens DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
            """
        )
        wanted = asyncio.create_task((await kept.tokens()).current())
        await committing.reached()
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'"
        await kept.product.bench.rows(cut + " AND datname = current_database()")
        await committing.open()
        token = await wanted

    assert await (await kept.tokens()).current() == token
    assert len(asked(servicenow)) == 1


async def test_a_run_with_the_config_of_before_an_edit_stores_no_tokens(
    kept: Kept, servicenow: SimulatorServer
) -> None:
    old = await kept.tokens()
    await kept.product.edit(kept.integration, client_id="another")

    with pytest.raises(Refused, match="changed in the meantime"):
        await old.current()

    assert asked(servicenow) == []


async def test_who_stands_still_in_a_renewal_loses_the_lock_and_does_not_undo_the_others(
    kept: Kept, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldToken()
    servicenow.add_fault(held)
    with monkeypatch.context() as short:
        short.setattr(renewal, "LOCK_PATIENCE", timedelta(seconds=1))
        standing = asyncio.create_task((await kept.tokens()).current())
        await asyncio.to_thread(held.is_made.wait, PATIENCE)

    other = await (await kept.tokens()).current()
    held.may_go.set()

    assert await standing == other
    (row,) = await kept.product.bench.rows("SELECT generation FROM oauth_tokens")
    assert row.generation == 2  # The sign-in, and one renewal.
