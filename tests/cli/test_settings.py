"""Settings that stop the start, and what the command line says about itself."""

import json
import re
import shutil
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest

from integrations_api.cli.commands import app
from integrations_api.settings import Settings, load_settings
from integrations_api.vault.bootstrap import resolve_secrets
from integrations_api.version import __version__
from tests.cli.conftest import Run, use_database

HELP = [
    (), ("serve",), ("worker",), ("migrate",), ("doctor",), ("demo",), ("token",), ("users",), ("users", "create"),
    ("users", "list"), ("users", "disable"), ("users", "enable"), ("users", "set-permissions"), ("secrets",),
    ("secrets", "generate"), ("secrets", "rotate"), ("secrets", "check"), ("audit",), ("audit", "verify"),
    ("simulate",), ("simulate", "servicenow"), ("simulate", "jira"), ("simulate", "github"), ("embeddings",),
    ("embeddings", "serve"), ("embeddings", "backfill"),
]  # fmt: skip

GROUPS = {(), ("users",), ("secrets",), ("audit",), ("simulate",), ("embeddings",)}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SYNC_PAGE_SIZE", "many", "SYNC_PAGE_SIZE: Input should be a valid integer"),
        ("SYNC_BATCH_SIZE", "0", "SYNC_BATCH_SIZE: Input should be greater than or equal to 1"),
        ("SYNC_OVERLAP", "soon", "SYNC_OVERLAP: expected a duration such as 90s, 5m, 2h or 1d"),
        ("SYNC_OVERLAP", "99999999999999d", "SYNC_OVERLAP: expected at most 36500d"),
        ("SYNC_PAGESIZE", "10", "SYNC_PAGESIZE: there is no such setting"),
        ("STREAMS_PER_USERS", "10", "STREAMS_PER_USERS: there is no such setting"),
        ("TRUSTED_PROXY", "10.0.0.5", "TRUSTED_PROXY: there is no such setting"),
        ("EGRESS_CA_FILE", "canary-7361.pem", "EGRESS_CA_FILE: cannot be read as PEM certificates"),
        ("EGRESS_CA_FILE", "/dev/null", "EGRESS_CA_FILE: cannot be read as PEM certificates"),
        ("WORKER_SILENCE", "30d", "WORKER_SILENCE: expected 1s at least and 1d at most"),
        ("RAW_DUMP_PATH", ".", "RAW_DUMP_PATH: expected the path of a file"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: Input should be 'text' or 'json'"),
        ("HOST", "", "HOST: String should have at least 1 character"),
        ("HOST", "api..example", "Cannot listen on api..example, port 0 (that is no name of a host)"),
        ("METRICS_TOKEN", "canary-7361", "METRICS_TOKEN: must have at least 16 characters"),
        ("DATABASE_URL", "mysql://canary-7361@host/x", "DATABASE_URL: expected postgresql://"),
        ("DATABASE_URL", "canary-7361", "DATABASE_URL: expected postgresql://"),
        (
            "DATABASE_URL",
            "postgresql://u:canary-7361@h/d?sslmode=verify-full&sslrootcert=/etc/canary-7361.pem",
            "DATABASE_URL: there is no file where sslrootcert says",
        ),
        (
            "DATABASE_URL",
            "postgresql://u:canary-7361@one:5432,two:5432/d?target_session_attrs=read-write",
            "DATABASE_URL: name one address, that leads to the primary also after a failover",
        ),
        (
            "DATABASE_URL",
            "postgresql://u:canary-7361@/d?host=one:5432,two:5432",
            "DATABASE_URL: name one address, that leads to the primary also after a failover",
        ),
        ("EMBEDDINGS_URL", "https://canary-7361@host/v1", "EMBEDDINGS_URL: expected an address"),
        ("EMBEDDINGS_URL", "https://host:99999/canary-7361", "EMBEDDINGS_URL: expected an address"),
        ("PUBLIC_URL", "integrations.example.com", "PUBLIC_URL: expected an address such as https://"),
        ("PUBLIC_URL", "https://canary-7361@host", "PUBLIC_URL: expected an address such as https://"),
        ("TRUSTED_PROXIES", "10.0.0.1,nginx", "TRUSTED_PROXIES: expected addresses or ranges"),
        ("TRUSTED_PROXIES", "10.0.0.5/24", "TRUSTED_PROXIES: expected addresses or ranges"),
        ("TRUSTED_PROXIES", "*", "TRUSTED_PROXIES: expected addresses or ranges"),
        ("EMBEDDINGS_URL", "https://host/v1", "Wrong settings: EMBEDDINGS_MODEL is required with EMBEDDINGS_URL"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named_without_its_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    refused = run("serve", "--port", "0")

    assert refused.code == 1
    assert said in refused.complaint
    assert "default factory" not in refused.complaint
    assert "canary-7361" not in refused.err


def test_names_in_the_environment_that_are_none_of_ours_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    of_kubernetes = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR"]
    for name in ("LOGIN_TIME", "DATABASE_HOST", *(f"EMBEDDINGS_{ending}" for ending in of_kubernetes)):
        monkeypatch.setenv(name, "of somebody else")

    assert load_settings(_env_file=None).port


def test_an_unknown_name_in_the_env_file_stops_the_start(run: Run) -> None:
    Path(".env").write_text("SYNC_BATCHES=5\n")

    refused = run("serve", "--port", "0")

    assert refused.code == 1
    assert "SYNC_BATCHES: there is no such setting" in refused.complaint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("PORT=8000\n\nSECRET_KEY canary-7361\n", 3),
        ("# a comment\nSECRET_KEY: canary-7361\n", 2),
        ("canary-7361", 1),
        ("PORT=8000\nexport canary-7361\n", 2),
        ("SECRET_KEY='canary-7361\nPORT=8000\n", 1),
        ("=canary-7361\n", 1),
    ],
)
def test_a_line_of_the_env_file_that_sets_nothing_stops_the_start_and_is_named_by_its_number(
    run: Run, text: str, line: int
) -> None:
    Path(".env").write_text(text)

    refused = run("serve", "--port", "0")

    assert refused.code == 1
    assert refused.complaint == f"integrations-api: Wrong settings: line {line} of .env: expected NAME=value"


