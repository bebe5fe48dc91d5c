"""The hot steps of a connection pool's bookkeeping: see ``fastxfer/_ext/places.pyi``."""

from __future__ import annotations

from collections import deque
from threading import RLock
from time import monotonic
from typing import Any

__all__ = ["Book", "Guard", "Link", "Places", "Spin"]

_SPIN = 55
"""Microseconds to poll; a sleep and the wake-up from it cost about as much."""

_IN_TIME = (_SPIN + 10) / 1e6
"""Seconds within which a reply came while polling. What takes longer costs more processor time than the sleep does."""

_PAUSE = 500
_LONGEST_PAUSE = 8000
"""Exchanges without polling after it has not paid; then it is tried again. Twice as many each time that it does not."""

_BREATH = 1
"""Exchanges without polling after each that was polled for."""

_LEARNING = 0.1


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
            if now - connection.idle_since >= (self._certain if certain else self._trusted):
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
            places.idle.append(connection)
            places.busy -= 1
            self.busy -= 1
            return True


class Spin:
    """See ``fastxfer._ext.places.Spin``."""

    __slots__ = ("_cores", "_next_pause", "_pause", "_score")

    def __init__(self, cores: int, /) -> None:
        self._cores = cores
        self._pause = 0
        self._next_pause = _PAUSE
        self._score = 1.0

    def budget(self, busy: int, /) -> int:
        if busy >= self._cores:
            return 0
        if self._pause > 0:
            self._pause -= 1
            return 0
        self._pause = _BREATH
        return _SPIN

    def learn(self, seconds: float, /) -> None:
        self._score += ((seconds < _IN_TIME) - self._score) * _LEARNING
        if self._score < 0.5:
            # A few more failures than successes suffice next time.
            self._score, self._pause = 0.7, self._next_pause
            self._next_pause = min(_LONGEST_PAUSE, 2 * self._next_pause)
        elif self._score > 0.9:
            self._next_pause = _PAUSE
