"""Pooled connections for coroutines of one event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from typing import Any

from fastxfer.net.address import Address
from fastxfer.net.connection import Connection, SocketOptions, no_address
from fastxfer.net.deadline import Deadline
from fastxfer.net.pool import PoolBook, PoolClosed, PoolTimeout, Ticket

__all__ = ["AsyncPool"]


_Resolved = tuple[int, int, int, str, Any]


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
            return await connect(address, self._connect_timeout, self._options)
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
        # asyncio.wait_for would swallow a cancellation that comes together with the place, up to Python 3.11.
        timer = None
        if self._wait_timeout is not None:
            timer = turn.future.get_loop().call_later(self._wait_timeout, turn.wake)
        try:
            await turn.future
        except BaseException:
            if not self.book.give_up(address, turn) and turn.granted:
                self.book.give_back(address, turn)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if turn.refused:
            raise PoolClosed
        if not turn.granted and self.book.give_up(address, turn):
            raise PoolTimeout(address, self.book.limit, self._wait_timeout)
        return turn.connection


async def connect(address: Address, timeout: float | None, options: SocketOptions) -> Connection:
    """As :func:`fastxfer.net.connection.connect`."""
    loop = asyncio.get_running_loop()
    deadline = Deadline(timeout)
    failure: OSError = no_address(address)
    try:
        targets = await _resolve(loop, address, deadline)
    except UnicodeError:
        raise failure from None
    for tried, (family, kind, protocol, _, target) in enumerate(targets):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            options.apply(sock)
            await _finish_connecting(loop, sock, sock.connect_ex(target), deadline.share(len(targets) - tried))
            return Connection(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    raise failure


async def _finish_connecting(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, code: int, left: float | None
) -> None:
    if code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
        writable: asyncio.Future[bool] = loop.create_future()
        loop.add_writer(sock.fileno(), _settle, writable, True)
        timer = None if left is None else loop.call_later(left, _settle, writable, False)
        try:
            if not await writable:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        finally:
            loop.remove_writer(sock.fileno())
            if timer is not None:
                timer.cancel()
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == errno.ETIMEDOUT:
        raise TimeoutError(code, os.strerror(code))
    if code:
        raise OSError(code, os.strerror(code))


def _settle(future: asyncio.Future[bool], outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)


async def _resolve(loop: asyncio.AbstractEventLoop, address: Address, deadline: Deadline) -> Sequence[_Resolved]:
    try:
        # Without a question to a name server this does not wait, and saves the hop to a thread.
        return socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    question = asyncio.ensure_future(loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
    try:
        answered, _ = await asyncio.wait({question}, timeout=deadline.remaining())
    except BaseException:
        question.cancel()
        raise
    if not answered:
        question.cancel()
        raise TimeoutError(errno.ETIMEDOUT, f"the address of {address.host} did not come in time")
    return question.result()
