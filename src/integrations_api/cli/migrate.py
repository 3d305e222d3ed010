"""`integrations-api migrate`: bring the database to this release's schema."""

import asyncio
from typing import Annotated

import typer


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 unless the schema is this release's.")
    ] = False,
) -> None:
    """Bring the database to this release's schema. Running it twice is fine.

    \b
    Examples:
      integrations-api migrate
      integrations-api migrate --check && integrations-api serve
    """
    from integrations_api.cli import setup
    from integrations_api.db.migrations import head_revision

    settings = setup.settings_for_process()
    with setup.opened_database(settings, migrated=False) as url:
        if not check:
            setup.migrate_database(url)
        asyncio.run(_look(url))
    print(f"The schema is at {head_revision()}")


async def _look(url: str) -> None:
    from integrations_api.cli.setup import check_schema
    from integrations_api.db.engine import create_engine

    engine = create_engine(url, pool_size=1)
    try:
        await check_schema(engine)
    finally:
        await engine.dispose()
