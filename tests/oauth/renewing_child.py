"""A process that wants a token of an integration: `python renewing_child.py INTEGRATION_ID`."""

import asyncio
import hashlib
import sys
from uuid import UUID

from sqlalchemy.ext.asyncio import async_sessionmaker

from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.oauth.tokens import TokenKeeper
from integrations_api.settings import load_settings
from integrations_api.wiring import assemble


async def main(integration_id: UUID) -> None:
    """Says `ready`, waits for a line, and prints a hash of the token: the token itself goes nowhere."""
    async with assemble(load_settings()) as components:
        async with components[async_sessionmaker]() as session:
            loaded = await components[IntegrationReader].load(session, integration_id)
        tokens = components[TokenKeeper].tokens_for(loaded)
        assert tokens is not None
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(hashlib.sha256((await tokens.current()).encode()).hexdigest(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(UUID(sys.argv[1])))
