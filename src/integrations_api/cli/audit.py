"""`integrations-api audit`: whether the record of who did what is as it was written."""

import typer

from integrations_api.wording import counted

app = typer.Typer(no_args_is_help=True, help="The record of who did what.")


@app.callback()
def group() -> None:
    """The record of who did what."""  # Without a callback, typer would make the only command the group.


@app.command("verify")
def verify() -> None:
    """Check every audit entry against its seal; name the first that does not fit, and exit with 1.

    \b
    Example:
      integrations-api audit verify
    """
    from integrations_api.audit.sealing import AuditSealer
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    seen = run_with_parts(settings_for_command(), lambda parts: parts[AuditSealer].verify())
    entries, seals = counted(seen.entries, "entry", "entries"), counted(seen.seals, "seal", "seals")
    print(f"{entries} in {seals} fit; {counted(seen.waiting, 'waits', 'wait')} for the next seal")
    if seen.unproven:
        need, them = counted(seen.unproven, "seal needs", "seals need"), "it" if seen.unproven == 1 else "them"
        print(f"{need} a key that is not in ENCRYPTION_KEYS; later seals vouch for {them}")
    if seen.seals:  # The last line of what fits: it is the one to be noted.
        print(f"link of seal {seen.seals}: {seen.last_link}")
    if seen.flaw is not None:
        print(f"does not fit: {seen.flaw}")
        raise SystemExit(1)
