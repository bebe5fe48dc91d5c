"""Which connections are open to whom, busy or idle: the bookkeeping that the sync and the asyncio pool share.

Nothing here opens, waits or performs I/O, apart from closing what is thrown away and one look at an idle socket.
A place is asked for with :meth:`PoolBook.take`; the answer is an idle connection, or leave to open a new one, or a
ticket to wait on. Whoever took a place gives it back with :meth:`PoolBook.give` or :meth:`PoolBook.drop`.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

from fastxfer.core.places import Book, Guard, Places
from fastxfer.net.address import Address

__all__ = ["PoolBook", "PoolClosed", "PoolStats", "PoolTimeout", "Ticket"]


class _Pooled(Protocol):
    address: Address
    used: bool
    idle_since: float

    def alive(self) -> bool: ...
    def close(self) -> None: ...


class PoolClosed(RuntimeError):
    """The pool has been closed."""

    def __init__(self) -> None:
        super().__init__("the pool is closed")


class PoolTimeout(TimeoutError):
    """All connections to a server stayed busy for too long."""

    def __init__(self, address: Address, limit: int, seconds: float | None) -> None:
        super().__init__(f"all {limit} connections to {address} stayed busy for {seconds} seconds")


C = TypeVar("C", bound=_Pooled)

_REAP_INTERVAL = 1.0
"""Seconds between two looks for connections that have been idle too long."""

_TRUSTED_IDLE = 0.05
_SURELY_ALIVE = 0.0005
"""A connection given back less than so many seconds ago is taken without looking whether it still lives: for requests
that may be sent again, and for those that may not."""


@dataclass(frozen=True)
class PoolStats:
    """The connections to one server.

    Attributes:
        busy: in use now (or being opened).
        idle: open and waiting for use.
        waiting: callers that wait for a place.
        opened: opened since the beginning.
        reused: how often an idle one was taken.
        dropped: closed after an error.
        found_dead: idle ones that the peer had closed.
        reaped: closed since they were idle too long.
        timeouts: callers that waited in vain.
    """

    busy: int
    idle: int
    waiting: int
    opened: int
    reused: int
    dropped: int
    found_dead: int
    reaped: int
    timeouts: int


class Ticket(ABC, Generic[C]):
    """A caller's turn to wait, with :meth:`wake` to be filled in by the way of waiting.

    Attributes:
        connection: once granted: the connection, or None for leave to open one.
        granted: a place is the caller's.
        refused: the pool was closed.
    """

    __slots__ = ("connection", "granted", "refused")

    def __init__(self) -> None:
        self.connection: C | None = None
        self.granted = False
        self.refused = False

    @abstractmethod
    def wake(self) -> None:
        """Called once, from any thread and under the pool's lock, when the ticket is settled."""

    def settle(self, connection: C | None, *, refused: bool = False) -> None:
        self.connection, self.refused, self.granted = connection, refused, not refused
        self.wake()


