"""`integrations-api secrets`: the keys the service itself needs."""

import typer

app = typer.Typer(no_args_is_help=True, help="The keys the service itself needs.")


@app.callback()
def group() -> None:
    """The keys the service itself needs."""  # Without a callback, typer would make the only command the group.


@app.command("generate")
def generate() -> None:
    """Print fresh SECRET_KEY and ENCRYPTION_KEYS lines. Nothing is stored.

    \b
    Example:
      integrations-api secrets generate >> .env
    """
    from integrations_api.vault.bootstrap import generate_secrets

    for name, value in generate_secrets().items():
        print(f"{name}={value}")
