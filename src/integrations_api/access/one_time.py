"""Tokens that are shown once and stored as a hash.

A plain SHA-256 is right here, and a slow hash would be wrong: the token is 256 random bits, so there is nothing to
guess through, however fast the hash, and it is checked with every request that shows one.
"""

import hashlib
import secrets

INVITATION_PREFIX = "iai_"
"""Recognisable, so that logs and scanners can mask it."""


def new_invitation() -> str:
    """A fresh token for a one-time link."""
    return INVITATION_PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()
