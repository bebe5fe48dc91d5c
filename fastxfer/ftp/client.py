"""The asyncio client."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from fastxfer.ftp._asyncio import AsyncDriver
from fastxfer.ftp.base import ClientBase
from fastxfer.ftp.errors import FTPError
from fastxfer.ftp.tree.operations import TreeOperations

__all__ = ["AsyncClient"]

log = logging.getLogger("fastxfer.ftp")


class AsyncClient(TreeOperations):
    """FTP and FTPS for asyncio. Any number of tasks may use one client: each operation takes a connection of its own.

    ::

        async with AsyncClient("ftp://files.example.org", user="me", password="secret") as client:
            await client.upload("report.pdf", "reports/2026.pdf", make_directories=True)
            async for path, entry in client.walk("reports"):
                print(path, entry.size)

    Cancelling a task ends its transfer and closes the connection it used. What an upload has stored under its temporary
    name is removed before that, unless it is to be resumed; a server that does not answer is not waited for long.
    """

    __init__ = ClientBase.__init__
    _async_driver: AsyncDriver | None = None
    _keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AsyncClient:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def connect(self) -> None:
        """Open the client and its first connection, so that a wrong address or password shows at once."""
        if self._async_driver is None:
            self._async_driver = AsyncDriver()
            self._start(self._async_driver)
        try:
            await self._connect()
        except BaseException:
            await self.aclose()
            raise
        self._begin_to_keep_alive()

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._end_keeping_alive()
        if self._async_driver is not None:
            await self._disconnect()
        await self._end_driver()

    async def _join(self, other: ClientBase) -> None:
        """Work on this loop with the connections of *other*, as long as :meth:`_leave` is not called."""
        self._share(other)
        self._driver_in_use = self._async_driver = AsyncDriver()
        self._begin_to_keep_alive()

    async def _leave(self) -> None:
        """The other way round; the connections stay open."""
        await self._end_keeping_alive()
        await self._end_driver()

    def _begin_to_keep_alive(self) -> None:
        if self._keeper is None and self._config.limits.keepalive is not None:
            self._keeper = asyncio.create_task(self._keep_alive(self._config.limits.keepalive))

    async def _end_keeping_alive(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _end_driver(self) -> None:
        driver, self._async_driver = self._async_driver, None
        self._driver_in_use = None
        if driver is not None:
            await driver.aclose()

    async def _keep_alive(self, seconds: float) -> None:
        """Say NOOP on idle connections, and let go of those long unused."""
        while True:
            await asyncio.sleep(seconds / 2)
            try:
                await self._pool.keep_alive(self._driver)
            except FTPError as error:
                log.info("keeping connections alive: %s", error)
