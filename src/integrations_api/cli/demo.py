"""`integrations-api demo`: the whole system at work, with a simulated source."""

from enum import StrEnum
from typing import Annotated

import typer


class Simulated(StrEnum):
    """The sources that can be simulated."""

    SERVICENOW = "servicenow"
    JIRA = "jira"
    GITHUB = "github"


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the sync: 0 if all went well, 1 if not.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = 8000,
    incidents: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many the simulated source has.")] = 2000,
    service: Annotated[Simulated, typer.Option(help="Which source is simulated.")] = Simulated.SERVICENOW,
) -> None:
    """Show the whole system: a real PostgreSQL, a simulated source, the API, a worker, and a sync you can watch.

    What it stores lies under DATA_DIR and is kept for the next time. Ctrl-C ends all of it.

    \b
    Examples:
      integrations-api demo
      integrations-api demo --once --port 8100 --incidents 500
      integrations-api demo --service jira
    """
    from integrations_api.demo import run_demo

    run_demo(once=once, port=port, incidents=incidents, service=service.value)
