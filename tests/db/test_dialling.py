"""A server that is gone without a word is noticed."""

import os
import socket

import pytest

from integrations_api.db.engine import create_engine
from tests.support.silence import forgetful_network

pytestmark = pytest.mark.anyio


async def test_the_system_asks_a_silent_server_whether_it_is_there(database_url: str) -> None:
    async with forgetful_network(database_url) as network:
        engine = create_engine(network.url, pool_size=1)
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            with socket.socket(fileno=os.dup(driver._transport.get_extra_info("socket").fileno())) as used:
                assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) <= 30
        await engine.dispose()