class PoolBook(Book, Generic[C]):
    """Keeps the count. Safe to use from several threads; a forked child begins with an empty one.

    :meth:`pick` is the usual case of :meth:`take`.

    Args:
        limit: connections to one server at most.
        idle_timeout: seconds after which an idle connection is closed.
    """

    def __init__(self, limit: int, idle_timeout: float) -> None:
        if limit < 1:
            raise ValueError(f"a pool needs room for at least one connection, not {limit}")
        super().__init__(_guard(), _TRUSTED_IDLE, _SURELY_ALIVE)
        self.limit = limit
        self.idle_timeout = idle_timeout
        _books.add(self)  # type: ignore[arg-type]  # only what no kind of connection matters to is called

    def take(
        self, address: Address, ticket: Callable[[], Ticket[C]], fresh: bool = False, certain: bool = False
    ) -> C | Ticket[C] | None:
        """A place at *address*: an idle connection, or None (open one yourself), or a ticket made by *ticket*.

        Args:
            fresh: take no idle connection; those there are, are closed, since one of them was found dead.
            certain: look whether the idle connection still lives even if it was used a moment ago.

        Raises :class:`PoolClosed`.
        """
        now = monotonic()
        opening = False
        try:
            with self.guard:
                if self.closed:
                    raise PoolClosed
                places = self.places.get(address)
                if places is None:
                    # In one step: a signal handler may have come here in the meantime.
                    places = self.places.setdefault(address, Places(deque()))
                if now >= self.next_reap:
                    self._reap(now)
                if fresh:
                    closed = self._close_all(places.idle)
                    places.found_dead += closed
                trusted = _SURELY_ALIVE if certain else _TRUSTED_IDLE
                while places.idle:
                    connection: C = places.idle.pop()
                    if now - connection.idle_since < trusted or connection.alive():
                        places.reused += 1
                        places.busy += 1
                        self.busy += 1
                        return connection
                    places.found_dead += 1
                    connection.close()
                if places.busy < self.limit:
                    places.busy += 1
                    places.opened += 1
                    self.busy += 1
                    opening = True
                    return None
                turn = ticket()
                places.waiting.append(turn)
                return turn
        except BaseException:
            # Out of a signal handler, when all was done.
            if opening:
                self.drop(address, None)
            raise

    def give(self, connection: C) -> None:
        """Give back a connection that is in order. For want of memory to keep it in, it is closed."""
        taken = False
        try:
            if self.shelve(connection):
                return
            connection.used = True
            now = monotonic()
            with self.guard:
                places = self.places.get(connection.address)
                if places is None or self.closed:
                    connection.close()
                    return
                if places.waiting:
                    places.reused += 1
                    turn: Ticket[C] = places.waiting.popleft()
                    taken = True
                    turn.settle(connection)
                    return
                connection.idle_since = now
                places.idle.append(connection)
                taken = True
                places.busy -= 1
                self.busy -= 1
        except MemoryError:
            # What was done over the connection is done: that it cannot be kept is nothing to fail for.
            if taken:
                raise
            self.drop(connection.address, connection)

    def drop(self, address: Address, connection: C | None) -> None:
        """Give back a place whose *connection* is closed here (an error on it), or could not be opened (None)."""
        with self.guard:
            try:
                if connection is not None:
                    connection.close()
            finally:
                self._free(address, connection is not None)

    def give_up(self, address: Address, ticket: Ticket[C]) -> bool:
        """Stop waiting: False where the place was granted in the meantime, and so is the caller's."""
        with self.guard:
            if ticket.granted or ticket.refused:
                return False
            places = self.places[address]
            places.waiting.remove(ticket)
            places.timeouts += 1
            return True

    def give_back(self, address: Address, ticket: Ticket[C]) -> None:
        """Give back the place that *ticket* was granted, unused."""
        if ticket.connection is None:
            self.drop(address, None)
        else:
            self.give(ticket.connection)

    def reap(self) -> None:
        """Close what has been idle too long. Done on the way by :meth:`take` too."""
        with self.guard:
            self._reap(monotonic())

    def close(self) -> None:
        """Close idle connections, refuse who waits; busy ones are closed as they are given back. Idempotent."""
        with self.guard:
            self.closed = True
            for places in self._all_places():
                self._close_all(places.idle)
                while places.waiting:
                    places.waiting.popleft().settle(None, refused=True)

    def stats(self) -> dict[Address, PoolStats]:
        """A snapshot, by server."""
        with self.guard:
            return {
                address: PoolStats(
                    busy=places.busy,
                    idle=len(places.idle),
                    waiting=len(places.waiting),
                    opened=places.opened,
                    reused=places.reused,
                    dropped=places.dropped,
                    found_dead=places.found_dead,
                    reaped=places.reaped,
                    timeouts=places.timeouts,
                )
                for address, places in list(self.places.items())
            }

    def _free(self, address: Address, opened: bool) -> None:
        """A place is free; whether a connection had been *opened* in it."""
        places = self.places.get(address)
        if places is None or self.closed:
            return
        if opened:
            places.dropped += 1
        else:
            places.opened -= 1
        if places.waiting:
            places.opened += 1
            places.waiting.popleft().settle(None)
            return
        places.busy -= 1
        self.busy -= 1

    def _reap(self, now: float) -> None:
        self.next_reap = now + min(_REAP_INTERVAL, self.idle_timeout)
        for places in self._all_places():
            # Oldest first: places are taken from the other end.
            while places.idle and now - places.idle[0].idle_since >= self.idle_timeout:
                places.idle.pop(0).close()
                places.reaped += 1

    def _all_places(self) -> list[Places]:
        # A copy: a signal handler may add a server while connections are being closed.
        return list(self.places.values())

    @staticmethod
    def _close_all(idle: list[C]) -> int:
        count = 0
        while idle:
            idle.pop().close()
            count += 1
        return count

    def _after_fork(self) -> None:
        # The parent goes on using these sockets: the child only closes its own descriptors.
        self.guard = _guard()
        for places in self.places.values():
            self._close_all(places.idle)
        self.places = {}
        self.busy = 0


def _guard() -> Guard:
    # Reentrant: a signal handler may close the pool, and a destructor use it, while their own thread is in here.
    return Guard(threading.RLock())


_books: weakref.WeakSet[PoolBook[_Pooled]] = weakref.WeakSet()


def _forget_inherited() -> None:
    for book in list(_books):
        book._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)
