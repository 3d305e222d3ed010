"""Whatever stands in a source's texts or in requests: each line that service and worker log is one line of JSON."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow import Fault, ServiceNowInstance, SimulatorServer
from integrations_api.simulator.servicenow.faults.data import ODD_TEXTS
from integrations_api.simulator.servicenow.messages import Call, error_answer
from integrations_api.vault.bootstrap import generate_secrets
from tests.journeys.test_handover import admin_token, client, create_integration
from tests.support.processes import running

ODD = " ".join(ODD_TEXTS)


class OddRefusal(Fault):
    """Refuses in words that would break lines and frames."""

    name = "odd_refusal"

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        return error_answer(403, ODD.replace("\ud83d", "").replace("\udc00", ""), "x\r\nevent: complete\ndata: {}\n\n")


@pytest.fixture
def odd_source() -> Iterator[SimulatorServer]:
    """Odd text in every text field; some numbers are odd, some are nothing but odd."""
    instance = ServiceNowInstance.with_incidents(40)
    with SimulatorServer(instance) as server:
        server.add_fault("odd_text", every=1)
        for i, sys_id in enumerate(instance.sys_ids()):
            instance.update(sys_id, {"number": "\r\n\x1b" if i % 5 == 0 else f"INC{i}{ODD_TEXTS[i % len(ODD_TEXTS)]}"})
        yield server


@pytest.fixture
def rude_source() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(1)) as server:
        server.add_fault(OddRefusal(on="any"))
        yield server


def _send_odd_requests(api: httpx.Client) -> int:
    """Odd paths, queries, headers, bodies; how many requests that were."""
    answers = [
        api.get("/integrations/id/%0d%0a%00%1b%5b31m%e2%80%ae"),
        api.get("/no/such%0Aroute", params={"x": ODD_TEXTS[5], "limit": "\n"}),
        api.get("/integrations/all", headers={b"X-Request-ID": b"a\tb", b"User-Agent": b"odd \xff\x9b agent"}),
        api.post("/integrations/create", json={"service_name": ODD_TEXTS[1], "config": {ODD_TEXTS[6]: ODD_TEXTS[4]}}),
        api.post("/auth/token", data={"username": ODD_TEXTS[0], "password": ODD_TEXTS[4]}),
        api.post("/integrations/create", content=b"\xff\x00{\r\n", headers={"Content-Type": "application/json"}),
    ]
    assert all(answer.status_code < 500 for answer in answers)
    return len(answers)


def _lines(said: str) -> list[dict[str, Any]]:
    """Every line as what it says. Split at line feeds alone, as who collects logs does."""
    return [json.loads(line) for line in said.removesuffix("\n").split("\n")]


def test_every_log_line_is_one_line_of_json_whatever_is_read_and_asked(
    tmp_path: Path, database_url: str, odd_source: SimulatorServer, rude_source: SimulatorServer
) -> None:
    hosts = ",".join(server.url.removeprefix("http://") for server in (odd_source, rude_source))
    settings = {
        **generate_secrets(), "DATABASE_URL": database_url, "EGRESS_ALLOWED_HOSTS": hosts, "RAW_DUMP_PATH": "",
        "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG",
    }  # fmt: skip
    token = anyio.run(admin_token, settings)

    with running(tmp_path, "serve", "--port", "0", settings=settings) as serve:
        with client(serve.wait_to_say(r'"url": "([^"]+)"')[1], token) as api:
            ends = [
                api.post(f"/integrations/sync/{create_integration(api, server)}").text.rstrip("\n").rpartition("\n")[2]
                for server in (odd_source, rude_source)
            ]
            sent = 4 + _send_odd_requests(api)
        serve.tell(signal.SIGTERM)
        serve.wait()  # a request's line may follow its answer
        said = serve.said

    succeeded, failed = (json.loads(end.removeprefix("data: ")) for end in ends)
    assert (succeeded["success"], succeeded["stats"]["added"], succeeded["stats"]["rejected"]) == (True, 32, 8)
    assert failed["message"].startswith("Failed to fetch incidents from ServiceNow: ")
    lines = _lines(said)
    assert said.isascii()
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert [line["event"] for line in lines].count("request") >= sent
    assert {line.get("error") for line in lines if line["event"] == "sync.failed"} == {failed["message"]}
