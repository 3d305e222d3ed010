"""The commands put together."""

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