def test_what_an_env_file_may_hold_besides_settings_is_passed_over(run: Run) -> None:
    Path(".env").write_text("\n# PORT\nexport LOG_LEVEL=INFO\nPUBLIC_URL='https://x.example'  # a comment\nPORT=x\n")

    refused = run("users", "list")

    assert refused.complaint.startswith("integrations-api: Wrong settings: PORT: Input should be a valid integer")


def test_an_env_file_that_is_no_utf8_text_is_told_in_a_sentence(run: Run) -> None:
    Path(".env").write_text("PORT=8000\n", encoding="utf-16")

    refused = run("serve", "--port", "0")

    assert refused.code == 1
    assert refused.complaint.startswith("integrations-api: .env is not UTF-8 text")


def test_an_env_file_that_may_not_be_read_is_told_in_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: Path) -> None:
        raise PermissionError(13, "Permission denied", ".env")

    # Root, who may run these tests, may read every file.
    monkeypatch.setattr("integrations_api.settings._refuse_broken_lines", forbidden)

    refused = run("serve", "--port", "0")

    assert (refused.code, refused.complaint) == (
        1,
        "integrations-api: .env cannot be read (Permission denied): let it belong to who runs this",
    )


@pytest.mark.parametrize("name", ["DATABASE_URL", "EMBEDDINGS_API_KEY", "METRICS_TOKEN"])
def test_a_value_that_was_kept_in_a_file_may_end_its_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = "postgresql+asyncpg://ada@127.0.0.1/integrations"
    monkeypatch.setenv(name, f"{kept}\n")

    assert getattr(load_settings(), name.lower()).get_secret_value() == kept


def test_a_value_that_is_nothing_but_the_end_of_a_line_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "\n")

    assert load_settings().metrics_token is None


