"""The two steps of a connection pool's bookkeeping that every exchange takes, what they need of it, and when to poll.

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

class Link:
    """What a pool must know of a connection.

    Args, and attributes:
        address: the peer.
        fd: its descriptor.

    Attributes:
        used: whether it has carried at least one exchange.
        idle_since: monotonic time at which it was last given back; at first that of its making.
    """

    address: Any
    fd: int
    used: bool
    idle_since: float
    def __init__(self, address: Any, fd: int, /) -> None: ...

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
    """The places at all servers.

    Args:
        trusted, certain: a connection given back less than so many seconds ago is taken without looking whether it
            lives: for requests that may be sent again, and for those that may not.

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
        """Take the connection that was given back last, if it lives.

        None where it does not, where there is none, and where there is more to do.
        """
    def shelve(self, connection: Any, /) -> bool:
        """Keep *connection*, a :class:`Link` whose place is in use until now, as idle.

        False, and nothing done, where there is more to do: somebody waits for a place, or nothing is kept any more.
        For want of memory to keep it in, *connection* is closed, and its place is free.
        """

@final
class Spin:
    """Learns, for one kind of exchange, how to wait for replies that come soon.

    A thread that sleeps until a reply wakes it is late by what waking it takes. So at most every other turn of some
    exchanges naps for a part of the time and then polls, in the way that has cost least so far, compared with the
    sleeping turn before it: time, and half of the processor's time. Other ways are tried now and then. As soon as
    polling has taken more of the processor than an eighth of an exchange's time asleep, or 20 us, turns sleep until it
    has not. So does an exchange beside others that want the cores. Safe to use from several threads: what is lost is
    only accuracy.

    :func:`~fastxfer.core.xfer.exchange` takes it and does all that; without native code it has no effect.

    Args:
        cores: how many this process may use.
    """

    def __init__(self, cores: int, /) -> None: ...
    def plan(self, busy: int, /) -> tuple[int, int]:
        """How to wait for the reply of an exchange that begins now, *busy* ones being under way with it.

        Nanoseconds to nap, and then to poll at most; nothing of both: sleep.
        """
    def learn(self, took: int, polled: int = 0, found: bool = True, /) -> None:
        """The exchange that was planned is over.

        Args:
            took: nanoseconds from its beginning to its end.
            polled: nanoseconds of it that were spent with polling, where that was planned.
            found: the reply came meanwhile.
        """
