"""What says that the database has gone away."""

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

DATABASE_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a connection of asyncpg's own raises when the database goes away; the last one between the server's last word
and the end of the socket."""
DATABASE_TROUBLE = (SQLAlchemyError, *DATABASE_LOST)
"""Whatever the database answers in place of rows, through a session or through the driver."""
