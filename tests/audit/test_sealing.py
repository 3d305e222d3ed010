"""Entries are sealed in batches that hang together; whatever is changed afterwards is named."""

import hashlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.audit import sealing as module
from integrations_api.audit.merkle import root_of
from integrations_api.audit.sealing import AuditSealer
from integrations_api.audit.service import record
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.vault.cipher import Vault
from integrations_api.vault.keys import KeyRing, generate_key

pytestmark = pytest.mark.anyio

KEY, OTHER = generate_key(), generate_key()


class Record:
    """An audit of ten entries in five seals, and somebody with all rights on the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.sessions: Sessions = create_sessions(engine)

    def sealer(self, *keys: str) -> AuditSealer:
        return AuditSealer(sessions=self.sessions, vault=Vault(KeyRing.parse(",".join(keys or (KEY,)))))

    async def write(self, count: int) -> None:
        for n in range(count):
            async with self.sessions.begin() as session:
                await record(session, action=f"deed.{n}", object_type="t", object_id=None, actor="worker")

    async def tamper(self, *statements: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))  # Past the triggers.
            for statement in statements:
                await connection.execute(text(statement))

    async def flaw(self, *keys: str) -> str | None:
        return (await self.sealer(*keys).verify()).flaw


@pytest.fixture
async def audit(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Record]:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "_SEALS_AT_ONCE", 2)
    engine = create_engine(database_url, pool_size=3)
    made = Record(engine)
    await made.write(10)
    await made.sealer().seal()
    yield made
    await engine.dispose()


async def test_what_nobody_touched_fits(audit: Record) -> None:
    await audit.write(1)

    seen = await audit.sealer().verify()

    assert (seen.seals, seen.entries, seen.waiting, seen.unproven, seen.flaw) == (5, 10, 1, 0, None)


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'somebody else'",
        "at = at + interval '1 microsecond'",
        "details = '{\"x\": 1}'",
        "address = '192.0.2.1'",
        "request_id = ''",
        "actor_id = gen_random_uuid()",
        "credential = 'token:1'",
        "action = 'deed.99'",
        "object_id = ''",
        "object_type = ''",
    ],
)
async def test_a_changed_entry_is_named(audit: Record, change: str) -> None:
    await audit.tamper(f"UPDATE audit_entries SET {change} WHERE id = 7")

    flaw = await audit.flaw()

    assert flaw is not None
    assert flaw.startswith("entry 7 was changed after it was sealed")


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("DELETE FROM audit_entries WHERE id = 3", "entry 3 is missing"),
        ("DELETE FROM audit_entries WHERE id = 3; UPDATE audit_entries SET id = 3 WHERE id = 9", "entry 3 was changed"),
        ("DELETE FROM audit_seals WHERE number = 2", "seal 2 is missing"),
        ("UPDATE audit_seals SET leaves = leaves || leaves WHERE number = 2", "seal 2 was changed"),
        # An inner node of the tree in the place of what is under it has the same root.
        ("UPDATE audit_seals SET leaves = root WHERE number = 2", "seal 2 was changed"),
        ("UPDATE audit_seals SET root = sha256('x') WHERE number = 2", "seal 2 was not made with the key"),
        ("UPDATE audit_seals SET key_id = 'another' WHERE number = 2", "seal 3 does not follow"),
        ("UPDATE audit_seals SET mac = sha256('x') WHERE number = 2", "seal 2 was not made with the key"),
        ("UPDATE audit_seals SET entry_ids = '{3,5}' WHERE number = 2", "seal 2 was not made with the key"),
        ("UPDATE audit_seals SET sealed_at = now() WHERE number = 2", "seal 2 was not made with the key"),
        ("UPDATE audit_seals SET previous = sha256('x') WHERE number = 2", "seal 2 does not follow"),
        (
            "INSERT INTO audit_entries (actor, action, object_type) VALUES ('x', 'x', 'x')",
            "entry 11 is in no seal",
        ),
        (
            "DELETE FROM audit_seals WHERE number = 2; UPDATE audit_seals SET number = number - 1 WHERE number > 2",
            "seal 2 does not follow",
        ),
    ],
)
async def test_whatever_else_is_changed_is_named(audit: Record, statement: str, flaw: str) -> None:
    await audit.tamper(*statement.split(";"))

    found = await audit.flaw()

    assert found is not None
    assert found.startswith(flaw)


async def test_a_seal_of_another_key_does_not_pass(audit: Record) -> None:
    forged = KEY.partition(":")[0] + ":" + OTHER.partition(":")[2]

    assert "seal 1 was not made with the key" in (await audit.flaw(forged) or "")


async def test_after_a_change_of_keys_later_seals_vouch_for_earlier_ones(audit: Record) -> None:
    without_the_key = await audit.flaw(OTHER)
    await audit.write(1)
    await audit.sealer(OTHER).seal()

    seen = await audit.sealer(OTHER).verify()

    assert without_the_key == f"seal 5 needs the encryption key {KEY.partition(':')[0]}: add it to ENCRYPTION_KEYS"
    assert (seen.seals, seen.unproven, seen.flaw) == (6, 5, None)


async def test_a_seal_whose_key_is_not_given_is_tied_to_the_next_with_its_mac(audit: Record) -> None:
    await audit.tamper("UPDATE audit_seals SET mac = sha256('x') WHERE number = 2")

    assert "seal 3 does not follow from the one before" in (await audit.flaw(OTHER) or "")


async def test_a_chain_that_was_written_anew_under_a_made_up_key_shows_as_seals_that_need_one(audit: Record) -> None:
    await audit.tamper(
        "DELETE FROM audit_seals",
        "UPDATE audit_entries SET actor = 'somebody else' WHERE id = 7",
        "INSERT INTO audit_unsealed SELECT id FROM audit_entries",
    )
    await audit.sealer(generate_key()).seal()
    await audit.write(1)
    await audit.sealer().seal()

    seen = await audit.sealer().verify()

    assert (seen.seals, seen.unproven) == (6, 5)


async def test_the_search_for_what_is_in_no_seal_does_not_go_through_all_seals_for_each_entry(audit: Record) -> None:
    await audit.tamper(
        "INSERT INTO audit_seals SELECT n, now(), ARRAY[n], '', '', '', '', '' FROM generate_series(6, 999) n"
    )

    async with audit.engine.connect() as connection:
        await connection.execute(text("SET LOCAL work_mem TO '64kB'"))  # With it a thousand are many.
        plan = (await connection.scalars(text(f"EXPLAIN {module.NEVER_SEALED}"))).all()

    assert not [line for line in plan if "SubPlan" in line]


async def test_an_entry_that_commits_late_is_in_the_next_seal(audit: Record) -> None:
    async with audit.sessions() as late:
        await record(late, action="late", object_type="t", object_id=None, actor="worker")
        await audit.write(1)
        await audit.sealer().seal()
        await late.commit()
    await audit.sealer().seal()

    seen = await audit.sealer().verify()

    assert (seen.entries, seen.waiting, seen.flaw) == (12, 0, None)


async def test_while_one_seals_another_does_not(audit: Record) -> None:
    await audit.write(1)
    async with audit.engine.connect() as connection:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({module._SEALING_LOCK})"))
        await audit.sealer().seal()
        held = (await audit.sealer().verify()).waiting
    await audit.sealer().seal()

    assert (held, (await audit.sealer().verify()).waiting) == (1, 0)


def test_no_two_lists_of_leaves_have_the_same_root() -> None:
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(6)]
    lists = [leaves[:n] for n in range(1, 7)] + [leaves[1:], leaves[::-1], [*leaves, leaves[-1]]]

    assert len({root_of(one) for one in lists}) == len(lists)
