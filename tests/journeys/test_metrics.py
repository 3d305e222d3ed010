"""A real API and a real worker are scraped: dashboard and alert rules ask for what they give, and for nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer
from integrations_api.vault.bootstrap import generate_secrets
from tests.journeys.test_handover import admin_token, client, create_integration
from tests.support.databases import Databases
from tests.support.processes import PATIENCE, Running, running, wait_for
from tests.support.promql import Asked, read_promql

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
TOKEN = "a-token-for-prometheus"
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds to whatever it scrapes; `up` is its own metric."""

Exported = dict[str, dict[str, set[str]]]
"""The values of each label of each series by its name."""


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OPERATIONS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((OPERATIONS / "dashboard.json").read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in alert_rules()},
    **{
        f"{panel['id']} {panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    },
}


@pytest.fixture(scope="module")
def scrapes(test_databases: Databases, template_database: str, tmp_path_factory: Any) -> Iterator[list[str]]:
    """What the API's process and the worker's give, on ports of their own, after one sync."""
    url = test_databases.create(template=template_database)
    with SimulatorServer(ServiceNowInstance.with_incidents(7)) as server:
        settings = {
            **generate_secrets(), "DATABASE_URL": url, "EGRESS_ALLOWED_HOSTS": server.url.removeprefix("http://"),
            "RAW_DUMP_PATH": "", "METRICS_PORT": "0", "WORKER_METRICS_PORT": "0", "METRICS_TOKEN": TOKEN,
        }  # fmt: skip
        token = anyio.run(admin_token, settings)
        with running(tmp_path_factory.mktemp("metrics"), "serve", "--port", "0", settings=settings) as serve:
            with client(serve.wait_until_ready(), token) as api:
                api.post(f"/integrations/sync/{create_integration(api, server)}").raise_for_status()
            yield [_scraped(one) for one in wait_for(lambda: _addresses(serve), "both ports")]
    test_databases.drop(url)


def _addresses(serve: Running) -> list[str] | None:
    found = re.findall(r"metrics\.started .*url=(\S+)", serve.said)
    return found if len(found) == 2 else None


def _scraped(url: str) -> str:
    assert httpx.get(url, trust_env=False, timeout=PATIENCE).status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.get(url, headers=bearer, trust_env=False, timeout=PATIENCE)
    return answer.raise_for_status().text


@pytest.fixture(scope="module")
def exported(scrapes: list[str]) -> Exported:
    found: Exported = {"up": {}}
    for scrape in scrapes:
        for family in text_string_to_metric_families(scrape):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


def unknown_in(asked: Asked, exported: Exported) -> list[str]:
    """What an expression asks for and no process gives."""
    found = [name for name, _ in asked.metrics if name not in exported]
    for name, matchers in asked.metrics:
        labels = exported.get(name, {})
        for one in matchers:
            if one.label not in labels.keys() | SCRAPED:
                found.append(f"{name}: {one.label}")
            elif one.operator in {"=", "!="} and one.value not in labels.get(one.label, {one.value}):
                found.append(f"{name}: {one.label}={one.value}")
    known = SCRAPED.union(*(exported.get(name, {}) for name, _ in asked.metrics))
    return found + sorted(asked.grouped_by - known)


def test_api_and_worker_each_give_what_they_counted(scrapes: list[str]) -> None:
    succeeded = 'integrations_sync_runs_ended_total{state="succeeded"}'
    assert sorted(f"{succeeded} 1.0" in scrape for scrape in scrapes) == [False, True]
    assert sorted('route="/readyz"' in scrape for scrape in scrapes) == [False, True]
    assert ["integrations_workers 1.0" in scrape for scrape in scrapes] == [True, True]


def test_every_expression_asks_for_what_is_given_and_for_nothing_else(exported: Exported) -> None:
    asked = {name: read_promql(expression) for name, expression in EXPRESSIONS.items()}

    assert [name for name, one in asked.items() if not one.metrics] == []
    assert {name: unknown for name, one in asked.items() if (unknown := unknown_in(one, exported))} == {}


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("max(integrations_worker) > 0", ["integrations_worker"]),
        ('integrations_queue_jobs{state="queued"}', ["integrations_queue_jobs: state"]),
        ('integrations_queue_jobs{status="waiting"}', ["integrations_queue_jobs: status=waiting"]),
        ("sum by (cause) (rate(integrations_vault_refusals_total[5m]))", ["cause"]),
        ('max by (job) (integrations_queue_jobs{status=~"q.*", job="x"})', []),
    ],
)
def test_a_name_or_label_that_nobody_gives_is_found(expression: str, unknown: list[str]) -> None:
    given: Exported = {
        "integrations_queue_jobs": {"status": {"queued", "picked"}},
        "integrations_vault_refusals_total": {"reason": {"damaged"}},
    }

    assert unknown_in(read_promql(expression), given) == unknown


def test_whatever_is_given_is_on_the_dashboard(exported: Exported) -> None:
    shown = {
        name for panel in panels() for target in panel["targets"] for name, _ in read_promql(target["expr"]).metrics
    }
    given = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported if name.startswith("integrations_")}

    assert {name.removesuffix("_bucket") for name in shown} >= given


def test_words_of_an_alert_name_only_labels_that_it_has(exported: Exported) -> None:
    for rule in alert_rules():
        asked = read_promql(rule["expr"])
        of_series = SCRAPED.union(*(exported[name] for name, _ in asked.metrics))
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))

        assert named <= (asked.grouped_by or of_series), rule["alert"]
