"""Pooled connections for coroutines of one event loop."""

from __future__ import annotations

import asyncio
import errno
import socket

from fastxfer.net.address import Address
from fastxfer.net.connection import Connection, SocketOptions
from fastxfer.net.pool import PoolBook, PoolClosed, PoolTimeout, Ticket

__all__ = ["AsyncPool"]


class _Turn(Ticket[Connection]):
    __slots__ = ("future",)

    def __init__(self) -> None:
        super().__init__()
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class AsyncPool:
    """Opens connections as needed, up to a limit for each server, and lets coroutines wait for one beyond that.

    To be used from one event loop only. Arguments as of :class:`~fastxfer.net.sync_pool.SyncPool`.
    """

    def __init__(
        self,
        limit: int,
        idle_timeout: float,
        connect_timeout: float | None,
        wait_timeout: float | None,
        options: SocketOptions,
    ) -> None:
        self.book: PoolBook[Connection] = PoolBook(limit, idle_timeout)
        self._connect_timeout = connect_timeout
        self._wait_timeout = wait_timeout
        self._options = options

    async def take(self, address: Address, *, fresh: bool = False, certain: bool = False) -> Connection:
        """A connection to *address*; give it back with :meth:`give` or :meth:`drop`. Raises as the sync pool does."""
        place = self.book.take(address, _Turn, fresh=fresh, certain=certain)
        if place.__class__ is Connection:
            return place
        if isinstance(place, _Turn):
            waited = await self._wait(address, place)
            if waited is not None:
                return waited
        try:
            return await asyncio.wait_for(connect(address, self._options), self._connect_timeout)
        except asyncio.TimeoutError:
            self.book.drop(address, None)
            raise TimeoutError(errno.ETIMEDOUT, "connecting took too long") from None
        except BaseException:
            self.book.drop(address, None)
            raise

    def give(self, connection: Connection) -> None:
        """Give back a connection on which all went well."""
        self.book.give(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection on which something went wrong."""
        self.book.drop(connection.address, connection)

    def close(self) -> None:
        """Close what is idle; what is busy is closed when it comes back."""
        self.book.close()

    async def _wait(self, address: Address, turn: _Turn) -> Connection | None:
        try:
            await asyncio.wait_for(asyncio.shield(turn.future), self._wait_timeout)
        except asyncio.TimeoutError:
            if self.book.give_up(address, turn):
                raise PoolTimeout(address, self.book.limit, self._wait_timeout) from None
        except BaseException:
            if not self.book.give_up(address, turn) and turn.granted:
                self.book.give_back(address, turn)
            raise
        if turn.refused:
            raise PoolClosed
        return turn.connection


async def connect(address: Address, options: SocketOptions) -> Connection:
    """Connect to *address*, trying each address that a host name has; OSError of the last one tried."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(errno.EADDRNOTAVAIL, f"no address for {address.host}")
    for family, kind, protocol, _, target in await _resolve(loop, address):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            options.apply(sock)
            await loop.sock_connect(sock, target)
            return Connection(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    raise failure


async def _resolve(
    loop: asyncio.AbstractEventLoop, address: Address
) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    try:
        # Without a question to a name server this does not wait, and saves the hop to a thread.
        return socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)  # type: ignore[return-value]
    except socket.gaierror:
        return await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)  # type: ignore[return-value]
