"""The two steps of a connection pool's bookkeeping that every exchange takes, and what they need of it.

All else about a pool is written above this module, under a :class:`Guard`. The two steps here take no lock where the
interpreter has one: nothing else runs meanwhile. While anybody is inside the guard they leave it to the caller.
"""

from collections import deque
from threading import RLock
from typing import Any, final

@final
class Guard:
    """A reentrant lock, for ``with``, that tells whether anybody is inside.

    Args:
        lock: what it locks.
    """

    def __init__(self, lock: RLock, /) -> None: ...
    @property
    def held(self) -> bool:
        """Whether anybody is inside."""
    def __enter__(self) -> None: ...
    def __exit__(self, *details: object) -> None: ...

@final
class Places:
    """The places at one server.

    Attributes:
        idle: connections, the last given back at the end.
        waiting: who waits for a place, as it was given.
        busy: places in use.
        opened, reused, dropped, found_dead, reaped, timeouts: counts for statistics.
    """

    busy: int
    opened: int
    reused: int
    dropped: int
    found_dead: int
    reaped: int
    timeouts: int
    def __init__(self, waiting: deque[Any], /) -> None: ...
    @property
    def idle(self) -> list[Any]: ...
    @property
    def waiting(self) -> deque[Any]: ...

class Book:
    """The places at all servers. Connections have ``address``, ``used`` and ``idle_since`` to be read and set.

    Args:
        trusted, certain: a connection given back less than so many seconds ago is taken to live: for requests that may
            be sent again, and for those that may not.

    Attributes:
        guard: held by whoever changes anything here, but for the two methods.
        places: by address.
        busy: places in use at all of them.
        closed: whether nothing is kept any more.
        next_reap: monotonic time at which to look for connections that have been idle too long.
    """

    guard: Guard
    places: dict[Any, Places]
    busy: int
    closed: bool
    next_reap: float
    def __init__(self, guard: Guard, trusted: float, certain: float, /) -> None: ...
    def pick(self, address: Any, certain: bool = False, /) -> Any | None:
        """Take the connection that was given back last, if it surely lives.

        None where it might not, where there is none, and where there is more to do.
        """
    def shelve(self, connection: Any, /) -> bool:
        """Keep *connection*, whose place is in use until now, as idle. False, and nothing done, where there is more to
        do: somebody waits for a place, or nothing is kept any more.
        """
