"""What can go wrong with a stored secret; no message holds any part of one."""

from typing import ClassVar

from integrations_api.errors import ApplicationError


class VaultError(ApplicationError):
    """A stored secret could not be opened; `reason` says in a word why, for whoever counts."""

    reason: ClassVar[str]


class UnknownKey(VaultError):
    """The secret was sealed under a key that is not in ENCRYPTION_KEYS."""

    reason = "unknown_key"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"A stored secret needs the encryption key {key_id}: add it to ENCRYPTION_KEYS")
        self.key_id = key_id


class SecretDamaged(VaultError):
    """What is stored is not (or only a part of) what `seal` gave out."""

    reason = "damaged"

    def __init__(self) -> None:
        super().__init__("A stored secret is damaged or in an unknown format: set it again")


class SecretNotAuthentic(VaultError):
    """The secret was changed, belongs to another row, or was sealed under another key of the same id."""

    reason = "not_authentic"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"A stored secret does not open under the encryption key {key_id}: the key is another one than it was, "
            "or the secret belongs to another row"
        )
        self.key_id = key_id
