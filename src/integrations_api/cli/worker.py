"""`integrations-api worker`: carries out syncs."""

from integrations_api.cli.serve import WithParent


def worker(with_parent: WithParent = False) -> None:
    """Carry out syncs until Ctrl-C or SIGTERM. Run as many as you like, on any machine that reaches the database.

    Asked to end, it hands its syncs over to others; asked twice, it ends at once.

    \b
    Example:
      DATABASE_URL=postgresql://… integrations-api worker
    """
    from integrations_api.cli.starting import start_worker

    start_worker(with_parent=with_parent)
