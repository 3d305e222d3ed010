"""What is known against python-jose, passlib and what they bring along, and the limit that keeps each of it out."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jose import jwe, jwt
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access.passwords import Passwords
from integrations_api.access.tokens import Tokens
from integrations_api.errors import ConfigurationError, Unauthenticated
from integrations_api.vault.bootstrap import generate_secrets, resolve_secrets
from tests.support.applications import CHEAP, PASSWORD, live_app, settings_for

pytestmark = pytest.mark.anyio

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
SECRET = generate_secrets()["SECRET_KEY"]
ID = "123e4567-e89b-12d3-a456-426614174000"
OURS = "integrations-api"
CLAIMS = {"iss": OURS, "aud": OURS, "sub": ID, "jti": ID, "iat": 0, "exp": 2**31, "gen": 0}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public(key: Any, encoding: Encoding, form: PublicFormat) -> bytes:
    made: bytes = key.public_key().public_bytes(encoding, form)
    return made


def private(key: Any, encoding: Encoding) -> bytes:
    made: bytes = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    return made


def jwk_of(numbers: Any) -> str:
    n = numbers.n.to_bytes(256)
    return json.dumps({"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": b64(n)})


KEYS: dict[str, str] = {
    "PEM, RSA public": public(RSA, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "PEM, EC public": public(CURVE, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "PEM, private": private(RSA, Encoding.PEM).decode(),
    "PEM after a blank line": "\n\n" + public(CURVE, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "OpenSSH, RSA": public(RSA, Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " me@here",
    "OpenSSH, EC": public(CURVE, Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " me@here",
    "DER, RSA public": base64.b64encode(public(RSA, Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode(),
    "DER, RSA public, PKCS 1": base64.b64encode(public(RSA, Encoding.DER, PublicFormat.PKCS1)).decode(),
    "DER, EC public": base64.b64encode(public(CURVE, Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode(),
    "DER, private": base64.b64encode(private(CURVE, Encoding.DER)).decode(),
    "JWK": jwk_of(RSA.public_key().public_numbers()),
    "JWKS": json.dumps({"keys": [json.loads(jwk_of(RSA.public_key().public_numbers()))]}),
}


@pytest.mark.parametrize("value", KEYS.values(), ids=KEYS.keys())
def test_cve_2024_33663_no_asymmetric_key_becomes_the_secret_of_an_hmac(value: str) -> None:
    """The fix in 3.4 knows PEM and SSH; DER passes it still. Here none of them starts the service."""
    with pytest.raises(ConfigurationError) as refused:
        resolve_secrets(settings_for("postgresql://u@127.0.0.1/x", secret_key=value))

    assert refused.value.message.startswith("SECRET_KEY looks like a PEM, JWK, SSH or DER key")


def _signed(key: bytes, **more: Any) -> str:
    header = json.dumps({"alg": "HS256", "typ": "JWT", **more}).encode()
    signed = f"{b64(header)}.{b64(json.dumps(CLAIMS).encode())}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), hashlib.sha256))}"


@pytest.mark.parametrize("value", KEYS.values(), ids=KEYS.keys())
def test_cve_2024_33663_and_if_one_were_the_secret_its_text_would_still_sign_nothing(value: str) -> None:
    with pytest.raises(Unauthenticated):
        Tokens(secret=value).read(_signed(value.encode()))


DERIVED = hmac.digest(SECRET.encode(), b"integrations-api bearer tokens", hashlib.sha256)


def _plain(algorithm: str, signature: str = "") -> str:
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    return f"{b64(header)}.{b64(json.dumps(CLAIMS).encode())}.{signature}"


def _by(key: Any, algorithm: str) -> str:
    return str(jwt.encode(CLAIMS, private(key, Encoding.PEM).decode(), algorithm=algorithm))


OTHER_WAYS: dict[str, Callable[[], str]] = {
    "RS256": lambda: _by(RSA, "RS256"),
    "RS512": lambda: _by(RSA, "RS512"),
    "ES256": lambda: _by(CURVE, "ES256"),
    "none": lambda: _plain("none"),
    "nOnE": lambda: _plain("nOnE"),
    "none, signed all the same": lambda: _plain("none", _signed(DERIVED).rpartition(".")[2]),
    "a critical extension": lambda: _signed(DERIVED, crit=["b64"], b64=False),
    "a key of its own": lambda: _signed(DERIVED, jwk={"kty": "oct", "k": b64(b"k" * 32)}),
    "an address of keys": lambda: _signed(DERIVED, jku="https://example.com/keys"),
    "a hint at a key": lambda: _signed(DERIVED, kid="' OR 1=1"),
}


@pytest.mark.parametrize("make", OTHER_WAYS.values(), ids=OTHER_WAYS.keys())
def test_another_algorithm_or_header_than_ours_is_refused(make: Callable[[], str]) -> None:
    """CVE-2025-61152 (`none`), swapped algorithms, and extensions of RFC 7515, 4.1.11, that jose 3.5 reads over."""
    tokens = Tokens(secret=SECRET)

    assert tokens.read(_signed(DERIVED)).generation == 0
    with pytest.raises(Unauthenticated):
        tokens.read(make())


def _bomb(megabytes: int) -> str:
    """An encrypted token of 3.5's own making that unpacks to so much."""
    return jwe.encrypt(bytes(megabytes << 20), b"k" * 32, algorithm="dir", encryption="A256GCM", zip="DEF").decode()


