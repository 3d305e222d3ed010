"""`integrations-api doctor`: whether everything this service needs is as it should be."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from integrations_api.connectors.records import Check


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Look at settings, database, schema, extensions, clock, queue, keys, and every host that is read from.

    A line for each: ok, warning or failed, what was seen, and what to do. Nothing is started, migrated or written,
    and nothing secret is shown. Exits with 0 for ok and warnings, with 1 when something failed.

    \b
    Examples:
      integrations-api doctor
      integrations-api doctor --json | jq '.checks[] | select(.status != "ok")'
    """
    import asyncio

    if asyncio.run(_tell(as_json=as_json)):
        raise SystemExit(1)


async def _tell(*, as_json: bool) -> bool:
    """Prints what is found, line by line as it comes; whether anything failed."""
    found = []
    async for check in _checks():
        found.append(check)
        if not as_json:
            print(_line(check), flush=True)
    failed = any(check.status == "failed" for check in found)
    if as_json:
        _print_document(found, success=not failed)
    return failed


async def _checks() -> "AsyncGenerator[Check, None]":
    from integrations_api.cli.setup import settings_for_command
    from integrations_api.errors import ConfigurationError
    from integrations_api.operations.doctor import examine, wrong_settings
    from integrations_api.wiring import egress_policy

    try:
        settings = settings_for_command()
        policy = egress_policy(settings)
    except ConfigurationError as error:
        yield wrong_settings(error)
        return
    async for check in examine(settings, policy):
        yield check


def _line(check: "Check") -> str:
    remedy = f". {check.remedy}" if check.remedy else ""
    return " ".join(f"{check.status:<8} {check.name:<11} {check.seen}{remedy}".splitlines())


def _print_document(checks: "list[Check]", *, success: bool) -> None:
    import json

    from msgspec.structs import asdict

    print(json.dumps({"success": success, "checks": [asdict(check) for check in checks]}, indent=2))
