"""What an authorization server gives or refuses, and how long it may take."""

from dataclasses import dataclass, field
from datetime import timedelta

from integrations_api.connectors.errors import Refused

LONGEST_REQUEST = timedelta(seconds=15)
"""From the look-up to the last byte. Others wait while a token is renewed, so this is less than what pages may take."""


class GrantRefused(Refused):
    """The code, refresh token or password is good for nothing (any more)."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the server gave; `lifetime` None means that it named none."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    lifetime: timedelta | None
