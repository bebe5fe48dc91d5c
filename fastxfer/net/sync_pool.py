"""Pooled connections for callers that block."""

from __future__ import annotations

import threading
import weakref
from typing import cast

from fastxfer.core.xfer import let_sleep
from fastxfer.net.address import Address
from fastxfer.net.connection import Connection, Keeper, SocketOptions, connect
from fastxfer.net.pool import PoolBook, PoolClosed, PoolTimeout, Ticket

__all__ = ["SyncPool"]


class _Turn(Ticket[Connection]):
    __slots__ = ("_lock",)

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        return self._lock.acquire(timeout=-1 if timeout is None else timeout)


class SyncPool:
    """Opens connections as needed, up to a limit for each server, and lets callers wait for one beyond that.

    Args:
        limit: connections to one server at most.
        idle_timeout: seconds after which an idle connection is closed.
        connect_timeout: seconds that opening one may take; None for no limit.
        wait_timeout: seconds a caller waits for a place when all are busy; None for no limit.
        options: set on each new socket.
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
        self._keeper: weakref.ref[Keeper] = weakref.ref(self.book)
        self._connect_timeout = connect_timeout
        self._wait_timeout = wait_timeout
        self._options = options

    def take(self, address: Address, fresh: bool = False, certain: bool = False) -> Connection:
        """A connection to *address*; give it back with :meth:`give` or :meth:`drop`.

        Raises :class:`~fastxfer.net.pool.PoolTimeout` when none became free in time, TimeoutError or OSError when none
        could be opened,
        :class:`PoolClosed` when the pool is closed. For *fresh* and *certain* see :meth:`PoolBook.take`.
        """
        place = self.book.take(address, _Turn, fresh, certain)
        if place is not None:
            connection = place if place.__class__ is Connection else self._wait(address, cast(_Turn, place))
            if connection is not None:
                return connection
        try:
            connection = connect(address, self._connect_timeout, self._options)
            let_sleep(connection.fd)
        except BaseException:
            self.book.drop(address, None)
            raise
        connection.keeper = self._keeper
        return connection

    def give(self, connection: Connection) -> None:
        """Give back a connection on which all went well."""
        self.book.give(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection on which something went wrong."""
        self.book.drop(connection.address, connection)

    def close(self) -> None:
        """Close what is idle; what is busy is closed when it comes back."""
        self.book.close()

    def _wait(self, address: Address, turn: _Turn) -> Connection | None:
        try:
            in_time = turn.wait(self._wait_timeout)
        except BaseException:
            if not self.book.give_up(address, turn) and turn.granted:
                self.book.give_back(address, turn)
            raise
        if not in_time and self.book.give_up(address, turn):
            raise PoolTimeout(address, self.book.limit, self._wait_timeout)
        if turn.refused:
            raise PoolClosed
        return turn.connection
