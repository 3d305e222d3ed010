"""The program: which command runs, and what becomes of errors: one line on stderr and an exit code."""

import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from integrations_api.cli import loops
from integrations_api.cli.child import WORKER_BESIDE
from integrations_api.cli.errors import WrongUsage
from integrations_api.cli.signals import leave_tidily
from integrations_api.errors import ApplicationError
from integrations_api.logs import get_logger, writes_json

PROGRAM = "integrations-api"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process: 0 done, 1 trouble, 2 wrong usage, 128 and the signal's number."""
    loops.collect_seldom()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given == WORKER_BESIDE:
            _work_beside()
        else:
            leave_tidily()
            _run_command(given)
    except WrongUsage as error:
        _end(error.message, 2)
    except ApplicationError as error:
        _end(error.message, 1)
    except Exception as error:
        _end(_trouble(error) or _unexpected(error), 1)
    sys.exit(0)


def _work_beside() -> None:
    """What `serve` starts does not wait for all commands to be put together.

    As long as it imports its parts it has nothing to tidy up and a signal ends it at once: an exception in the middle
    of an import may be told and forgotten, where Python calls back from one.
    """
    from integrations_api.cli.starting import start_worker

    start_worker(with_parent=True)


def _run_command(given: list[str]) -> None:
    from typer.main import get_command

    from integrations_api.cli.commands import app

    get_command(app)(args=given, prog_name=PROGRAM)


def _end(message: str, code: int) -> NoReturn:
    # One line, whatever a server or library put into its message.
    said = " ".join(message.split())
    if writes_json():
        get_logger(__name__).error("command.failed", error=said, exit_code=code)
    else:
        print(f"{PROGRAM}: {said}", file=sys.stderr)
    sys.exit(code)


def _trouble(error: Exception) -> str | None:
    """What the database is in trouble with, where it is."""
    from integrations_api.cli.setup import trouble_later

    return trouble_later(error)


def _unexpected(error: Exception) -> str:
    """A defect: the traceback goes to those who ask for it."""
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger(__name__).error("cli.unexpected", exc_info=error)
        return f"unexpected {type(error).__name__}, see above"
    return f"unexpected {type(error).__name__}: {error} (LOG_LEVEL=DEBUG shows where)"
