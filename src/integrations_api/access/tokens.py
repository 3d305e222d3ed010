"""Bearer tokens: JWT, HS256 only, short-lived, and strict about every claim."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from msgspec import Struct

from integrations_api.clock import Clock, utc_now
from integrations_api.errors import Unauthenticated

if TYPE_CHECKING:
    from integrations_api.access.signing import Signing

ISSUER = AUDIENCE = "integrations-api"
_ALGORITHM = "HS256"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER = {"alg": _ALGORITHM, "typ": "JWT"}
_HEADER_TEXT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
"""The same as jose writes it."""
_LONGEST = 2048
"""Characters; ours have about 400."""
LEEWAY = timedelta(seconds=30)
"""How far another replica's clock may be ahead of ours."""


class TokenClaims(Struct, frozen=True):
    """What a valid token says."""

    user_id: UUID
    generation: int
    token_id: UUID
    expires_at: datetime


class IssuedToken(Struct, frozen=True):
    """A token and the time it has."""

    text: str
    lifetime: timedelta


class Tokens:
    """Issues and reads tokens under one secret."""

    def __init__(self, *, secret: str, clock: Clock = utc_now) -> None:
        # Derived, so that what signs tokens signs nothing else, and so that jose, which guesses at the meaning of
        # textual keys (JSON, PEM), gets plain bytes.
        self._key = hmac.digest(secret.encode(), b"integrations-api bearer tokens", hashlib.sha256)
        self._clock = clock

    @cached_property
    def signing(self) -> "Signing":
        """Imports jose: a worker never does, and the API not before it answers."""
        from integrations_api.access.signing import Signing

        return Signing(self._key, _ALGORITHM)

    def issue(self, *, user_id: UUID, generation: int, lifetime: timedelta) -> IssuedToken:
        """A token for a user; it dies with its lifetime, or when the user's generation moves on."""
        now = int(self._clock().timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + int(lifetime.total_seconds()),
            "gen": generation,
        }
        return IssuedToken(text=self.signing.sign(claims), lifetime=lifetime)

    def read(self, token: str) -> TokenClaims:
        """What the token says. Raises `Unauthenticated`, in the same words whatever is wrong with it."""
        try:
            return self._read(token)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated("The bearer token is not valid or has expired: sign in again") from None

    def _read(self, token: str) -> TokenClaims:
        if len(token) > _LONGEST or token.count(".") != 2 or not token.isascii():
            raise ValueError("not one of our tokens")
        # Exactly our own header: no other algorithm, no key hints, no compression, no critical extensions.
        if not token.startswith(_HEADER_TEXT) and self.signing.header_of(token) != _HEADER:
            raise ValueError("not our header")
        # The claims are read here: jwt.decode parses header and claims again, which every request would pay for.
        claims = orjson.loads(self.signing.verified(token))
        if claims["iss"] != ISSUER or claims["aud"] != AUDIENCE:
            raise ValueError("not for us")
        return self._checked(claims)

    def _checked(self, claims: Mapping[str, Any]) -> TokenClaims:
        now = self._clock()
        expires_at, issued_at = _moment(claims["exp"]), _moment(claims["iat"])
        if expires_at <= now or issued_at > now + LEEWAY:
            raise ValueError("not now")
        if "nbf" in claims and _moment(claims["nbf"]) > now + LEEWAY:
            raise ValueError("not yet")
        return TokenClaims(
            user_id=_id(claims["sub"]),
            generation=_whole(claims["gen"]),
            token_id=_id(claims["jti"]),
            expires_at=expires_at,
        )


def _id(value: Any) -> UUID:
    if type(value) is not str:
        raise TypeError("not an id")
    return UUID(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _moment(value: Any) -> datetime:
    return _EPOCH + timedelta(seconds=_whole(value))  # Overflows alike on every platform.
