"""A simulated Jira for the connector's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, OnWait, ignore_wait
from integrations_api.connectors.registry import find_service
from integrations_api.egress.guard import EgressPolicy
from integrations_api.simulator.jira import Flavour, JiraSite, ManualClock, SimulatorServer, User
from integrations_api.simulator.jira.access import (
    DEFAULT_API_TOKEN,
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    DEFAULT_PASSWORD,
    DEFAULT_PAT,
)
from tests.connectors.copying import FastTime
from tests.support.tokens import GivenTokens

LOOPBACK = EgressPolicy(allowed_hosts=("127.0.0.1",))
SIGN_INS: dict[tuple[Flavour, str], dict[str, str]] = {
    ("cloud", "basic_auth"): {"username": "integration@example.com", "password": DEFAULT_API_TOKEN},
    ("cloud", "api_token"): {"email": "integration@example.com", "api_token": DEFAULT_API_TOKEN},
    ("datacenter", "basic_auth"): {"username": "integration", "password": DEFAULT_PASSWORD},
    ("datacenter", "api_token"): {"api_token": DEFAULT_PAT},
    ("cloud", "oauth2"): {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET},
    ("datacenter", "oauth2"): {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET},
}
"""What a config holds beside the URL, for each way of signing in."""


class SimulatedJira:
    """A site behind a server, and connectors to it."""

    def __init__(self, server: SimulatorServer, auth_type: str = "api_token") -> None:
        self.server = server
        self.site: JiraSite = server.site
        self.auth_type = auth_type
        self.time = FastTime()
        known = [DEFAULT_API_TOKEN, DEFAULT_PASSWORD, DEFAULT_PAT]
        self.tokens: GivenTokens | None = None
        self.secrets = [*known, *(f"wrong-{secret}" for secret in known)]

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
        service = find_service("Jira")
        assert service is not None
        sign_in = dict(SIGN_INS[self.site.flavour, self.auth_type])
        if wrong_password:
            secret = next(key for key in ("password", "api_token", "client_secret") if key in sign_in)
            sign_in[secret] = f"wrong-{sign_in[secret]}"
        context = ConnectorContext(
            page_size=page_size,
            concurrency=concurrency,
            overlap_seconds=300,
            retry_budget_seconds=budget,
            on_wait=on_wait,
            tokens=self.tokens_for(wrong_password),
        )
        config = {"url": url or self.server.url, **sign_in, **options}
        if self.auth_type == "oauth2" and self.site.flavour == "cloud":
            config |= {"auth_url": config["url"], "api_url": config["url"]} | options
        return service.open(self.auth_type, config, context, LOOPBACK, self.time.time)

    def tokens_for(self, wrong: bool) -> GivenTokens | None:
        """What an integration that is connected by OAuth hands out."""
        if self.auth_type != "oauth2":
            return None
        if self.tokens is None:
            self.site.door.token_seconds = 30 * 86_400  # tests that let hours pass are about other things
            issued = [self.site.door.issue("integration", is_offline=True) for _ in range(2)]
            self.tokens = GivenTokens([str(answer["access_token"]) for answer in issued])
            self.secrets += self.tokens.tokens
        return GivenTokens([f"wrong-{token}" for token in self.tokens.tokens]) if wrong else self.tokens

    def open_elsewhere(self) -> Connector:
        return self.open(url="http://127.0.0.1:9")

    def titles(self) -> dict[str, str]:
        return {row["id"]: row["summary"] for row in self.site.listing()}

    def create(self, title: str) -> str:
        return self.site.create({"summary": title})

    def update(self, external_id: str, title: str) -> None:
        self.site.update(external_id, {"summary": title})

    def touch(self, external_id: str) -> None:
        self.site.touch(external_id)

    def delete(self, external_id: str) -> None:
        self.site.delete(external_id)

    def clear(self) -> None:
        for issue_id in self.site.ids():
            self.site.delete(issue_id)

    def advance(self, seconds: int) -> None:
        clock = self.site.clock
        assert isinstance(clock, ManualClock)
        clock.advance(seconds)

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.site.clock.now())


def site_of(count: int, flavour: Flavour = "cloud", *, time_zone: str = "America/Los_Angeles") -> JiraSite:
    """Issues whose last change lies just before the clock."""
    return JiraSite.with_issues(
        count,
        seed=7,
        until="2026-03-02 08:59:00",
        flavour=flavour,
        clock=ManualClock("2026-03-02 09:00:00"),
        users=[User(time_zone=time_zone)],
    )
