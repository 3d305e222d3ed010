"""nginx's template against the settings it must agree with. What nginx does with it is tested by `make topology`."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations_api.api.limits import MAX_QUERY_BYTES
from integrations_api.cli.quiet_server import config_for
from integrations_api.settings import Settings
from tests.support.applications import bare_app, settings_for
from tests.support.proxies import TEMPLATE, blanks, check_configuration, find_nginx
from tests.support.yaml_subset import read_yaml

ROOT = Path(__file__).parents[2]
TEXT = TEMPLATE.read_text()
NGINX: dict[str, Any] = read_yaml((ROOT / "docker-compose.yml").read_text())["services"]["nginx"]
_UNITS = {"": 1, "s": 1, "m": 60, "k": 1024}


def values_of(directive: str) -> list[str]:
    """What a directive is given, at each place where it stands."""
    return re.findall(rf"^\s*{directive} (.+);$", TEXT, re.MULTILINE)


def number(written: str) -> int:
    """Seconds or bytes."""
    match = re.fullmatch(r"(\d+)([smk]?)", written)
    assert match is not None, written
    return int(match[1]) * _UNITS[match[2]]


def default(name: str) -> Any:
    return Settings.model_fields[name].default


def test_compose_fills_in_every_blank_and_mounts_the_template_where_the_image_looks() -> None:
    environment = NGINX["environment"]
    assert blanks(TEXT) == {name for name in environment if name != "NGINX_ENVSUBST_OUTPUT_DIR"}
    (mount,) = NGINX["volumes"]
    assert mount == "./deploy/nginx.conf.template:/etc/nginx/templates/nginx.conf.template:ro"
    assert (ROOT / "deploy" / "nginx.conf.template").exists()
    assert environment["NGINX_ENVSUBST_OUTPUT_DIR"] == "/etc/nginx"
    assert re.findall(r"server (\S+) resolve", environment["NGINX_REPLICAS"]) == ["api:8000", "more-api:8000"]


def test_the_largest_body_is_that_of_the_service() -> None:
    assert NGINX["environment"]["MAX_BODY_BYTES"] == f"${{MAX_BODY_BYTES:-{default('max_body_bytes')}}}"


def test_the_service_itself_answers_a_query_that_is_too_long() -> None:
    ((_, size),) = [value.split() for value in values_of("large_client_header_buffers")]
    assert number(size) > MAX_QUERY_BYTES + 4096


def test_nginx_gives_an_idle_connection_up_before_the_replica_closes_it() -> None:
    config = config_for(bare_app(), settings_for("postgresql://nobody@127.0.0.1:1/nothing"))
    assert [number(value) for value in values_of("keepalive_timeout")] == [config.timeout_keep_alive - 1]


def test_answers_are_waited_for_longer_than_the_service_waits() -> None:
    plain, stream = [timedelta(seconds=number(value)) for value in values_of("proxy_read_timeout")]
    assert plain > default("egress_timeout")
    assert stream >= 3 * default("stream_ping")


@pytest.mark.parametrize(
    ("path", "is_stream"),
    [
        ("/integrations/sync/fda25054-1102-49e1-bc07-fc40746792e6", True),
        ("/integrations/sync/fda25054-1102-49e1-bc07-fc40746792e6/events", True),
        ("/integrations/runs/fda25054-1102-49e1-bc07-fc40746792e6/events", True),
        ("/integrations/sync/fda25054-1102-49e1-bc07-fc40746792e6/runs", False),
        ("/integrations/fda25054-1102-49e1-bc07-fc40746792e6", False),
    ],
)
def test_event_streams_have_a_location_of_their_own(path: str, is_stream: bool) -> None:
    (pattern,) = re.findall(r"location ~ (\S+) \{", TEXT)
    assert bool(re.search(pattern, path)) is is_stream


def test_every_stream_of_the_service_is_in_that_location() -> None:
    (pattern,) = re.findall(r"location ~ (\S+) \{", TEXT)
    streams = [
        path
        for path, operations in bare_app().openapi()["paths"].items()
        if any(
            "text/event-stream" in told["responses"].get("200", {}).get("content", {}) for told in operations.values()
        )
    ]
    assert len(streams) == 3
    assert [path for path in streams if not re.search(pattern, path.replace("{", "").replace("}", ""))] == []


def _streams(operation: dict[str, Any]) -> bool:
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


def test_no_log_line_holds_a_query_or_a_header_of_the_request() -> None:
    assert not re.search(r"\$(request|request_uri|args|query_string|is_args|arg_\w+|http_\w+)\b", _log_format())
    assert values_of("error_log") == ["stderr crit"]


def _log_format() -> str:
    return TEXT[TEXT.index("log_format") : TEXT.index("access_log")]


def test_a_post_is_never_sent_twice() -> None:
    assert values_of("proxy_next_upstream") == ["error timeout"]


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not on this machine; make topology fetches it")
def test_nginx_accepts_it(tmp_path: Path) -> None:
    program = find_nginx()
    assert program is not None
    assert check_configuration(tmp_path, program).endswith("test is successful\nexit code 0")
