"""The two secrets the process itself needs: from the settings, or made once beside the bundled database."""

import base64
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from msgspec import Struct
from pydantic import SecretStr

from integrations_api.errors import ConfigurationError
from integrations_api.logs import get_logger
from integrations_api.settings import Settings
from integrations_api.vault.keys import KeyRing, generate_key

log = get_logger(__name__)

KEYS_FILE = "keys.env"
MIN_SECRET_LENGTH = 32
_SEQUENCE = b"\x30"
"""What every key and certificate in DER begins with; few secrets do, and nothing is imported to read those."""
_HINT = "`integrations-api secrets generate` prints a fresh one"
_SAMPLE = re.compile(r"change.?me|example|sample|replace|placeholder|password|secret|generate", re.IGNORECASE)
_KEY_OF_ANOTHER_KIND = re.compile(r"(?s).*-----BEGIN|\s*[\[{]|\s*(ssh|ecdsa|sk)-\S+\s")
_FEWEST_DISTINCT = 10
_HEADER = "# Made at first start. Whoever has this file can read every stored secret; without it they are lost.\n"


class ProcessSecrets(Struct, frozen=True):
    """What signs tokens and what opens stored secrets."""

    secret_key: SecretStr
    keyring: KeyRing


def generate_secrets() -> dict[str, str]:
    """Fresh values by the names of their settings."""
    return {"SECRET_KEY": secrets.token_urlsafe(48), "ENCRYPTION_KEYS": generate_key()}


def resolve_secrets(settings: Settings, *, may_write: bool = True) -> ProcessSecrets:
    """The secrets to run with. With the bundled database missing ones are made and kept in `DATA_DIR/keys.env`;
    with DATABASE_URL they are required. Raises `ConfigurationError` for a missing, short or sample value.

    Unless it `may_write`, the file is only looked at: raises the same where there is none.
    """
    given = {
        name: value.get_secret_value()
        for name, value in (("SECRET_KEY", settings.secret_key), ("ENCRYPTION_KEYS", settings.encryption_keys))
        if value is not None
    }
    if settings.uses_bundled_database and len(given) < 2:
        given = {**_kept_secrets(settings.data_dir / KEYS_FILE, may_write=may_write), **given}
    for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
        if name not in given:
            raise ConfigurationError(f"{name} is required with DATABASE_URL; {_HINT}")
    return ProcessSecrets(
        secret_key=SecretStr(_checked_secret_key(given["SECRET_KEY"])),
        keyring=_checked_keyring(given["ENCRYPTION_KEYS"]),
    )


def _checked_secret_key(value: str) -> str:
    if len(value) < MIN_SECRET_LENGTH:
        raise ConfigurationError(f"SECRET_KEY is shorter than {MIN_SECRET_LENGTH} characters; {_HINT}")
    if _SAMPLE.search(value) or len(set(value)) < _FEWEST_DISTINCT:
        raise ConfigurationError(f"SECRET_KEY is a sample value that everybody knows; {_HINT}")
    if _KEY_OF_ANOTHER_KIND.match(value) or _is_der(value):
        # What is public somewhere else (a certificate, a public key) must not sign tokens here.
        raise ConfigurationError(f"SECRET_KEY looks like a PEM, JWK, SSH or DER key; {_HINT}")
    return value


def _is_der(value: str) -> bool:
    """Whether it is the base64 of a key or a certificate, as what stands between the lines of a PEM file."""
    try:
        der = base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return False
    if not der.startswith(_SEQUENCE):
        return False
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
    from cryptography.x509 import load_der_x509_certificate

    for load in (load_der_public_key, partial(load_der_private_key, password=None), load_der_x509_certificate):
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            load(der)
            return True
    return False


def _checked_keyring(value: str) -> KeyRing:
    keyring = KeyRing.parse(value)
    for key_id in keyring.ids:
        material = keyring[key_id].material
        if len(set(material)) < _FEWEST_DISTINCT or material == bytes(range(len(material))) or _is_text(material):
            raise ConfigurationError(f"ENCRYPTION_KEYS: the key {key_id} is a sample value, not random; {_HINT}")
    return keyring


def _is_text(material: bytes) -> bool:
    return all(32 <= byte < 127 for byte in material)


def _kept_secrets(path: Path, *, may_write: bool) -> Mapping[str, str]:
    """The secrets of the key file, which is made when it is not there."""
    try:
        if may_write and not path.exists():
            _create(path)
        if may_write:
            _keep_private(path)
        return _parse(path)
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be used: {error.strerror}") from None


def _create(path: Path) -> None:
    """Writes the file whole and private, whoever else is starting at this moment: the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name}={value}\n" for name, value in generate_secrets().items())
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{KEYS_FILE}.") as draft:  # Made with mode 0600.
        draft.write(_HEADER + lines)
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)


def is_open_to_others(path: Path) -> bool:
    """Whether more accounts than its owner's may do something with a file. Raises `OSError`."""
    return bool(path.stat().st_mode & 0o077)


def _keep_private(path: Path) -> None:
    if is_open_to_others(path):
        log.warning("vault.key_file_was_readable_by_others", path=str(path))
        path.chmod(0o600)


def _parse(path: Path) -> dict[str, str]:
    found = dict(
        line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")
    )
    missing = [name for name in ("SECRET_KEY", "ENCRYPTION_KEYS") if not found.get(name)]
    if missing:
        raise ConfigurationError(f"The key file {path} has no {missing[0]}: restore the file from a backup")
    return found