@pytest.mark.parametrize("parts", [3, 5])
def test_cve_2024_33664_a_compressed_token_is_refused_before_it_is_unpacked(parts: int) -> None:
    """3.4 and later bound a JWE to 250 KiB, which still unpacks to 250 MB; nothing is unpacked here."""
    packed = zlib.compress(bytes(16 << 20), 9)
    header = json.dumps({"alg": "HS256", "typ": "JWT", "zip": "DEF"}).encode()
    token = _bomb(16) if parts == 5 else f"{b64(header)}.{b64(packed)}.{b64(b'x' * 32)}"
    tokens = Tokens(secret=SECRET)

    tracemalloc.start()
    with pytest.raises(Unauthenticated):
        tokens.read(token)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert token.count(".") == parts - 1
    assert len(token) > 10_000
    assert peak < 20_000


PROGRAM = """
import sys
import integrations_api.app, integrations_api.wiring, integrations_api.cli.main
from datetime import timedelta
from uuid import uuid4
from integrations_api.access.passwords import Passwords
from integrations_api.access.tokens import Tokens
tokens = Tokens(secret="0123456789abcdefghijklmnopqrstuvwxyz")
tokens.read(tokens.issue(user_id=uuid4(), generation=0, lifetime=timedelta(hours=1)).text)
Passwords()._context.hash("x")
print(type(tokens.signing.key).__module__, *sorted(sys.modules))
"""


def test_cve_2024_23342_the_python_back_ends_of_jose_are_not_even_imported() -> None:
    """Timing of python-ecdsa, parsing by pyasn1 (CVE-2026-23490), python-rsa: dependencies of jose, never loaded."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    key, *loaded = done.stdout.split()

    assert key == "jose.backends.cryptography_backend"
    roots = {name.partition(".")[0] for name in loaded}
    assert roots & {"ecdsa", "rsa", "pyasn1", "bcrypt", "Crypto"} == set()
    # JWE is what CVE-2024-33664 and the padding oracle of its CBC modes are about.
    assert "jose.jwe" not in loaded
    assert {"jose.jwt", "passlib.handlers.argon2"} <= set(loaded)


# Of PASSWORD, as far as any password fits them.
OTHER_HASHES = {
    "bcrypt": "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG",
    "md5-crypt": "$1$salt$mAHQ7KWINl64qyRCo/fjy/",
    "sha512-crypt": "$6$rounds=1000$salt$"
    "Qtfat/jarkqjxx/JDgK8W0hxNVj1rXfY26K9Tiq8ijWR4spXIX0UaYCP0j7chidWcIXFcVxA.sacPycW9XuP11",
    "pbkdf2": "$pbkdf2-sha256$1000$c2FsdA$" + "x" * 43,
    "plain text": PASSWORD,
    "LDAP plain text": "{PLAIN}" + PASSWORD,
    "MD5": hashlib.md5(PASSWORD.encode()).hexdigest(),
    "SHA-256": hashlib.sha256(PASSWORD.encode()).hexdigest(),
    "locked": "!",
    "broken argon2": "$argon2id$v=19$m=8,t=1,p=1$AAAA",
    "argon2 of no cost": "$argon2id$v=19$m=0,t=0,p=0$c2FsdHNhbHQ$" + "A" * 43,
}


@pytest.mark.parametrize("stored", OTHER_HASHES.values(), ids=OTHER_HASHES.keys())
async def test_a_hash_that_is_not_argon2_fits_no_password(stored: str) -> None:
    passwords = Passwords(CHEAP)

    assert not await passwords.verify(PASSWORD, stored)
    assert not await passwords.verify(stored, stored)


async def test_who_puts_a_weak_hash_into_his_row_is_refused_like_anybody(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        form = {"username": email, "password": PASSWORD}
        answers = [await live.client.post("/auth/token", data=form)]
        for stored in ("plain text", "bcrypt", "broken argon2"):
            async with live.components[AsyncEngine].begin() as connection:
                values = {"hash": OTHER_HASHES[stored], "email": email}
                await connection.execute(text("UPDATE users SET password_hash = :hash WHERE email = :email"), values)
            answers.append(await live.client.post("/auth/token", data=form))
            await _let_try_again(live)

    assert [answer.status_code for answer in answers] == [200, 401, 401, 401]
    assert {answer.json()["message"] for answer in answers[1:]} == {"Wrong e-mail or password"}


async def _let_try_again(live: Any) -> None:
    async with live.components[AsyncEngine].begin() as connection:
        await connection.execute(text("DELETE FROM sign_in_counters"))
