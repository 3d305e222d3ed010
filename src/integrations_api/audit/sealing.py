"""Sealing the audit in the background, and finding what does not fit its seals. docs/decisions/audit-seals.md."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.audit.merkle import BEFORE_THE_FIRST, leaf_of, link_to, root_of, signed_part, split_leaves
from integrations_api.audit.models import AuditEntry, AuditSeal, UnsealedEntry
from integrations_api.clock import Clock, utc_now
from integrations_api.db.engine import Sessions
from integrations_api.logs import get_logger
from integrations_api.vault.cipher import Vault
from integrations_api.vault.errors import UnknownKey

log = get_logger(__name__)

BATCH = 2000
"""Entries in one seal at most, and about as many as are read at once to verify seals."""
_SEALS_AT_ONCE = 100
_PURPOSE = "audit seals"
_SEALING_LOCK = 7_215_003


_Entries = Mapping[int, AuditEntry]
"""By their ids."""


class Verified(Struct, frozen=True):
    """What a verification saw; `flaw` names the first thing that does not fit."""

    seals: int
    entries: int
    waiting: int
    last_link: str
    """Of the last seal: written down elsewhere, it shows later that no seal was taken off the end."""
    unproven: int
    """Seals whose key is not among ENCRYPTION_KEYS any more; the chain still ties them to later ones."""
    flaw: str | None


class AuditSealer:
    """Seals what is there; one process at a time."""

    def __init__(self, *, sessions: Sessions, vault: Vault, clock: Clock = utc_now) -> None:
        self._sessions = sessions
        self._vault = vault
        self._clock = clock

    async def seal(self) -> None:
        """Seals all that waits, in batches; nothing if another process is doing it."""
        while await self._seal_some():
            pass

    async def verify(self) -> Verified:
        """Reads every seal and every entry, and stops at the first that does not fit."""
        walk = _Walk(self._vault)
        async for seal, entries in self._seals():
            if walk.flaw_of(seal, entries) is not None:
                break
        async with self._sessions() as session:
            waiting = await session.scalar(select(func.count()).select_from(UnsealedEntry)) or 0
            flaw = walk.flaw or walk.end_flaw or await _never_sealed(session)
        return Verified(walk.number, walk.entries, waiting, walk.link.hex(), walk.unproven, flaw)

    async def _seal_some(self) -> bool:
        async with self._sessions.begin() as session:
            if not await session.scalar(select(func.pg_try_advisory_xact_lock(_SEALING_LOCK))):
                return False
            entries = await _take_waiting(session)
            if not entries:
                return False
            last = await session.scalar(select(AuditSeal).order_by(AuditSeal.number.desc()).limit(1))
            seal = self._sealed(entries, last)
            session.add(seal)
        # The log usually leaves the machine: there the chain has an anchor that the database's owner cannot move.
        log.info("audit.sealed", number=seal.number, entries=len(entries), link=link_to(seal).hex())
        return len(entries) == BATCH

    def _sealed(self, entries: list[AuditEntry], last: AuditSeal | None) -> AuditSeal:
        leaves = [leaf_of(entry) for entry in entries]
        seal = AuditSeal(
            number=1 if last is None else last.number + 1,
            sealed_at=self._clock(),
            entry_ids=[entry.id for entry in entries],
            leaves=b"".join(leaves),
            root=root_of(leaves),
            previous=BEFORE_THE_FIRST if last is None else link_to(last),
            key_id=self._vault.primary_id,
        )
        seal.mac = self._vault.sign(signed_part(seal), purpose=_PURPOSE)
        return seal

    async def _seals(self) -> AsyncIterator[tuple[AuditSeal, _Entries]]:
        """Every seal by its number, with the entries it names: a year has half a million of them, small ones."""
        number = 0
        while seals := await self._seals_after(number):
            for some in _pieces(seals):
                entries = await self._entries_of(some)
                for seal in some:
                    yield seal, entries
            number = seals[-1].number

    async def _seals_after(self, number: int) -> Sequence[AuditSeal]:
        following = select(AuditSeal).where(AuditSeal.number > number).order_by(AuditSeal.number)
        async with self._sessions() as session:
            return (await session.scalars(following.limit(_SEALS_AT_ONCE))).all()

    async def _entries_of(self, seals: Sequence[AuditSeal]) -> _Entries:
        named = [id_ for seal in seals for id_ in seal.entry_ids]
        async with self._sessions() as session:
            found = await session.scalars(select(AuditEntry).where(AuditEntry.id.in_(named)))
            return {entry.id: entry for entry in found}


def _pieces(seals: Sequence[AuditSeal]) -> Iterator[Sequence[AuditSeal]]:
    """The same, in stretches that name no more than a few thousand entries together."""
    piece: list[AuditSeal] = []
    for seal in seals:
        piece.append(seal)
        if sum(len(one.entry_ids) for one in piece) >= BATCH:
            yield piece
            piece = []
    if piece:
        yield piece


class _Walk:
    """What is known of the chain so far."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.number = self.entries = self.unproven = 0
        self.link = BEFORE_THE_FIRST
        self.flaw: str | None = None
        self._last_unproven: AuditSeal | None = None

    @property
    def end_flaw(self) -> str | None:
        """What no later seal can vouch for: a last one whose key is not there."""
        last = self._last_unproven
        return f"seal {last.number} needs the encryption key {last.key_id}: add it to ENCRYPTION_KEYS" if last else None

    def flaw_of(self, seal: AuditSeal, entries: _Entries) -> str | None:
        """Goes on to the next seal; what does not fit of it, or of what it says of the entries."""
        self.flaw = self._chain_flaw(seal) or _entry_flaw(seal, entries)
        if self.flaw is None:
            self.number, self.link = seal.number, link_to(seal)
            self.entries += len(seal.entry_ids)
        return self.flaw

    def _chain_flaw(self, seal: AuditSeal) -> str | None:
        if seal.number != self.number + 1:
            return f"seal {self.number + 1} is missing"
        if seal.previous != self.link:
            return f"seal {seal.number} does not follow from the one before: one of them was changed"
        if not self._is_signed(seal):
            return f"seal {seal.number} was not made with the key {seal.key_id}, or was changed"
        leaves = split_leaves(seal.leaves)
        if len(leaves) != len(seal.entry_ids) or not leaves or root_of(leaves) != seal.root:
            return f"seal {seal.number} was changed: its hashes do not make its root"
        return None

    def _is_signed(self, seal: AuditSeal) -> bool:
        self._last_unproven = None
        try:
            return self._vault.is_signed(signed_part(seal), seal.mac, key_id=seal.key_id, purpose=_PURPOSE)
        except UnknownKey:
            self.unproven += 1
            self._last_unproven = seal
            return True


