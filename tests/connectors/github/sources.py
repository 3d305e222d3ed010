"""A simulated GitHub for the connector's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, OnWait, ignore_wait
from integrations_api.connectors.registry import find_service
from integrations_api.egress.guard import EgressPolicy
from integrations_api.simulator.github import (
    DEFAULT_TOKEN,
    OWNER,
    GitHubInstance,
    GitHubServer,
    ManualClock,
    with_issues,
)
from tests.connectors.copying import FastTime

LOOPBACK = EgressPolicy(allowed_hosts=("127.0.0.1",))
PLATFORM, DESK, APPS = (f"{OWNER}/{name}" for name in ("platform", "service-desk", "business-apps"))
ALL = [PLATFORM, DESK, APPS]


class SimulatedGitHub:
    """A GitHub behind a server, and connectors to it."""

    def __init__(self, server: GitHubServer, **config: Any) -> None:
        self.server = server
        self.instance: GitHubInstance = server.instance
        self.config = config or {"owner": OWNER}
        self.time = FastTime()
        self.secrets = [DEFAULT_TOKEN, "wrong-" + DEFAULT_TOKEN]

    def open(
        self,
        *,
        page_size: int = 7,
        concurrency: int = 1,
        budget: float = 5,
        wrong_password: bool = False,
        on_wait: OnWait = ignore_wait,
        url: str = "",
        **options: Any,
    ) -> Connector:
        service = find_service("GitHub")
        assert service is not None
        token = f"{'wrong-' if wrong_password else ''}{DEFAULT_TOKEN}"
        config = {"url": url or self.server.url, "api_token": token, **self.config, **options}
        context = ConnectorContext(
            page_size=page_size,
            concurrency=concurrency,
            overlap_seconds=300,
            retry_budget_seconds=budget,
            on_wait=on_wait,
        )
        return service.open("api_token", config, context, LOOPBACK, self.time.time)

    def open_elsewhere(self) -> Connector:
        return self.open(url="http://127.0.0.1:9")

    def titles(self) -> dict[str, str]:
        return {str(row["id"]): str(row["title"]) for row in self.instance.listing()}

    def create(self, title: str) -> str:
        return str(self.instance.create(PLATFORM, title))

    def update(self, external_id: str, title: str) -> None:
        self.instance.update(int(external_id), title=title)

    def touch(self, external_id: str) -> None:
        self.instance.touch(int(external_id))

    def delete(self, external_id: str) -> None:
        self.instance.delete(int(external_id))

    def clear(self) -> None:
        for issue_id in list(self.instance.by_id):
            self.instance.delete(issue_id)

    def advance(self, seconds: int) -> None:
        clock = self.instance.clock
        assert isinstance(clock, ManualClock)
        clock.advance(seconds)

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.instance.clock.now())


def instance_of(count: int) -> GitHubInstance:
    """Issues whose last change lies just before the clock."""
    return with_issues(count, seed=7, clock=ManualClock("2026-03-02 09:00:00"))
