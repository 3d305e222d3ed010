"""The encryption keys an operator gives: named, 256 bits each, the first one for sealing."""

import base64
import binascii
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from integrations_api.errors import ConfigurationError
from integrations_api.vault.errors import UnknownKey

KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Key:
    """One key; its material is not shown."""

    id: str
    material: bytes = field(repr=False)


class KeyRing:
    """All keys that may open secrets."""

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise ConfigurationError("ENCRYPTION_KEYS: no key given; `integrations-api secrets generate` prints one")
        self._keys = {key.id: key for key in keys}
        self.primary = keys[0]
        """The key that seals."""

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Reads `id:base64,id:base64`. Raises `ConfigurationError` that names the id or the place, never a key."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        keys = [_parse_key(entry, place) for place, entry in enumerate(entries, start=1)]
        ids = [key.id for key in keys]
        for key_id in ids:
            if ids.count(key_id) > 1:
                raise ConfigurationError(f"ENCRYPTION_KEYS: the id {key_id} is given more than once")
        return cls(keys)

    def __getitem__(self, key_id: str) -> Key:
        """The key of that id. Raises `UnknownKey`."""
        try:
            return self._keys[key_id]
        except KeyError:
            raise UnknownKey(key_id) from None

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, the sealing key's first."""
        return tuple(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.ids)})"


def generate_key() -> str:
    """A fresh entry for ENCRYPTION_KEYS, with an id of its own."""
    return f"k{secrets.token_hex(3)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _parse_key(entry: str, place: int) -> Key:
    key_id, colon, encoded = entry.partition(":")
    # Until the id is known to be one, it may be the key itself: only its place is named.
    if not colon or _ID.fullmatch(key_id) is None:
        raise ConfigurationError(f"ENCRYPTION_KEYS: entry {place} is not of the form id:base64 of 32 bytes")
    try:
        material = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"ENCRYPTION_KEYS: the key {key_id} is not valid base64") from None
    if len(material) != KEY_BYTES:
        raise ConfigurationError(f"ENCRYPTION_KEYS: the key {key_id} has {len(material)} bytes instead of {KEY_BYTES}")
    return Key(id=key_id, material=material)
