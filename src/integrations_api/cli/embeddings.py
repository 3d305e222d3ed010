"""`integrations-api embeddings`: vectors of texts, by which searches also find by meaning."""

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from integrations_api.cli.serve import WithParent

if TYPE_CHECKING:
    from integrations_api.search.filler import EmbeddingFiller, Step

app = typer.Typer(no_args_is_help=True, help="Vectors of texts, by which searches also find by meaning.")


@app.command("serve")
def serve(
    model: Annotated[
        Optional[str],  # noqa: UP045 (typer reads the annotation)
        typer.Option(
            metavar="NAME_OR_PATH",
            help="A sentence-transformers model, by its name or folder; without, EMBEDDINGS_MODEL.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on, of 127.0.0.1.")] = 8090,
    with_parent: WithParent = False,
    descriptor: Annotated[Optional[int], typer.Option("--descriptor", hidden=True)] = None,  # noqa: UP045
) -> None:
    """Run an OpenAI-compatible embedding service on this machine, with a model of your own, until Ctrl-C.

    Needs the extra `local-embeddings`. It listens on loopback only and asks for no key. To use it, set EMBEDDINGS_URL
    to its address and EMBEDDINGS_MODEL to the same NAME_OR_PATH. `serve` and `demo` start it by themselves where
    EMBEDDINGS_MODEL is set and EMBEDDINGS_URL is not.

    \b
    Examples:
      integrations-api embeddings serve --model all-MiniLM-L6-v2
      EMBEDDINGS_URL=http://127.0.0.1:8090 EMBEDDINGS_MODEL=all-MiniLM-L6-v2 integrations-api serve
    """
    from integrations_api.cli.embedding import run_embedder

    run_embedder(model=model, port=port, with_parent=with_parent, descriptor=descriptor)


@app.command("backfill")
def backfill() -> None:
    """Embed now what is not embedded yet, with a progress bar. Workers do the same by themselves, and share the work.

    Broken off, it goes on where it was.

    \b
    Example:
      integrations-api embeddings backfill
    """
    from integrations_api.cli.setup import run_with_parts, settings_for_command
    from integrations_api.errors import ConfigurationError
    from integrations_api.search.filler import EmbeddingFiller

    settings = settings_for_command()
    if settings.embeddings_url is None:
        raise ConfigurationError(
            "EMBEDDINGS_URL is not set: set it to a service with /v1/embeddings, or run `integrations-api embeddings "
            "serve` beside this and set it to the address that that one tells"
        )
    step = run_with_parts(settings, lambda parts: _backfill(parts[EmbeddingFiller]))
    print(f"{step.embedded:,} of {step.of:,} incidents are embedded by {settings.embeddings_model}")
    if step.refused:
        print(f"{step.refused:,} are not: the service does not take their texts")
    if step.waiting:
        print(f"{step.waiting:,} wait: workers are at them, or they were published meanwhile")
        raise SystemExit(1)


async def _backfill(filler: "EmbeddingFiller") -> "Step":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None)
        async for step in filler.filling(watched=True):
            progress.update(bar, completed=step.embedded, total=step.of)
    return step
