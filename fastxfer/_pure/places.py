"""The hot steps of a connection pool's bookkeeping: see ``fastxfer/_ext/places.pyi``."""

from __future__ import annotations

from collections import deque
from threading import RLock
from time import monotonic
from typing import Any

__all__ = ["Book", "Guard", "Link", "Places", "Spin"]


class Guard:
    """See ``fastxfer._ext.places.Guard``."""

    __slots__ = ("_depth", "_lock")

    def __init__(self, lock: RLock, /) -> None:
        self._lock = lock
        self._depth = 0

    @property
    def held(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self._lock.__enter__()
        self._depth += 1

    def __exit__(self, *details: object) -> None:
        self._depth -= 1
        self._lock.__exit__(None, None, None)


class Link:
    """See ``fastxfer._ext.places.Link``."""

    __slots__ = ("address", "fd", "idle_since", "used")

    def __init__(self, address: Any, fd: int, /) -> None:
        self.address = address
        self.fd = fd
        self.used = False
        self.idle_since = monotonic()


class Places:
    """See ``fastxfer._ext.places.Places``."""

    __slots__ = ("busy", "dropped", "found_dead", "idle", "opened", "reaped", "reused", "timeouts", "waiting")

    def __init__(self, waiting: deque[Any], /) -> None:
        self.idle: list[Any] = []
        self.waiting = waiting
        self.busy = self.opened = self.reused = self.dropped = self.found_dead = self.reaped = self.timeouts = 0


class Book:
    """See ``fastxfer._ext.places.Book``."""

    def __init__(self, guard: Guard, trusted: float, certain: float, /) -> None:
        self._trusted = trusted
        self._certain = certain
        self.guard = guard
        self.places: dict[Any, Places] = {}
        self.busy = 0
        self.closed = False
        self.next_reap = 0.0

    def pick(self, address: Any, certain: bool = False, /) -> Any | None:
        places = self.places.get(address)
        if places is None or self.guard.held:
            return None
        now = monotonic()
        with self.guard:
            idle = places.idle
            if not idle or now >= self.next_reap:
                return None
            # Out of it first: a signal handler may use the pool between any two of these lines.
            connection = idle.pop()
            trusted = self._certain if certain else self._trusted
            if now - connection.idle_since >= trusted and not connection.alive():
                idle.append(connection)
                return None
            places.reused += 1
            places.busy += 1
            self.busy += 1
            return connection

    def shelve(self, connection: Any, /) -> bool:
        if self.guard.held:
            return False
        now = monotonic()
        with self.guard:
            places = self.places.get(connection.address)
            if places is None or self.closed or places.waiting:
                return False
            connection.used = True
            connection.idle_since = now
            kept = True
            try:
                places.idle.append(connection)
            except MemoryError:
                kept = False
            places.busy -= 1
            self.busy -= 1
            if not kept:
                places.dropped += 1
                connection.close()
            return True


class Spin:
    """See ``fastxfer._ext.places.Spin``: an exchange in Python takes too long for polling to matter."""

    __slots__ = ()

    def __init__(self, cores: int, /) -> None:
        pass

    def plan(self, busy: int, /) -> tuple[int, int]:
        return 0, 0

    def learn(self, took: int, polled: int = 0, found: bool = True, /) -> None:
        pass
