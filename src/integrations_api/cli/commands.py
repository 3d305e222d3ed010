"""The commands put together."""

from typing import Annotated

import typer

from integrations_api.cli import (
    audit,
    demo,
    doctor,
    embeddings,
    migrate,
    secrets,
    serve,
    simulate,
    token,
    users,
    worker,
)
from integrations_api.cli.main import PROGRAM

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Connect service-management systems and keep their incidents in a versioned knowledge base in PostgreSQL.\n\n"
    "Settings come from the environment and from .env; .env.example explains each of them.",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from integrations_api.version import __version__

        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print this release, and exit.")
    ] = False,
) -> None:
    """What stands before every command."""


app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.add_typer(users.app, name="users")
app.command("token")(token.token)
app.add_typer(secrets.app, name="secrets")
app.add_typer(audit.app, name="audit")
app.add_typer(embeddings.app, name="embeddings")
app.add_typer(simulate.app, name="simulate")