async def _take_waiting(session: AsyncSession) -> list[AuditEntry]:
    waiting = select(UnsealedEntry.entry_id).order_by(UnsealedEntry.entry_id).limit(BATCH)
    taken = delete(UnsealedEntry).where(UnsealedEntry.entry_id.in_(waiting)).returning(UnsealedEntry.entry_id)
    ids = (await session.scalars(taken)).all()
    return list(await session.scalars(select(AuditEntry).where(AuditEntry.id.in_(ids)).order_by(AuditEntry.id)))


def _entry_flaw(seal: AuditSeal, entries: _Entries) -> str | None:
    for id_, leaf in zip(seal.entry_ids, split_leaves(seal.leaves), strict=True):
        if id_ not in entries:
            return f"entry {id_} is missing (sealed {_when(seal.sealed_at)} in seal {seal.number})"
        if leaf_of(entries[id_]) != leaf:
            return f"entry {id_} was changed after it was sealed ({_when(seal.sealed_at)} in seal {seal.number})"
    return None


# Not `NOT IN`: with some ten thousand seals PostgreSQL would go through all of their ids for each of the entries.
NEVER_SEALED = text("""
    SELECT min(e.id) FROM audit_entries e
    WHERE NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.entry_id = e.id)
      AND NOT EXISTS (SELECT FROM audit_seals s, unnest(s.entry_ids) AS sealed (id) WHERE sealed.id = e.id)
""")


async def _never_sealed(session: AsyncSession) -> str | None:
    stray = await session.scalar(NEVER_SEALED)
    return None if stray is None else f"entry {stray} is in no seal and does not wait for one"


def _when(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
