"""`integrations-api simulate`: other people's systems, made up."""

from typing import Annotated, Optional

import typer

app = typer.Typer(no_args_is_help=True, help="Made-up systems to try the service on.")


@app.callback()
def group() -> None:
    """Made-up systems to try the service on."""


@app.command("servicenow")
def servicenow(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8081,
    incidents: Annotated[int, typer.Option(min=0, max=5_000_000, help="How many incidents it has.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same incidents.")] = 1,
    fault: Annotated[
        Optional[list[str]],  # noqa: UP045 (typer reads the annotation)
        typer.Option(help="Misbehave: NAME or NAME:key=value,… (again for more; an unknown name lists all)."),
    ] = None,
) -> None:
    """Run a simulated ServiceNow until Ctrl-C. To sync from it, put its host:port into EGRESS_ALLOWED_HOSTS.

    \b
    Examples:
      integrations-api simulate servicenow --incidents 500
      integrations-api simulate servicenow --fault rate_limited --fault latency:milliseconds=500
    """
    from integrations_api.cli.errors import WrongUsage
    from integrations_api.cli.sockets import check_port
    from integrations_api.simulator.servicenow import User, parse_fault, run_simulator

    user = User()
    try:
        for text in fault or ():
            parse_fault(text)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    check_port(host, port)
    print(f"A simulated ServiceNow with {incidents:,} incidents: http://{host}:{port}")
    print(f"User {user.user_name}, password {user.password}. Ctrl-C ends it.", flush=True)
    try:
        run_simulator(host=host, port=port, incidents=incidents, seed=seed, faults=fault or (), user=user)
    except KeyboardInterrupt:
        return


@app.command("github")
def github(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8083,
    issues: Annotated[int, typer.Option(min=0, max=500_000, help="How many issues it has.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same issues.")] = 1,
    fault: Annotated[
        Optional[list[str]],  # noqa: UP045 (typer reads the annotation)
        typer.Option(help="Misbehave: NAME or NAME:key=value,… (again for more; an unknown name lists all)."),
    ] = None,
) -> None:
    """Run a simulated GitHub until Ctrl-C. To sync from it, put its host:port into EGRESS_ALLOWED_HOSTS.

    \b
    Examples:
      integrations-api simulate github --issues 500
      integrations-api simulate github --fault secondary_limit --fault latency:milliseconds=500
    """
    from integrations_api.cli.errors import WrongUsage
    from integrations_api.cli.sockets import check_port
    from integrations_api.simulator.github import DEFAULT_TOKEN, OWNER, parse_fault, run_simulator

    try:
        for text in fault or ():
            parse_fault(text)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    check_port(host, port)
    print(f"A simulated GitHub with {issues:,} issues: http://{host}:{port}")
    print(f"Owner {OWNER}, token {DEFAULT_TOKEN}. Ctrl-C ends it.", flush=True)
    try:
        run_simulator(host=host, port=port, issues=issues, seed=seed, faults=fault or ())
    except KeyboardInterrupt:
        return
