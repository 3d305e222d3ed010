"""The row of an integration's tokens: opening it, sealing new ones, and the words for what is missing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from integrations_api.connectors.token_answers import TokenAnswer
from integrations_api.integrations.models import OAuthTokens
from integrations_api.integrations.secrets import tokens_context
from integrations_api.vault.cipher import Vault

AHEAD = timedelta(seconds=60)
"""How long before its end a token is renewed; of a short life it is a fifth."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as they are used; `renew_at` None means: when they are refused, not before."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    renew_at: datetime | None

    def are_good(self, now: datetime) -> bool:
        """Whether the access token need not be renewed yet."""
        return self.renew_at is None or now < self.renew_at


def tokens_of(answer: TokenAnswer, *, asked_at: datetime, refresh: str | None = None) -> Tokens:
    """What to keep of an answer. Its life is counted from the asking; `refresh` stays where it brings no new one."""
    renew_at = None
    if answer.lifetime is not None:
        renew_at = asked_at + answer.lifetime - min(AHEAD, answer.lifetime / 5)
    return Tokens(access=answer.access_token, refresh=answer.refresh_token or refresh, renew_at=renew_at)


def opened(row: OAuthTokens, vault: Vault) -> Tokens | None:
    """The tokens of a row; None where there are none. Raises `VaultError`."""
    if row.ciphertext is None:
        return None
    held = orjson.loads(vault.open(row.ciphertext, context=tokens_context(row.integration_id)))
    return Tokens(access=held["access"], refresh=held["refresh"], renew_at=row.renew_at)


def sealed(tokens: Tokens, integration_id: UUID, vault: Vault) -> bytes:
    """The tokens as they are stored."""
    text = orjson.dumps({"access": tokens.access, "refresh": tokens.refresh}).decode()
    return vault.seal(text, context=tokens_context(integration_id))
