"""What says that the database has gone away."""

import asyncpg

DATABASE_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a connection of asyncpg's own raises when the database goes away; the last one between the server's last word
and the end of the socket."""
