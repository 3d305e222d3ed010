"""`integrations-api migrate`: bring the database to this release's schema."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from alembic.script import Script


def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; list what waits, and exit with 1 if this release cannot run."),
    ] = False,
) -> None:
    """Bring the database to this release's schema. Running it twice, or two of it at once, is fine.

    Processes of the release before go on meanwhile; --check says so where they would not.

    \b
    Examples:
      integrations-api migrate
      integrations-api migrate --check && integrations-api serve
    """
    from integrations_api.cli import setup
    from integrations_api.db.compatibility import Fit, require_served

    settings = setup.settings_for_process()
    with setup.opened_database(settings, migrated=False) as url:
        fit, found = setup.schema_at(url)
        if fit is Fit.BEHIND and not check:
            setup.migrate_database(url)
            fit, found = setup.schema_at(url)
    if fit is Fit.BEHIND:
        _tell_what_waits(found)
    require_served(fit, found)
    print(f"The schema is at {found}" + (", of a later release, which serves this one" if fit is Fit.AHEAD else ""))


def _tell_what_waits(current: str | None) -> None:
    from integrations_api.db.migrations import pending

    for script in pending(current):
        print(f"{script.revision}: {script.doc}")
    if current is not None and (ended := _ended(pending(current))):
        print(f"Stop every process of release {ended} and before first: what they need is taken away.")


def _ended(waiting: Sequence["Script"]) -> str | None:
    """The newest release whose processes cannot go on after these."""
    from integrations_api.db.compatibility import RELEASES, ends

    ended = [name for name in map(ends, waiting) if name is not None]
    return RELEASES.get(ended[-1], f"with the schema {ended[-1]}") if ended else None