@pytest.mark.parametrize("name", ["DATA_DIR", "EGRESS_CA_FILE", "RAW_DUMP_PATH"])
def test_a_path_in_the_env_file_may_begin_at_home(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(certifi.where(), "service")
    Path(".env").write_text(f"{name}=~/service\n")

    assert str(getattr(load_settings(), name.lower())) == str(tmp_path / "service")


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ENCRYPTION_KEYS"])
def test_keys_are_required_with_a_database_of_ones_own(
    run: Run, on_database: str, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)

    refused = run("serve", "--port", "0")

    assert refused.code == 1
    assert f"{missing} is required with DATABASE_URL" in refused.complaint


def test_generated_secrets_are_fresh_and_good_enough_to_start_with(run: Run) -> None:
    first, second = (dict(line.split("=", 1) for line in run("secrets", "generate").out.splitlines()) for _ in "12")

    assert set(first) == {"SECRET_KEY", "ENCRYPTION_KEYS"}
    assert not set(first.values()) & set(second.values())
    values = {name.lower(): value for name, value in first.items()}
    resolve_secrets(Settings(_env_file=None, database_url="postgresql://u@h/d", **values))  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_busy_port_is_one_line(run: Run, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        refused = run(command, "--port", str(port))

    assert refused.code == 1
    assert refused.complaint.startswith(f"integrations-api: Port {port} on 127.0.0.1 is in use")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_half_initialised_data_folder_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    (tmp_path / "half" / "postgres").mkdir(parents=True)
    (tmp_path / "half" / "postgres" / "PG_VERSION").write_text("18\n")
    monkeypatch.setenv("DATA_DIR", "half")

    refused = run(command, "--port", free_port())

    assert refused.code == 1
    assert "is incomplete (" in refused.complaint
    assert str(tmp_path / "half" / "postgres") in refused.complaint


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_data_folder_that_cannot_be_written_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("DATA_DIR", "/proc/integrations-api")  # Where even root makes no folder.

    refused = run(command, "--port", free_port())

    assert refused.code == 1
    assert "/proc/integrations-api" in refused.complaint
    assert "DATA_DIR" in refused.complaint


@pytest.mark.parametrize(("command", "setting"), [("serve", "METRICS_PORT"), ("worker", "WORKER_METRICS_PORT")])
def test_a_busy_port_for_metrics_is_named_by_its_setting(
    run: Run, on_database: str, monkeypatch: pytest.MonkeyPatch, command: str, setting: str
) -> None:
    monkeypatch.setenv("PORT", "0")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        monkeypatch.setenv(setting, port)
        refused = run(command)

    assert (refused.code, refused.complaint) == (
        1,
        f"integrations-api: Port {port} on 127.0.0.1 is in use: end the program there, or choose another {setting}",
    )


def test_an_unknown_fault_is_answered_with_the_known_ones(run: Run) -> None:
    refused = run("simulate", "servicenow", "--fault", "earthquake")

    assert refused.code == 2
    assert "There is no fault 'earthquake'. Known faults: " in refused.complaint


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_every_command_explains_itself_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    told = run(*command, "--help")

    assert told.code == 0
    assert ("Example" in told.out) == (command not in GROUPS)
    assert "--with-parent" not in told.out


def test_no_command_is_left_out_of_these_tests(run: Run) -> None:
    groups = [(), *((group.name,) for group in app.registered_groups)]
    named = {
        (*group, name)
        for group in groups
        for name in re.findall(r"^  ([a-z-]+)  ", run(*group, "--help").out.partition("Commands:")[2], re.MULTILINE)
    }
    assert named == set(HELP) - {()}


def test_the_release_is_told(run: Run) -> None:
    told = run("--version")

    assert (told.code, told.out, told.err) == (0, f"integrations-api {__version__}\n", "")


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    program = (
        "import sys, integrations_api.cli\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["fastapi", "sqlalchemy", "asyncpg", "alembic", "uvicorn", "httpx", "pydantic", "passlib"]

    done = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("\n", 0)


def test_a_defect_is_one_line_with_a_hint_and_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("the roof\nis gone")

    monkeypatch.setattr("integrations_api.vault.bootstrap.generate_secrets", broken)

    told = run("secrets", "generate")

    assert told.code == 1
    assert told.complaint == (
        "integrations-api: unexpected RuntimeError: the roof is gone (LOG_LEVEL=DEBUG shows where)"
    )


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_start_without_a_database_is_told_once_whatever_is_logged(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    use_database(monkeypatch, "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")

    refused = run(command)

    assert refused.code == 1
    assert refused.complaint.startswith("integrations-api: The database cannot be used")


def test_a_start_that_fails_is_one_line_of_json_where_logs_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use_database(monkeypatch, "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("LOG_FORMAT", "json")

    line = json.loads(run("worker").complaint)

    assert (line["event"], line["level"], line["exit_code"]) == ("command.failed", "error", 1)
    assert line["error"].startswith("The database cannot be used")


def test_a_start_that_breaks_shows_its_traceback_once_to_who_asks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the roof is gone")

    use_database(monkeypatch, "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setattr("integrations_api.app.create_app", broken)
    monkeypatch.setattr("integrations_api.cli.answering.check_schema", nothing)
    monkeypatch.setattr("integrations_api.integrations.secrets.SecretKeeper.require_keys", nothing)

    told = run("serve")

    assert told.err.count("RuntimeError: the roof is gone") == told.err.count("Traceback") == 1
    assert told.err.splitlines()[-1] == "integrations-api: unexpected RuntimeError, see above"


async def nothing(*_: object) -> None:
    """In the place of a look at the database."""


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"port": 8431}, "http://127.0.0.1:8431"),
        ({"port": 0}, "http://127.0.0.1:8000"),
        ({"port": 8431, "public_url": "https://int.example.com"}, "https://int.example.com"),
    ],
)
def test_links_lead_to_the_port_that_is_listened_on_unless_an_address_is_named(given: dict[str, Any], url: str) -> None:
    assert load_settings(_env_file=None, **given).public_url == url


PROMISED: dict[str, Any] = {
    "database_url": None,
    "data_dir": Path("data"),
    "raw_dump_path": "src/data/incidentspulledfromsnow.json",
    "sync_batch_size": 5,
    "sync_page_size": 1000,
    "sync_fetch_concurrency": 4,
    "sync_overlap": timedelta(minutes=5),
    "sync_delete_brake": 0.2,
    "sync_delete_brake_minimum": 50,
    "stream_ping": timedelta(seconds=15),
    "egress_allowed_hosts": (),
    "cors_origins": (),
    "knowledge_keep_versions": None,
    "embeddings_url": None,
}
"""What the contract, CLARIFICATIONS and the issues say of settings that nobody sets."""


def test_what_nobody_sets_is_as_it_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROMISED:
        monkeypatch.delenv(name.upper(), raising=False)

    settings = load_settings(_env_file=None)

    assert {name: getattr(settings, name) for name in PROMISED} == PROMISED
