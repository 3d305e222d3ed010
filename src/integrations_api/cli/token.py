"""`integrations-api token`: a bearer token for scripts."""

from datetime import timedelta
from typing import Annotated, Optional

import typer


def token(
    email: Annotated[str, typer.Argument(help="Whose token.", show_default=False)],
    hours: Annotated[
        Optional[int],  # noqa: UP045 (typer reads the annotation)
        typer.Option(min=1, max=24 * 366, help="Its life; without, ACCESS_TOKEN_MINUTES.", show_default=False),
    ] = None,
) -> None:
    """Print a bearer token for a user, and nothing else.

    \b
    Example:
      TOKEN=$(integrations-api token ada@example.com --hours 8)
      curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/integrations/all
    """
    from integrations_api.access.service import AccessService
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    settings = settings_for_command()
    lifetime = timedelta(minutes=settings.access_token_minutes) if hours is None else timedelta(hours=hours)
    issued = run_with_parts(settings, lambda parts: parts[AccessService].issue_token(email, lifetime))
    print(issued.text)
