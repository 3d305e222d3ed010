"""`.env.example` names every setting with its sentence and its default, and nothing else."""

import re
from pathlib import Path

import pytest

from integrations_api.settings import Settings, load_settings
from scripts.env_example import render

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".env.example").read_text(encoding="utf-8")
VALUES = dict(re.findall(r"^#([A-Z_]+)=(.*)$", TEXT, re.MULTILINE))
FOR_COMPOSE = {"POSTGRES_PASSWORD"}


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test: an empty folder and an environment without their names."""
    monkeypatch.chdir(tmp_path)
    for name in VALUES:
        monkeypatch.delenv(name, raising=False)


def test_the_file_is_what_make_format_writes() -> None:
    assert render() == TEXT


def test_every_setting_is_named_and_described_and_no_other() -> None:
    assert set(VALUES) - FOR_COMPOSE == {name.upper() for name in Settings.model_fields}
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_values_shown_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in VALUES.items()))
    assert load_settings() == load_settings(_env_file=None)


def test_the_file_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(TEXT)
    assert load_settings() == load_settings(_env_file=None)


def test_the_variable_of_compose_does_not_stop_the_service(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=secret\nPORT=9000\n")
    assert load_settings().port == 9000


def test_no_sample_secret_is_shown() -> None:
    secrets = {"SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "POSTGRES_PASSWORD"}
    assert {name: VALUES[name] for name in secrets} == dict.fromkeys(secrets, "")
