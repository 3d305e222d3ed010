"""A token is ours, whole, meant for us and of now; or it is nothing."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jwe, jwt

from integrations_api.access.tokens import Tokens
from integrations_api.errors import Unauthenticated

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
USER = UUID("123e4567-e89b-12d3-a456-426614174000")
HOUR = timedelta(hours=1)


def tokens(at: datetime = NOW, secret: str = SECRET) -> Tokens:
    return Tokens(secret=secret, clock=lambda: at)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key(secret: str = SECRET) -> bytes:
    return hmac.digest(secret.encode(), b"integrations-api bearer tokens", hashlib.sha256)


def forge(
    claims: dict[str, Any] | None = None,
    *,
    header: dict[str, Any] | None = None,
    drop: str = "",
    digest: str = "sha256",
) -> str:
    """A token signed with the right key, but otherwise as the test wants it."""
    body: dict[str, Any] = {
        "iss": "integrations-api",
        "aud": "integrations-api",
        "sub": str(USER),
        "jti": str(UUID(int=7)),
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
        "gen": 0,
        **(claims or {}),
    }
    body.pop(drop, None)
    top = header or {"alg": "HS256", "typ": "JWT"}
    signed = f"{b64(json.dumps(top).encode())}.{b64(json.dumps(body).encode())}"
    return f"{signed}.{b64(hmac.digest(key(), signed.encode(), digest))}"


def test_a_token_says_what_it_was_issued_for() -> None:
    issued = tokens().issue(user_id=USER, generation=3, lifetime=HOUR)

    claims = tokens().read(issued.text)

    assert (claims.user_id, claims.generation, claims.expires_at) == (USER, 3, NOW + HOUR)
    assert issued.lifetime == HOUR


def test_two_tokens_of_one_moment_differ() -> None:
    first, second = (tokens().issue(user_id=USER, generation=0, lifetime=HOUR).text for _ in range(2))

    assert tokens().read(first).token_id != tokens().read(second).token_id


def test_the_forger_of_these_tests_makes_valid_tokens_unless_told_otherwise() -> None:
    assert tokens().read(forge()).user_id == USER


def test_it_is_valid_until_the_second_it_expires() -> None:
    text = tokens().issue(user_id=USER, generation=0, lifetime=HOUR).text

    assert tokens(NOW + HOUR - timedelta(seconds=1)).read(text)
    with pytest.raises(Unauthenticated):
        tokens(NOW + HOUR).read(text)


def test_a_replica_whose_clock_is_a_little_behind_accepts_it() -> None:
    text = tokens().issue(user_id=USER, generation=0, lifetime=HOUR).text

    assert tokens(NOW - timedelta(seconds=29)).read(text)


def _unsigned(alg: str) -> str:
    head = b64(json.dumps({"alg": alg, "typ": "JWT"}).encode())
    return f"{head}.{forge().split('.')[1]}."


def _rsa_token() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return str(jwt.encode(jwt.get_unverified_claims(forge()), pem.decode(), algorithm="RS256"))


def _compressed() -> str:
    return jwe.encrypt(forge(), key(), algorithm="dir", encryption="A256GCM", zip="DEF").decode()


SECOND = int(NOW.timestamp())
ATTACKS: dict[str, str] = {
    "no algorithm": _unsigned("none"),
    "no algorithm, in capitals": _unsigned("None"),
    "no algorithm, signed all the same": forge(header={"alg": "none", "typ": "JWT"}),
    "HS512": forge(header={"alg": "HS512", "typ": "JWT"}, digest="sha512"),
    "HS256 in name, SHA-512 in truth": forge(digest="sha512"),
    "RS256": _rsa_token(),
    "key hint": forge(header={"alg": "HS256", "typ": "JWT", "kid": "../../dev/null"}),
    "own key in the header": forge(header={"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct", "k": b64(key())}}),
    "critical extension": forge(header={"alg": "HS256", "typ": "JWT", "crit": ["exp"]}),
    "compressed": forge(header={"alg": "HS256", "typ": "JWT", "zip": "DEF"}),
    "compressed and encrypted": _compressed(),
    "another audience": forge({"aud": "somebody-else"}),
    "several audiences": forge({"aud": ["somebody-else"]}),
    "another issuer": forge({"iss": "somebody-else"}),
    "expired": forge({"exp": SECOND}),
    "expired long ago": forge({"exp": 1}),
    "issued in the future": forge({"iat": SECOND + 31}),
    "not valid yet": forge({"nbf": SECOND + 31}),
    "expiry as text": forge({"exp": str(SECOND + 60)}),
    "expiry as fraction": forge({"exp": SECOND + 60.5}),
    "expiry true": forge({"exp": True}),
    "expiry null": forge({"exp": None}),
    "expiry beyond all calendars": forge({"exp": 10**18}),
    "subject not an id": forge({"sub": "admin"}),
    "subject a number": forge({"sub": 7}),
    "id not an id": forge({"jti": "x"}),
    "generation as text": forge({"gen": "0"}),
    **{f"without {claim}": forge(drop=claim) for claim in ("iss", "aud", "sub", "jti", "iat", "exp", "gen")},
    "huge": forge({"padding": "x" * 2000}),
    "empty": "",
    "dots": "..",
    "two parts": forge().rsplit(".", 1)[0],
    "four parts": forge() + ".x",
    "garbage": "garbage",
    "not base64": "!.!.!",
    "not ASCII": forge() + "é",
    "NUL": "\0.\0.\0",
    "claims a list": f"{forge().split('.')[0]}.{b64(b'[]')}.{forge().split('.')[2]}",
    "cut short": forge()[:-1],
    "one bit off": forge()[:-2] + ("A" if forge()[-2] != "A" else "B") + forge()[-1],
    "another's body": f"{forge().split('.')[0]}.{forge({'gen': 1}).split('.')[1]}.{forge().split('.')[2]}",
    "another secret": tokens(secret="z" * 36).issue(user_id=USER, generation=0, lifetime=HOUR).text,
    "signed with the bare secret": str(jwt.encode(jwt.get_unverified_claims(forge()), SECRET, algorithm="HS256")),
}


@pytest.mark.parametrize("token", ATTACKS.values(), ids=ATTACKS.keys())
def test_anything_else_is_refused_in_the_same_words(token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        tokens().read(token)

    assert caught.value.message == "The bearer token is not valid or has expired: sign in again"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("secret", ['{"keys": []}' + "x" * 30, '["a", "b"]' + " " * 30, "1" * 40, "é" * 40])
def test_a_secret_that_looks_like_something_else_is_plain_bytes_all_the_same(secret: str) -> None:
    text = tokens(secret=secret).issue(user_id=USER, generation=0, lifetime=HOUR).text

    assert tokens(secret=secret).read(text).user_id == USER
