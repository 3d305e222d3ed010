"""Sealing and opening one secret.

Each secret is encrypted by AES-256-GCM under a random data key of its own, which is wrapped, by AES-256-GCM too,
under a key of the ring: so a rotation re-wraps 32 bytes and never sees a secret. The context (the row and field a
secret belongs to) is associated data of both, so that a copy in another row does not open.

Format, version 1: version (1 byte), length of the key id (1), key id, wrap nonce (12), wrapped data key (48),
nonce (12), ciphertext with tag (16 bytes longer than the secret).
"""

import hashlib
import hmac
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.structs import replace

from integrations_api.metrics import VAULT_REFUSALS
from integrations_api.vault.errors import SecretDamaged, SecretNotAuthentic, VaultError
from integrations_api.vault.keys import KEY_BYTES, KeyRing

_VERSION = 1
_NONCE = 12
_TAG = 16
LONGEST_PREFIX = 2 + 32
"""Bytes: version, length, and an id of the greatest length."""
_WRAPPED = KEY_BYTES + _TAG


class _Sealed(Struct, frozen=True):
    key_id: str
    wrap_nonce: bytes
    wrapped: bytes
    nonce: bytes
    ciphertext: bytes

    def to_bytes(self) -> bytes:
        key_id = self.key_id.encode()
        head = bytes([_VERSION, len(key_id)]) + key_id
        return head + self.wrap_nonce + self.wrapped + self.nonce + self.ciphertext

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `SecretDamaged`."""
        if len(data) < 2 or data[0] != _VERSION:
            raise SecretDamaged
        starts = [2, data[1], _NONCE, _WRAPPED, _NONCE]
        ends = [sum(starts[: n + 1]) for n in range(len(starts))]
        if len(data) < ends[-1] + _TAG:
            raise SecretDamaged
        key_id, wrap_nonce, wrapped, nonce = (data[a:b] for a, b in itertools.pairwise(ends))
        try:
            return cls(key_id.decode("ascii"), wrap_nonce, wrapped, nonce, data[ends[-1] :])
        except UnicodeDecodeError:
            raise SecretDamaged from None


class Vault:
    """Seals under the ring's first key, opens under any."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring

    def seal(self, plaintext: str, *, context: str) -> bytes:
        """The ciphertext to store. `context` names its one place, such as `integration_secrets/<id>/<path>`."""
        data_key = AESGCM.generate_key(bit_length=KEY_BYTES * 8)
        nonce, wrap_nonce = os.urandom(_NONCE), os.urandom(_NONCE)
        key = self._keyring.primary
        return _Sealed(
            key_id=key.id,
            wrap_nonce=wrap_nonce,
            wrapped=AESGCM(key.material).encrypt(wrap_nonce, data_key, _bound("key", context)),
            nonce=nonce,
            ciphertext=AESGCM(data_key).encrypt(nonce, plaintext.encode(), _bound("secret", context)),
        ).to_bytes()

    def open(self, ciphertext: bytes, *, context: str) -> str:
        """The secret again. Raises `UnknownKey`, `SecretDamaged`, `SecretNotAuthentic`."""
        with _refusals_counted():
            return self._open(ciphertext, context)

    def _open(self, ciphertext: bytes, context: str) -> str:
        sealed = _Sealed.from_bytes(ciphertext)
        key = self._keyring[sealed.key_id]
        try:
            data_key = AESGCM(key.material).decrypt(sealed.wrap_nonce, sealed.wrapped, _bound("key", context))
            plaintext = AESGCM(data_key).decrypt(sealed.nonce, sealed.ciphertext, _bound("secret", context))
        except InvalidTag:
            raise SecretNotAuthentic(sealed.key_id) from None
        return plaintext.decode()

    def rewrap(self, ciphertext: bytes, *, context: str) -> bytes:
        """The same secret under the ring's first key. The data key is wrapped anew; the secret itself stays shut.

        Raises `UnknownKey`, `SecretDamaged`, `SecretNotAuthentic`.
        """
        with _refusals_counted():
            return self._rewrap(ciphertext, context)

    def _rewrap(self, ciphertext: bytes, context: str) -> bytes:
        sealed = _Sealed.from_bytes(ciphertext)
        old, new, nonce = self._keyring[sealed.key_id], self._keyring.primary, os.urandom(_NONCE)
        try:
            data_key = AESGCM(old.material).decrypt(sealed.wrap_nonce, sealed.wrapped, _bound("key", context))
        except InvalidTag:
            raise SecretNotAuthentic(sealed.key_id) from None
        wrapped = AESGCM(new.material).encrypt(nonce, data_key, _bound("key", context))
        return replace(sealed, key_id=new.id, wrap_nonce=nonce, wrapped=wrapped).to_bytes()

    def sign(self, message: bytes, *, purpose: str) -> bytes:
        """HMAC-SHA-256 under the ring's first key, good for this purpose only."""
        return self._mac(self.primary_id, message, purpose)

    def is_signed(self, message: bytes, mac: bytes, *, key_id: str, purpose: str) -> bool:
        """Whether `sign` made it, when that key was the first. Raises `UnknownKey`."""
        return hmac.compare_digest(self._mac(key_id, message, purpose), mac)

    def _mac(self, key_id: str, message: bytes, purpose: str) -> bytes:
        # Derived, so that the key that wraps secrets computes nothing else itself.
        derived = hmac.digest(self._keyring[key_id].material, _bound("mac", purpose), hashlib.sha256)
        return hmac.digest(derived, message, hashlib.sha256)

    @property
    def primary_id(self) -> str:
        """The id of the key that seals."""
        return self._keyring.primary.id

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys that may open, the sealing one's first."""
        return self._keyring.ids


@contextmanager
def _refusals_counted() -> Iterator[None]:
    try:
        yield
    except VaultError as error:
        VAULT_REFUSALS.labels(error.reason).inc()
        raise


def sealed_prefix(key_id: str) -> bytes:
    """How every ciphertext under a key begins, and none under another: a query finds them by it."""
    return bytes([_VERSION, len(key_id)]) + key_id.encode()


def key_id_of_prefix(head: bytes) -> str | None:
    """The id of the key from the first `LONGEST_PREFIX` bytes of a ciphertext; None for what is none of ours."""
    if len(head) < 2 or head[0] != _VERSION or not head[1] <= len(head) - 2:
        return None
    return head[2 : 2 + head[1]].decode("ascii", "replace")


def _bound(part: str, context: str) -> bytes:
    return f"integrations-api/vault/{_VERSION}/{part}/{context}".encode()
