"""The commands put together, and what becomes of errors: one line on stderr and an exit code."""

import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.main import get_command

from integrations_api.cli import (
    audit,
    demo,
    doctor,
    embeddings,
    loops,
    migrate,
    secrets,
    serve,
    simulate,
    token,
    users,
    worker,
)
from integrations_api.cli.errors import WrongUsage
from integrations_api.errors import ApplicationError
from integrations_api.logs import get_logger, writes_json

PROGRAM = "integrations-api"

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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process: 0 done, 1 trouble, 2 wrong usage, 130 interrupted."""
    loops.collect_seldom()
    try:
        get_command(app)(args=arguments, prog_name=PROGRAM)
    except WrongUsage as error:
        _end(error.message, 2)
    except ApplicationError as error:
        _end(error.message, 1)
    except Exception as error:
        _end(_unexpected(error), 1)
    sys.exit(0)


def _end(message: str, code: int) -> NoReturn:
    # One line, whatever a server or library put into its message.
    said = " ".join(message.split())
    if writes_json():
        get_logger(__name__).error("command.failed", error=said, exit_code=code)
    else:
        print(f"{PROGRAM}: {said}", file=sys.stderr)
    sys.exit(code)


def _unexpected(error: Exception) -> str:
    """A defect: the traceback goes to those who ask for it."""
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger(__name__).error("cli.unexpected", exc_info=error)
        return f"unexpected {type(error).__name__}, see above"
    return f"unexpected {type(error).__name__}: {error} (LOG_LEVEL=DEBUG shows where)"
