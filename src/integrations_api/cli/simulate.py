"""`integrations-api simulate`: other people's systems, made up."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Optional

import typer

app = typer.Typer(no_args_is_help=True, help="Made-up systems to try the service on.")

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same data.")]
Faults = Annotated[
    Optional[list[str]],  # noqa: UP045 (typer reads the annotation)
    typer.Option(help="Misbehave: NAME or NAME:key=value,… (again for more; an unknown name lists all)."),
]


class JiraFlavour(StrEnum):
    """Which of the two products a simulated Jira is."""

    CLOUD = "cloud"
    DATACENTER = "datacenter"


@app.callback()
def group() -> None:
    """Made-up systems to try the service on."""


@app.command("servicenow")
def servicenow(
    host: Host = "127.0.0.1",
    port: Port = 8081,
    incidents: Annotated[int, typer.Option(min=0, max=5_000_000, help="How many incidents it has.")] = 2000,
    seed: Seed = 1,
    fault: Faults = None,
) -> None:
    """Run a simulated ServiceNow until Ctrl-C. To sync from it, put its host:port into EGRESS_ALLOWED_HOSTS.

    \b
    Examples:
      integrations-api simulate servicenow --incidents 500
      integrations-api simulate servicenow --fault rate_limited --fault latency:milliseconds=500
    """
    from integrations_api.simulator.servicenow import User, parse_fault, run_simulator

    user = User()
    run = partial(run_simulator, incidents=incidents, seed=seed, user=user)
    about = f"A simulated ServiceNow with {incidents:,} incidents"
    sign_in = f"User {user.user_name}, password {user.password}"
    _run(run, parse_fault, fault or (), host=host, port=port, about=about, sign_in=sign_in)


@app.command("jira")
def jira(
    host: Host = "127.0.0.1",
    port: Port = 8082,
    issues: Annotated[int, typer.Option(min=0, max=200_000, help="How many issues it has.")] = 2000,
    seed: Seed = 1,
    flavour: Annotated[JiraFlavour, typer.Option(help="Which of the two products it is.")] = JiraFlavour.CLOUD,
    fault: Faults = None,
) -> None:
    """Run a simulated Jira until Ctrl-C. To sync from it, put its host:port into EGRESS_ALLOWED_HOSTS.

    \b
    Examples:
      integrations-api simulate jira --issues 500
      integrations-api simulate jira --flavour datacenter --fault index_lag:seconds=60
    """
    from integrations_api.simulator.jira import BOOK, User, run_simulator

    user = User()
    is_cloud = flavour is JiraFlavour.CLOUD
    run = partial(run_simulator, issues=issues, seed=seed, flavour=flavour.value)
    about = f"A simulated Jira {'Cloud' if is_cloud else 'Data Center'} with {issues:,} issues"
    sign_in = f"User {user.user_name}, password {user.password}, personal access token {user.pat}"
    if is_cloud:
        sign_in = f"E-mail {user.email}, API token {user.api_token}"
    _run(run, BOOK.parse, fault or (), host=host, port=port, about=about, sign_in=sign_in)


@app.command("github")
def github(
    host: Host = "127.0.0.1",
    port: Port = 8083,
    issues: Annotated[int, typer.Option(min=0, max=500_000, help="How many issues it has.")] = 2000,
    seed: Seed = 1,
    fault: Faults = None,
) -> None:
    """Run a simulated GitHub until Ctrl-C. To sync from it, put its host:port into EGRESS_ALLOWED_HOSTS.

    \b
    Examples:
      integrations-api simulate github --issues 500
      integrations-api simulate github --fault secondary_limit --fault latency:milliseconds=500
    """
    from integrations_api.simulator.github import DEFAULT_TOKEN, OWNER, parse_fault, run_simulator

    run = partial(run_simulator, issues=issues, seed=seed)
    about = f"A simulated GitHub with {issues:,} issues"
    sign_in = f"Owner {OWNER}, token {DEFAULT_TOKEN}"
    _run(run, parse_fault, fault or (), host=host, port=port, about=about, sign_in=sign_in)


def _run(
    run: Callable[..., None],
    parse_fault: Callable[[str], Any],
    faults: Sequence[str],
    *,
    host: str,
    port: int,
    about: str,
    sign_in: str,
) -> None:
    """Says where it is and how to sign in, and runs it until Ctrl-C. Raises `WrongUsage` for an unknown fault."""
    from integrations_api.cli.errors import WrongUsage
    from integrations_api.cli.sockets import check_port

    try:
        for text in faults:
            parse_fault(text)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    check_port(host, port)
    print(f"{about}: http://{host}:{port}")
    print(f"{sign_in}. Ctrl-C ends it.", flush=True)
    try:
        run(host=host, port=port, faults=faults)
    except KeyboardInterrupt:
        return
