"""`python -m integrations_api` is the `integrations-api` command."""

from integrations_api.cli import main

main()
