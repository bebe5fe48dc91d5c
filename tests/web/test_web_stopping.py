"""Connections that come while the interface stops: closed, and none is left to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.net.aio import TransferRunner
from fastxfer.server import Chain, LocalFilesystem, ServerConfig, Service, UserTable
from fastxfer.server.web import WebInterface
from tests.web.reading import ended
from tests.web.site import USERS, WAIT


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_comes_while_the_interface_stops_is_closed(
    tmp_path: Path,
    tls: ssl.SSLContext,
    turns: int,
    secure: bool,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        service = Service(ServerConfig(), LocalFilesystem(tmp_path), Chain([UserTable(USERS)]))
        async with TransferRunner() as runner:
            web = WebInterface(service, runner, tls=tls if secure else None)
            await web.start("127.0.0.1", 0)
            with socket.create_connection(("127.0.0.1", web.port), timeout=WAIT) as client:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await web.stop()
                assert await asyncio.get_running_loop().run_in_executor(None, ended, client)
            assert service.guard.connections == 0
        await service.close()

    loop = new_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    # A socket that was left open warns when it is collected, and warnings are errors here.
    gc.collect()
