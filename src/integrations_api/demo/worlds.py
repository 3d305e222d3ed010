"""The simulated sources that the demo can show, one row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Struct

from integrations_api.simulator import github, jira, servicenow
from integrations_api.simulator.common.clock import Clock
from integrations_api.simulator.common.faults import World
from integrations_api.simulator.common.server import SimulatorServer

SEED = 1
READER = servicenow.User(
    user_name="integration",
    # So that the demo's syncs also see what was deleted.
    roles={"sn_incident_read", "snc_read_only", "delete_log_reader", "archive_reader"},
)


class Made(Struct, frozen=True):
    """One simulated source: what happens there, and how it is served on a port (0: any)."""

    world: World
    evolve: Callable[[int, int], Mapping[str, int]]
    """Lets so many changes happen, by a seed; says how many of each kind."""
    serve: Callable[[int], SimulatorServer[Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A service that can be shown."""

    name: str
    noun: str
    counted: str
    """What its world's counts call them."""
    make: Callable[[int, Clock], Made]
    auth_type: str
    sign_in: Mapping[str, Any] = field(repr=False)
    mode: Literal["incremental", "full"] = "full"
    """Full where the source keeps no log of deletions: else a demo's sync could not end complete."""


def _servicenow(count: int, clock: Clock) -> Made:
    world = servicenow.ServiceNowInstance.with_incidents(count, seed=SEED, clock=clock, users=[READER])
    return Made(
        world,
        lambda steps, seed: servicenow.evolve(world, steps, seed=seed),
        lambda port: servicenow.SimulatorServer(world, port=port, control=False),
    )


def _jira(count: int, clock: Clock) -> Made:
    world = jira.JiraSite.with_issues(count, seed=SEED, clock=clock)
    return Made(
        world,
        lambda steps, seed: jira.evolve(world, steps, seed=seed),
        lambda port: jira.SimulatorServer(world, port=port, control=False),
    )


def _github(count: int, clock: Clock) -> Made:
    world = github.with_issues(count, seed=SEED, clock=clock)
    return Made(
        world,
        lambda steps, seed: github.evolve(world, steps, seed=seed),
        lambda port: github.GitHubServer(world, port=port, control=False),
    )


_JIRA_USER = jira.User()
KINDS: Mapping[str, Kind] = {
    "servicenow": Kind(
        name="ServiceNow",
        noun="incidents",
        counted="incident",
        make=_servicenow,
        auth_type="basic_auth",
        sign_in={"username": READER.user_name, "password": READER.password},
        mode="incremental",
    ),
    "jira": Kind(
        name="Jira",
        noun="issues",
        counted="issue",
        make=_jira,
        auth_type="api_token",
        sign_in={"email": _JIRA_USER.email, "api_token": _JIRA_USER.api_token},
    ),
    "github": Kind(
        name="GitHub",
        noun="issues",
        counted="issues",
        make=_github,
        auth_type="api_token",
        sign_in={"owner": github.OWNER, "api_token": github.DEFAULT_TOKEN},
    ),
}
