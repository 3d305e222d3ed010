"""What can be known about the image and the compose file without a container engine."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from integrations_api.settings import Settings
from tests.support.yaml_subset import read_yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = read_yaml((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
NETWORKS: dict[str, Any] = COMPOSE["networks"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "integrations-api"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def copied_from_here() -> list[str]:
    """Paths of the repository that the Dockerfile copies."""
    copies = [shlex.split(rest) for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [source for words in copies for source in words[:-1]]


def reaches_the_build(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last matching line decides."""
    allowed = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        parents = [str(parent) for parent in Path(path).parents if str(parent) != "."]
        if line and not line.startswith("#") and any(fnmatch(name, pattern) for name in [path, *parents]):
            allowed = line.startswith("!")
    return allowed


def test_everything_copied_exists_and_reaches_the_build() -> None:
    sources = copied_from_here()
    assert "src" in sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not reaches_the_build(source)] == []


@pytest.mark.parametrize("path", [".env", ".git/config", "data/secrets", ".venv/bin/python", "src/data/raw.json"])
def test_secrets_and_data_stay_out_of_the_build(path: str) -> None:
    assert not reaches_the_build(path)


def test_every_package_comes_from_a_lock_file_with_hashes_or_is_our_wheel() -> None:
    commands = [part.strip() for word, rest in instructions() if word == "RUN" for part in rest.split("&&")]
    installs = [command for command in commands if "pip install" in command]
    locked = [command for command in installs if "--require-hashes" in command and "--no-deps" in command]
    assert [re.findall(r"-r (\S+)", command) for command in locked] == [
        ["requirements.lock"],
        ["requirements-build.lock"],
    ]
    assert [command for command in installs if command not in locked] == [
        "/opt/integrations-api/bin/pip install --no-deps --no-index dist/*.whl"
    ]


def test_the_image_runs_as_an_ordinary_user_and_holds_no_database() -> None:
    last = stages()[-1]
    words = [word for word, _ in last]
    (user,) = [rest for word, rest in last if word == "USER"]
    assert user == "10001:10001"
    assert any(word == "RUN" and "--uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin" in rest
               for word, rest in last)  # fmt: skip
    assert words.index("USER") < words.index("CMD")
    assert "pgserver" not in (ROOT / "requirements.lock").read_text()


def test_the_health_check_asks_the_port_that_the_command_serves() -> None:
    last = dict(stages()[-1])
    command = json.loads(last["CMD"])
    port = command[command.index("--port") + 1]
    assert last["EXPOSE"] == port
    assert f"http://127.0.0.1:{port}/healthz" in last["HEALTHCHECK"]


@pytest.fixture(params=[200, 503])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """The port of something that answers every GET alike, and whether that is well."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port, request.param == 200
        server.shutdown()
        serving.join()


def test_the_health_check_asks_the_service_itself_where_a_proxy_is_in_the_environment(
    answering: tuple[int, bool],
) -> None:
    port, is_well = answering
    _, _, command = dict(stages()[-1])["HEALTHCHECK"].partition(" CMD ")
    _, *arguments = json.loads(command.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))

    done = subprocess.run(
        [sys.executable, *arguments], env={"http_proxy": "http://127.0.0.1:9"}, capture_output=True, timeout=30
    )

    assert (done.returncode == 0) is is_well, done.stderr


def test_the_health_check_of_nginx_passes_a_proxy_by_too() -> None:
    assert re.search("wget .*-Y off ", " ".join(SERVICES["nginx"]["healthcheck"]["test"]))


def test_compose_starts_the_parts_in_order() -> None:
    assert set(SERVICES) == {"postgres", "migrate", "api", "worker", "simulator", "nginx", "more-api", "more-workers"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in set(OURS) - {"migrate"}:
        assert OURS[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    healthy = {"condition": "service_healthy"}
    assert SERVICES["nginx"]["depends_on"] == {"api": healthy, "more-api": healthy}


def test_what_is_no_part_of_the_plain_service_is_in_a_profile() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "simulator": ["demo"],
        "nginx": ["scale"],
        "more-api": ["scale"],
        "more-workers": ["scale"],
    }


def test_profile_scale_makes_two_replicas_of_the_api_and_three_workers_like_the_first() -> None:
    api, worker = SERVICES["api"], SERVICES["worker"]
    assert "--no-worker" in api["command"]
    assert SERVICES["more-api"] == {**api, "profiles": ["scale"], "ports": []}
    assert SERVICES["more-workers"] == {**worker, "profiles": ["scale"], "deploy": {"replicas": "2"}}


def test_compose_holds_no_secret_and_stops_where_one_is_missing() -> None:
    environment = SERVICES["api"]["environment"]
    for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
        assert environment[name].startswith(f"${{{name}:?")
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert environment["DATABASE_URL"] == "postgresql://integrations:${POSTGRES_PASSWORD}@postgres:5432/integrations"


@pytest.mark.parametrize(
    ("others", "trusted"), [("", ()), ("10.0.0.5,10.0.0.6", ("10.0.0.5", "10.0.0.6"))], ids=["none", "two"]
)
def test_the_proxies_that_an_operator_names_come_beside_nginx(
    others: str, trusted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SERVICES["api"]["environment"]["TRUSTED_PROXIES"].replace("${TRUSTED_PROXIES:-}", others)
    monkeypatch.setenv("TRUSTED_PROXIES", given)

    assert Settings(_env_file=None).trusted_proxies == ("10.213.47.2", *trusted)


def test_the_secrets_that_compose_asks_for_are_made_with_the_image_alone() -> None:
    """Nothing of this project is installed where Docker runs, and compose runs nothing before they are there."""
    text = (ROOT / "docker-compose.yml").read_text()
    made = [
        text.index(f"#   {line}") for line in ("docker build --tag integrations-api .", "docker run --rm ", "echo ")
    ]
    assert "docker run --rm integrations-api integrations-api secrets generate >> .env\n" in text
    assert [*made, text.index("#   docker compose up")] == sorted([*made, text.index("#   docker compose up")])


def test_compose_sets_only_settings_that_exist() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for service in OURS.values():
        assert set(service.get("environment", {})) <= known


def test_only_loopback_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:${PORT:-8000}:8000", "127.0.0.1:8080:8080"]


def test_links_lead_to_the_port_that_is_published_unless_an_address_is_named() -> None:
    assert SERVICES["api"]["environment"]["PUBLIC_URL"] == "${PUBLIC_URL:-http://127.0.0.1:${PORT:-8000}}"
    assert SERVICES["api"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]


def test_the_api_trusts_nginx_alone_whose_address_nobody_else_is_given() -> None:
    (network,) = NETWORKS["front"]["ipam"]["config"]
    nginx = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    assert SERVICES["api"]["environment"]["TRUSTED_PROXIES"] == f"{nginx},${{TRUSTED_PROXIES:-}}"
    assert ip_address(nginx) in ip_network(network["subnet"])
    assert ip_address(nginx) not in ip_network(network["ip_range"])
    assert [name for name, service in SERVICES.items() if "front" in service.get("networks", [])] == [
        "api",
        "more-api",
        "nginx",
    ]
