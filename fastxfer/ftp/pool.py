"""Logged-in control connections to one server, opened when wanted, bounded, kept alive, and thrown away when broken."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from fastxfer.ftp.config import ClientConfig
from fastxfer.ftp.data_port import DataPort
from fastxfer.ftp.driver import Driver, Gate
from fastxfer.ftp.errors import ClosedError, FTPError, ServiceUnavailableError, TimedOutError
from fastxfer.ftp.session import Session

__all__ = ["Link", "SessionPool"]

log = logging.getLogger("fastxfer.ftp")

_KNOCKING = 16
"""Connections that wait for the server's greeting at a time. Many servers let 32 clients stand in the queue of their
port. Whoever finds it full may never be told so: with SYN cookies the system forgets him, and since in FTP the server
speaks first, he waits in vain."""
_CROWDED_FOR = 60.0
"""Seconds for which a server's "too many connections" is remembered."""


class Link:
    """A session with its data port.

    Attributes:
        session: the control connection.
        port: opens its data connections.
        fresh: it was opened for the operation that has it now, so it can not have died while idle.
        idle_since: when an operation last gave it back, on the monotonic clock.
        owner: the pool it belongs to; the client may have got another one meanwhile.
    """

    __slots__ = ("fresh", "idle_since", "owner", "port", "session")

    def __init__(self, session: Session, owner: SessionPool) -> None:
        self.session = session
        self.owner = owner
        self.port = DataPort(session)
        self.fresh = True
        self.idle_since = time.monotonic()

    def close(self) -> None:
        self.session.driver.at_home(self._close)

    def _close(self) -> None:
        self.port.close()
        self.session.close()

    def move_to(self, driver: Driver) -> None:
        """Have *driver* wait on the connection from now on; nobody may be using it."""
        self.session.driver.at_home(self._let_go)
        self.session.move_to(driver)

    def _let_go(self) -> None:
        self.port.let_go()
        self.session.let_go()


