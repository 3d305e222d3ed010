"""`integrations-api secrets`: the keys the service itself needs, and the secrets it keeps under them."""

from typing import TYPE_CHECKING

import typer

from integrations_api.wording import counted

if TYPE_CHECKING:
    from integrations_api.integrations.secrets import SecretKeeper

app = typer.Typer(no_args_is_help=True, help="The keys the service itself needs, and the secrets it keeps under them.")


@app.command("generate")
def generate() -> None:
    """Print fresh SECRET_KEY and ENCRYPTION_KEYS lines. Nothing is stored.

    \b
    Example:
      integrations-api secrets generate >> .env && chmod 600 .env
    """
    from integrations_api.vault.bootstrap import generate_secrets

    for name, value in generate_secrets().items():
        print(f"{name}={value}")


@app.command("rotate")
def rotate() -> None:
    """Move every stored secret to the first key of ENCRYPTION_KEYS, while the service runs.

    Put the new key first and keep the old ones behind it, restart all processes, rotate, check, then take the old
    keys out. Where there are several processes, restart them with the new key behind the old ones before that, or
    some could not open what others store meanwhile. Broken off, it goes on where it was.

    \b
    Example:
      ENCRYPTION_KEYS=new:…,old:… integrations-api secrets rotate
    """
    from integrations_api.cli.setup import run_with_parts, settings_for_command
    from integrations_api.errors import Unavailable
    from integrations_api.integrations.secrets import SecretKeeper
    from integrations_api.vault.errors import VaultError

    try:
        remaining = run_with_parts(settings_for_command(), lambda parts: _rotate(parts[SecretKeeper]))
    except VaultError as error:
        which = "`integrations-api secrets check` names all that do not open"
        raise Unavailable(f"{error.message}; {which}") from None
    if remaining:
        print(f"{counted(remaining, 'is', 'are')} being edited at this moment: run it once more")
        raise SystemExit(1)


async def _rotate(keeper: "SecretKeeper") -> int:
    remaining = 0
    async for progress in keeper.rotate():
        remaining = progress.remaining
        print(f"{progress.rewrapped} re-wrapped, {remaining} remain")
    return remaining


@app.command("check")
def check() -> None:
    """Open every stored secret, and name those that do not; exit with 1 if there are any. Nothing is shown of them.

    \b
    Example:
      integrations-api secrets check
    """
    from integrations_api.cli.setup import run_with_parts, settings_for_command
    from integrations_api.integrations.secrets import SecretKeeper

    if run_with_parts(settings_for_command(), lambda parts: _check(parts[SecretKeeper])):
        raise SystemExit(1)


async def _check(keeper: "SecretKeeper") -> int:
    tried = troubles = 0
    async for trouble in keeper.check():
        tried += 1
        if trouble is not None:
            troubles += 1
            print(f"{trouble.integration_id} {trouble.name}: {trouble.reason}")
    print(f"{tried - troubles} of {tried} secrets open")
    return troubles
