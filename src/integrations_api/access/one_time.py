"""Tokens that are shown once and stored as a hash: links, API keys, and tickets (sync/tickets.py).

A plain SHA-256 is right here, and a slow hash would be wrong: the token is 256 random bits, so there is nothing to
guess through, however fast the hash, and it is checked with every request that shows one.
"""

import hashlib
import secrets
import string
import zlib

INVITATION_PREFIX = "iai_"
"""Recognisable, so that logs and scanners can mask it."""
KEY_PREFIX = "iak_"
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 43
"""Digits to the base 62 for 256 bits."""
_CHECK_LENGTH = 6
"""Digits to the base 62 for the 32 bits of a CRC."""


def new_invitation() -> str:
    """A fresh token for a one-time link."""
    return INVITATION_PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


def new_api_key() -> str:
    """A fresh API key: prefix, 256 random bits, and a checksum, so that a scanner knows one when it sees one."""
    body = KEY_PREFIX + _base62(secrets.randbits(256), _RANDOM_LENGTH)
    return body + _check(body)


def is_api_key(text: str) -> bool:
    """Whether the text has the form and the checksum of an API key; no database is asked."""
    body, check = text[:-_CHECK_LENGTH], text[-_CHECK_LENGTH:]
    digits = body.removeprefix(KEY_PREFIX)
    well_formed = body.startswith(KEY_PREFIX) and len(digits) == _RANDOM_LENGTH and set(digits) <= set(_DIGITS)
    return well_formed and check == _check(body)


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    found = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        found = _DIGITS[digit] + found
    return found