class SessionPool:
    """Hands sessions out to one operation at a time each. Safe to use from several threads.

    Operations of several drivers (calling threads, an event loop) may share it: a session goes with whoever has it.

    Args:
        config: its limits and timeouts are kept to.
        make: makes a session, not yet open, for a driver.
    """

    def __init__(self, config: ClientConfig, make: Callable[[Driver], Session]) -> None:
        self._limits = config.limits
        self._timeouts = config.timeouts
        self._make = make
        self._lock = threading.Lock()
        self._idle: list[Link] = []
        self._lent: set[Link] = set()
        self._open = 0
        self._knocking = 0
        self._ceiling = config.limits.connections
        self._crowded_until = 0.0
        self._waiting: list[Gate] = []
        self._closed = False

    @property
    def open(self) -> int:
        """Connections that are open or being opened."""
        return self._open

    @property
    def active(self) -> int:
        """Those of them that are in use."""
        return self._open - len(self._idle)

    @property
    def closed(self) -> bool:
        return self._closed

    async def acquire(self, driver: Driver) -> Link:
        """A session for one operation, which *driver* waits on; give it back with :meth:`release`.

        Raises TimedOutError where none is free in time, ClosedError, and what opening one raises.
        """
        wait = self._timeouts.lease
        end = None if wait is None else time.monotonic() + wait
        while True:
            link, may_open = self._take(driver)
            if link is not None:
                if await self._healthy(link, driver):
                    return self._lend(link)
                self.discard(link)
                continue
            if may_open:
                opened = await self._open_one(driver)
                if opened is not None:
                    return self._lend(opened)
                continue
            await self._queue(driver.gate(), end, wait)

    def take_ready(self, driver: Driver) -> Link | None:
        """The session given back last, if *driver* waits on it and a small file can be asked for on it at once."""
        with self._lock:
            if self._idle:
                link = self._idle[-1]
                if link.session.driver is driver and link.port.ready:
                    self._idle.pop()
                    self._lent.add(link)
                    link.fresh = False
                    return link
        return None

    def _lend(self, link: Link) -> Link:
        with self._lock:
            if not self._closed:
                self._lent.add(link)
                return link
        self.discard(link)
        raise ClosedError("the client is closed")

    def _take(self, driver: Driver) -> tuple[Link | None, bool]:
        """An idle session, best one that *driver* waits on already, or leave to open one (which is then counted)."""
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed")
            link = self._take_idle(driver)
            if link is not None:
                if self._waiting and self._may_open():
                    # Who was woken to open one has this instead.
                    self._wake_locked()
                return link, False
            if self._ceiling < self._limits.connections and time.monotonic() > self._crowded_until:
                self._ceiling = self._limits.connections
            if self._may_open():
                self._open += 1
                self._knocking += 1
                return None, True
            return None, False

    def _take_idle(self, driver: Driver) -> Link | None:
        for link in reversed(self._idle):
            if link.session.driver is driver:
                self._idle.remove(link)
                return link
        return self._idle.pop() if self._idle else None

    def _may_open(self) -> bool:
        return self._open < self._ceiling and self._knocking < _KNOCKING

    async def _healthy(self, link: Link, driver: Driver) -> bool:
        """Whether an idle session can be used: it is looked at, and asked (NOOP) after a long rest."""
        session = link.session
        link.fresh = False
        try:
            if session.driver is not driver:
                link.move_to(driver)
            if link.port.owing:
                await link.port.collect()
            if not link.port.quiet:
                session.check()
            keepalive = self._limits.keepalive
            if keepalive is not None and time.monotonic() - session.last_used > keepalive:
                await session.command("NOOP")
        except FTPError as error:
            log.debug("an idle connection is gone: %s", error)
            return False
        except BaseException:
            self.discard(link)
            raise
        return True

    async def _open_one(self, driver: Driver) -> Link | None:
        """Open a session; None where the server has no room for more than are open, which are then waited for."""
        session = self._make(driver)
        knocking = True

        def greeted() -> None:
            nonlocal knocking
            if knocking:
                knocking = False
                with self._lock:
                    self._knocking -= 1
                    self._wake_locked()

        try:
            await session.open(greeted)
        except ServiceUnavailableError as error:
            with self._lock:
                self._open -= 1
                others = self._open
                if others:
                    self._ceiling = others
                    self._crowded_until = time.monotonic() + _CROWDED_FOR
            if not others:
                self._wake()
                raise
            log.info("the server has no room for more than %d connections: %s", others, error)
            return None
        except BaseException:
            with self._lock:
                self._open -= 1
            self._wake()
            raise
        finally:
            greeted()
        return Link(session, self)

    async def _queue(self, gate: Gate, end: float | None, wait: float | None) -> None:
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed")
            if self._idle or self._may_open():
                return
            self._waiting.append(gate)
        left = None if end is None else max(0.0, end - time.monotonic())
        woken = False
        try:
            woken = await gate.wait(left)
        finally:
            with self._lock:
                if gate in self._waiting:
                    self._waiting.remove(gate)
                elif not woken:
                    # Woken just when it gave up: the turn is somebody else's.
                    self._wake_locked()
        if not woken:
            raise TimedOutError(f"no connection became free within {wait} s")

    def release(self, link: Link) -> None:
        """Take a session back; closes it if it is broken or one too many."""
        if link.owner is not self:
            link.owner.release(link)
            return
        link.idle_since = time.monotonic()
        self._put_back(link)

    def _put_back(self, link: Link) -> None:
        broken = link.session.broken
        with self._lock:
            self._lent.discard(link)
            if not broken and not self._closed and len(self._idle) < self._limits.idle and self._open <= self._ceiling:
                self._idle.append(link)
                self._wake_locked()
                return
        self.discard(link)

    def discard(self, link: Link) -> None:
        """Close a session that was handed out."""
        if link.owner is not self:
            link.owner.discard(link)
            return
        link.close()
        with self._lock:
            self._lent.discard(link)
            self._open -= 1
            self._wake_locked()

    def _wake(self) -> None:
        with self._lock:
            self._wake_locked()

    def _wake_locked(self) -> None:
        if self._waiting:
            self._waiting.pop(0).wake()

    def take_resting(self, rest: float) -> list[Link]:
        """Idle sessions unused for *rest* seconds, to be kept alive and released, or discarded."""
        now = time.monotonic()
        with self._lock:
            resting = [link for link in self._idle if now - link.session.last_used >= rest]
            self._idle = [link for link in self._idle if now - link.session.last_used < rest]
        return resting

    async def keep_alive(self, driver: Driver) -> None:
        """Say NOOP on the sessions that have rested long; close those that are gone or have been unused too long."""
        keepalive = self._limits.keepalive
        lifetime = self._limits.idle_lifetime
        for link in self.take_resting(keepalive if keepalive is not None else float("inf")):
            idle_for = time.monotonic() - link.idle_since
            if lifetime is not None and idle_for >= lifetime:
                await self._say_goodbye(link, driver)
            elif await self._healthy(link, driver):
                self._put_back(link)
            else:
                self.discard(link)

    async def _say_goodbye(self, link: Link, driver: Driver) -> None:
        if link.session.driver is not driver:
            link.move_to(driver)
        link.port.close()
        await link.session.quit()
        self.discard(link)

    async def close(self, driver: Driver) -> None:
        """Close all sessions; operations that are under way end with an error. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            waiting, self._waiting = self._waiting, []
            lent = list(self._lent)
        for link in lent:
            link.session.abort()
        for gate in waiting:
            gate.wake()
        for link in idle:
            await self._say_goodbye(link, driver)
