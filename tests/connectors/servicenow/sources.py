"""A simulated ServiceNow for the connector's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, OnWait, ignore_wait
from integrations_api.connectors.registry import find_service
from integrations_api.egress.guard import EgressPolicy
from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance, SimulatorServer, User
from integrations_api.simulator.servicenow.access import DEFAULT_PASSWORD
from tests.connectors.copying import FastTime

LOOPBACK = EgressPolicy(allowed_hosts=("127.0.0.1",))


class SimulatedServiceNow:
    """An instance behind a server, and connectors to it."""

    def __init__(self, server: SimulatorServer) -> None:
        self.server = server
        self.instance: ServiceNowInstance = server.instance
        self.time = FastTime()
        self.secrets = [DEFAULT_PASSWORD, "wrong-" + DEFAULT_PASSWORD]

    def open(
        self,
        *,
        page_size: int = 7,
        concurrency: int = 1,
        budget: float = 5,
        wrong_password: bool = False,
        on_wait: OnWait = ignore_wait,
        policy: EgressPolicy = LOOPBACK,
        url: str = "",
        **options: Any,
    ) -> Connector:
        service = find_service("ServiceNow")
        assert service is not None
        config = {
            "url": url or self.server.url,
            "username": "integration",
            "password": f"{'wrong-' if wrong_password else ''}{DEFAULT_PASSWORD}",
        }
        context = ConnectorContext(
            page_size=page_size,
            concurrency=concurrency,
            overlap_seconds=300,
            retry_budget_seconds=budget,
            on_wait=on_wait,
        )
        return service.open("basic_auth", config | options, context, policy, self.time.time)

    def open_elsewhere(self) -> Connector:
        return self.open(url="http://127.0.0.1:9")

    def titles(self) -> dict[str, str]:
        return {row["sys_id"]: row["short_description"] for row in self.instance.listing()}

    def create(self, title: str) -> str:
        return self.instance.create({"short_description": title})

    def update(self, external_id: str, title: str) -> None:
        self.instance.update(external_id, {"short_description": title})

    def touch(self, external_id: str) -> None:
        self.instance.update(external_id)

    def delete(self, external_id: str) -> None:
        self.instance.delete(external_id)

    def clear(self) -> None:
        for sys_id in self.instance.sys_ids():
            self.instance.delete(sys_id)

    def advance(self, seconds: int) -> None:
        clock = self.instance.clock
        assert isinstance(clock, ManualClock)
        clock.advance(seconds)

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.instance.clock.now())


def instance_of(count: int, **options: Any) -> ServiceNowInstance:
    """Incidents whose last change lies just before the clock, for a user who sees what a sync needs."""
    user = User(**options)
    user.roles |= {"delete_log_reader", "archive_reader", "journal_reader"}
    return ServiceNowInstance.with_incidents(
        count, seed=7, until="2026-03-02 08:59:00", clock=ManualClock("2026-03-02 09:00:00"), users=[user]
    )
