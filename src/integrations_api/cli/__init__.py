"""The `integrations-api` command: a file per group. What is heavy is imported when its command runs."""

from integrations_api.cli.main import main

__all__ = ["main"]
