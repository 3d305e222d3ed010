"""`integrations-api serve`: the API, with a worker beside it."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from integrations_api.cli.child import Child

WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]
"""For processes started by ours: end when standard input ends."""


def serve(
    host: Annotated[
        Optional[str],  # noqa: UP045 (typer reads the annotation)
        typer.Option(help="Address to listen on; without, HOST.", show_default=False),
    ] = None,
    port: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, max=65535, help="Port to listen on; without, PORT.", show_default=False),
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the API; syncs need `integrations-api worker` somewhere.")
    ] = False,
    with_parent: WithParent = False,
) -> None:
    """Run the API and one worker until Ctrl-C or SIGTERM.

    Without DATABASE_URL the bundled PostgreSQL is started, migrated and, in the end, stopped; keys are made at first
    start. With DATABASE_URL run `integrations-api migrate` before.

    \b
    Examples:
      integrations-api serve
      integrations-api serve --host 0.0.0.0 --port 8080 --no-worker
    """
    from integrations_api.cli.child import worker_beside

    with ExitStack() as stack:
        worker = None if no_worker else stack.enter_context(worker_beside())
        _run(host=host, port=port, worker=worker, with_parent=with_parent)


def _run(*, host: str | None, port: int | None, worker: "Child | None", with_parent: bool) -> None:
    from integrations_api.cli.starting import quick_start

    with quick_start():
        from integrations_api.cli.serving import run_service

        run_service(host=host, port=port, worker=worker, with_parent=with_parent)
