"""What every simulated source needs to know of credentials: HTTP Basic, OAuth's errors, PKCE."""

import base64
import binascii
import hashlib
import hmac


class OAuthError(Exception):
    """An answer of the token endpoint that is no token."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description


def is_same(kept: str, shown: str) -> bool:
    """Whether a secret is the one that was kept; what is kept empty is nobody's."""
    return bool(kept) and hmac.compare_digest(kept.encode(), shown.encode())


def basic_credentials(value: str) -> tuple[str, str]:
    """Name and secret of HTTP Basic; both empty where they cannot be read."""
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


def proves(verifier: str, challenge: str) -> bool:
    """PKCE, S256; a code that was asked for without a challenge needs no verifier."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return not challenge or hmac.compare_digest(digest, challenge)
