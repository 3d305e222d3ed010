"""What a seal is made of: the hash of each entry, the tree over them, the link to the seal before. Pure."""

import hashlib
from collections.abc import Sequence
from datetime import UTC
from itertools import pairwise

import orjson

from integrations_api.audit.models import AuditEntry, AuditSeal

HASH = 32
BEFORE_THE_FIRST = bytes(HASH)


def leaf_of(entry: AuditEntry) -> bytes:
    """The hash of everything an entry says."""
    said = [
        entry.id,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        None if entry.actor_id is None else str(entry.actor_id),
        entry.actor,
        entry.credential,
        entry.action,
        entry.object_type,
        entry.object_id,
        entry.details,
        entry.request_id,
        entry.address,
    ]
    return _hash(b"\0", orjson.dumps(said, option=orjson.OPT_SORT_KEYS))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root of the Merkle tree; a leaf and an inner node never hash alike, so no batch passes for another."""
    level = list(leaves)
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        level = [_hash(b"\1", left + right) for left, right in list(pairwise(level))[::2]] + odd
    return level[0]


def split_leaves(leaves: bytes) -> list[bytes]:
    """The leaves of a seal, one by one."""
    return [leaves[at : at + HASH] for at in range(0, len(leaves), HASH)]


def signed_part(seal: AuditSeal) -> bytes:
    """What the seal's MAC is over."""
    ids = b"".join(id_.to_bytes(8) for id_ in seal.entry_ids)
    at = seal.sealed_at.astimezone(UTC).isoformat(timespec="microseconds").encode()
    return _hash(seal.number.to_bytes(8), at, ids, seal.root, seal.previous)


def link_to(seal: AuditSeal) -> bytes:
    """What the next seal holds of this one."""
    return _hash(signed_part(seal), seal.key_id.encode(), seal.mac)


def _hash(*parts: bytes) -> bytes:
    # Each part by its length too, so that no two lists of parts run together to the same bytes.
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8) + part)
    return found.digest()
