"""`doctor` on the command line: lines or JSON, its exit code, and nothing secret."""

import json
import subprocess
from pathlib import Path

import pytest

from integrations_api.cli.child import own_command
from integrations_api.vault.bootstrap import generate_secrets
from tests.cli.conftest import Run, use_database
from tests.cli.test_secrets import store_a_secret
from tests.support.processes import PATIENCE

CANARY = "cAnArY-7361"


def test_each_look_is_a_line_with_its_state_and_name(run: Run, on_database: str) -> None:
    told = run("doctor")

    lines = [line.split(maxsplit=2) for line in told.out.splitlines()]
    assert told.code == 0
    assert [name for _, name, _ in lines] == [
        "settings", "database", "schema", "extensions", "clock", "queue", "keys", "egress",
    ]  # fmt: skip
    assert {status for status, _, _ in lines} == {"ok", "warning"}  # There is no worker.
    assert told.err == ""


def test_json_tells_the_same(run: Run, on_database: str) -> None:
    lines, document = run("doctor"), run("doctor", "--json")

    told = json.loads(document.out)
    assert (document.code, told["success"]) == (0, True)
    assert [[check["status"], check["name"]] for check in told["checks"]] == [
        line.split()[:2] for line in lines.out.splitlines()
    ]
    assert told["checks"][0].keys() == {"name", "status", "seen", "remedy"}


def test_what_failed_makes_it_exit_with_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use_database(monkeypatch, "postgresql://nobody@127.0.0.1:1/nothing")

    lines, document = run("doctor"), run("doctor", "--json")

    assert (lines.code, document.code) == (1, 1)
    assert json.loads(document.out)["success"] is False


def test_its_help_tells_the_exit_codes(run: Run) -> None:
    words = " ".join(run("doctor", "--help").out.split())

    assert "Exits with 0 for ok and warnings, with 1 when something failed." in words


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SYNC_PAGE_SIZE", CANARY, "SYNC_PAGE_SIZE: Input should be a valid integer"),
        ("SYNC_NONSENSE", CANARY, "SYNC_NONSENSE: there is no such setting"),
        ("EGRESS_ALLOWED_HOSTS", "a/b", "EGRESS_ALLOWED_HOSTS"),
        ("EGRESS_PROXY", f"http://u:{CANARY}/{CANARY}@host:3128", "EGRESS_PROXY: expected http://"),
        ("EGRESS_NO_PROXY", "*.example.com", "EGRESS_NO_PROXY: '*.example.com' is no host"),
        ("EGRESS_CA_FILE", "not-there.pem", "EGRESS_CA_FILE: cannot be read as PEM certificates"),
        ("DATABASE_URL", f"postgresql://u:p@{CANARY}:{CANARY}@host/db", "DATABASE_URL: the host or port"),
    ],
)
def test_wrong_settings_are_named_and_fail(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    told = run("doctor")

    assert told.code == 1
    assert told.out.splitlines()[0].startswith("failed   settings")
    assert said in told.out.splitlines()[0]
    assert CANARY not in told.out + told.err


@pytest.mark.parametrize("password", ["p@x", "p@host:x", "p@host:x/y"])
def test_a_password_that_is_not_escaped_is_not_told(run: Run, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    use_database(monkeypatch, f"postgresql://ada:{CANARY}{password.replace('x', CANARY)}@127.0.0.1:1/db")

    for command in (("doctor",), ("users", "list"), ("serve", "--port", "0")):
        told = run(*command)

        assert told.code == 1
        assert CANARY not in told.out + told.err


@pytest.mark.parametrize("database", ["there", "away"])
def test_nothing_secret_is_shown(run: Run, on_database: str, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    store_a_secret()
    keys = generate_secrets()
    planted = {
        "METRICS_TOKEN": f"{CANARY}-metrics-token",
        "EMBEDDINGS_URL": f"http://127.0.0.1:1/{CANARY}/v1",
        "EMBEDDINGS_MODEL": "bag",
        "EMBEDDINGS_API_KEY": f"sk-{CANARY}",
        "EGRESS_PROXY": f"http://{CANARY}:{CANARY}@127.0.0.1:1",
        "LOG_LEVEL": "DEBUG",
        "SECRET_KEY": keys["SECRET_KEY"],
        "ENCRYPTION_KEYS": keys["ENCRYPTION_KEYS"],
        "DATABASE_URL": on_database if database == "there" else f"postgresql://ada:{CANARY}@127.0.0.1:1/db",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)

    said = [outcome.out + outcome.err for outcome in (run("doctor"), run("doctor", "--json"))]

    secrets = [CANARY, "canary", keys["SECRET_KEY"], keys["ENCRYPTION_KEYS"].partition(":")[2]]
    assert [secret for secret in secrets for text in said if secret in text] == []
    assert all("METRICS_TOKEN" in text and "embeddings" in text for text in said)
    assert all("The proxy cannot be reached" in text for text in said)


def test_it_leaves_nothing_in_an_empty_folder(run: Run) -> None:
    told = run("doctor")

    assert told.code == 0
    assert "`integrations-api serve`" in told.out
    assert list(Path().iterdir()) == []


def test_it_says_what_it_sees_where_standard_error_is_closed(tmp_path: Path) -> None:
    told = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *own_command("doctor")],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=PATIENCE,
    )  # fmt: skip

    assert told.returncode == 0
    assert told.stdout.startswith("ok       settings")
