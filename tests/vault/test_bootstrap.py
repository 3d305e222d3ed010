"""Secrets come from the settings, or are made once beside the bundled database; unsafe ones stop the start."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from integrations_api.errors import ConfigurationError
from integrations_api.settings import Settings
from integrations_api.vault.bootstrap import ProcessSecrets, generate_secrets, resolve_secrets
from integrations_api.vault.keys import generate_key

URL = "postgresql://u@h/d"
GOOD = generate_secrets()


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "data", **values)


def bundled(tmp_path: Path, **values: Any) -> ProcessSecrets:
    return resolve_secrets(settings(tmp_path, **values))


def external(tmp_path: Path, **values: Any) -> ProcessSecrets:
    given = {"secret_key": GOOD["SECRET_KEY"], "encryption_keys": GOOD["ENCRYPTION_KEYS"], **values}
    return resolve_secrets(settings(tmp_path, database_url=URL, **given))


def test_with_the_bundled_database_they_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first, second = bundled(tmp_path), bundled(tmp_path)

    file = tmp_path / "data" / "keys.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.secret_key == second.secret_key
    assert first.keyring.primary == second.keyring.primary
    assert os.listdir(file.parent) == ["keys.env"]


def test_two_that_start_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: bundled(tmp_path), range(16)))

    assert len({secrets.secret_key.get_secret_value() for secrets in found}) == 1
    assert len({secrets.keyring.primary.material for secrets in found}) == 1


def test_two_installations_get_different_ones(tmp_path: Path) -> None:
    assert bundled(tmp_path / "a").secret_key != bundled(tmp_path / "b").secret_key


def test_a_file_that_others_can_read_is_made_private_again(tmp_path: Path) -> None:
    bundled(tmp_path)
    file = tmp_path / "data" / "keys.env"
    file.chmod(0o644)

    bundled(tmp_path)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_given_value_wins_over_the_file(tmp_path: Path) -> None:
    kept = bundled(tmp_path)

    mixed = bundled(tmp_path, secret_key=GOOD["SECRET_KEY"])

    assert mixed.secret_key.get_secret_value() == GOOD["SECRET_KEY"]
    assert mixed.keyring.primary == kept.keyring.primary


def test_no_file_is_made_when_both_are_given_or_the_database_is_external(tmp_path: Path) -> None:
    bundled(tmp_path, secret_key=GOOD["SECRET_KEY"], encryption_keys=GOOD["ENCRYPTION_KEYS"])
    external(tmp_path)

    assert not (tmp_path / "data").exists()


def test_who_may_only_look_makes_no_file_and_changes_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"keys\.env cannot be used"):
        resolve_secrets(settings(tmp_path), may_write=False)
    assert not (tmp_path / "data").exists()

    made = bundled(tmp_path)
    (tmp_path / "data" / "keys.env").chmod(0o644)

    assert resolve_secrets(settings(tmp_path), may_write=False).secret_key == made.secret_key
    assert stat.S_IMODE((tmp_path / "data" / "keys.env").stat().st_mode) == 0o644


@pytest.mark.parametrize("content", ["", "SECRET_KEY=\n", "garbage"])
def test_a_half_written_file_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "data" / "keys.env"
    file.parent.mkdir()
    file.write_text(content)

    with pytest.raises(ConfigurationError, match="has no SECRET_KEY: restore the file from a backup"):
        bundled(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(ConfigurationError, match=r"keys\.env cannot be used"):
        bundled(tmp_path)


def sample_key(material: bytes) -> str:
    return f"k1:{base64.b64encode(material).decode()}"


UNSAFE = [
    ({"secret_key": None}, "SECRET_KEY is required with DATABASE_URL"),
    ({"secret_key": ""}, "SECRET_KEY is required with DATABASE_URL"),
    ({"encryption_keys": None}, "ENCRYPTION_KEYS is required with DATABASE_URL"),
    ({"secret_key": GOOD["SECRET_KEY"][:31]}, "SECRET_KEY is shorter than 32 characters"),
    ({"secret_key": "change-me-please-change-me-please"}, "SECRET_KEY is a sample value"),
    ({"secret_key": "CHANGEME0123456789abcdefghijklmnop"}, "SECRET_KEY is a sample value"),
    ({"secret_key": "my-super-secret-key-for-development"}, "SECRET_KEY is a sample value"),
    ({"secret_key": "x" * 64}, "SECRET_KEY is a sample value"),
    ({"secret_key": "0123" * 16}, "SECRET_KEY is a sample value"),
    ({"secret_key": "-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKCAQEA"}, "SECRET_KEY looks like a PEM"),
    ({"encryption_keys": sample_key(b"\0" * 32)}, "the key k1 is a sample value"),
    ({"encryption_keys": sample_key(bytes(range(32)))}, "the key k1 is a sample value"),
    ({"encryption_keys": sample_key(b"change me, I am thirty-two bytes")}, "the key k1 is a sample value"),
    ({"encryption_keys": f"{generate_key()},{sample_key(b'x' * 32)}"}, "the key k1 is a sample value"),
    ({"encryption_keys": "k1:short"}, "the key k1 "),
]


@pytest.mark.parametrize(("values", "words"), UNSAFE)
def test_a_missing_short_or_sample_value_stops_the_start(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        external(tmp_path, **values)

    assert words in caught.value.message
    assert all(value not in caught.value.message for value in values.values() if value)


def test_what_is_generated_is_accepted_and_differs_each_time(tmp_path: Path) -> None:
    first, second = generate_secrets(), generate_secrets()

    assert external(tmp_path, secret_key=first["SECRET_KEY"], encryption_keys=first["ENCRYPTION_KEYS"])
    assert first["SECRET_KEY"] != second["SECRET_KEY"]


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    secrets = external(tmp_path)

    assert GOOD["SECRET_KEY"] not in repr(secrets)
    assert GOOD["ENCRYPTION_KEYS"].split(":")[1] not in repr(secrets)
