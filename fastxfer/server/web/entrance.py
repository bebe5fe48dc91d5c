"""Who is connected over HTTP: counted, turned away where there are too many, given up where an answer is not taken."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from fastxfer.net.tls_transport import TLSServerProtocol
from fastxfer.server.networks import peer_of

if TYPE_CHECKING:
    from fastxfer.server.guard import Guard
    from fastxfer.server.web.peer import Proxies

__all__ = ["Entrance", "Guest", "SecureEntrance"]

logger = logging.getLogger("fastxfer.server.web")

SWEEP = 5.0
"""Seconds between two looks at what is not taken, at most."""


class Guest:
    """One connection, from the moment it is accepted until its socket is closed.

    Args:
        transport: the bytes on the wire; what it holds back, the client does not take.
        address: where it comes from.
        counted: whether the guard has counted it.
    """

    __slots__ = ("_since", "_unsent", "address", "counted", "transport")

    def __init__(self, transport: asyncio.Transport, address: str, counted: bool) -> None:
        self.transport = transport
        self.address = address
        self.counted = counted
        self._unsent = 0
        self._since = 0.0

    def took(self) -> None:
        """The client has taken most of what was held back."""
        self._unsent = 0

    def stalled_for(self, now: float) -> float:
        """Seconds for which bytes have waited without one being taken, as far as earlier calls have seen it."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or not self._unsent or unsent < self._unsent:
            self._since = now
        self._unsent = unsent
        return now - self._since


class Entrance:
    """Knows every connection until it is gone.

    Args:
        guard: where connections are counted.
        proxies: the proxies that may open any number.
        stall_seconds: how long a client may take nothing of what is sent to it; 0 for no limit.
    """

    def __init__(self, guard: Guard, proxies: Proxies, stall_seconds: float) -> None:
        self._guard = guard
        self._proxies = proxies
        self._stall_seconds = stall_seconds
        self._interval = max(0.02, min(SWEEP, stall_seconds / 4))
        self._guests: set[Guest] = set()
        self._farewells: set[asyncio.Task[Any]] = set()
        self._emptied: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(self._interval, self._sweep) if stall_seconds else None

    def admit(self, transport: asyncio.Transport) -> Guest | None:
        """Count a connection; None where it must go. Whoever is let in must :meth:`leave`."""
        address, _ = peer_of(transport)
        counted = not self._proxies.trusts(address)
        if counted and (refused := self._guard.enter(address)):
            logger.info("connection from %s refused: %s", address, refused)
            return None
        guest = Guest(transport, address, counted)
        self._guests.add(guest)
        return guest

    def leave(self, guest: Guest) -> None:
        """*guest* is gone."""
        self._guests.discard(guest)
        if guest.counted:
            guest.counted = False
            self._guard.leave(guest.address)
        if self._emptied is not None and not self._guests:
            self._emptied.set()

    def see_off(self, farewell: Coroutine[Any, Any, None]) -> None:
        """Carry out *farewell* beside everything else, but before :meth:`clear` ends."""
        task = self._loop.create_task(farewell)
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def clear(self) -> None:
        """Break off every connection; returns when all are closed and all farewells are said. The last call."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._guests:
            self._emptied = asyncio.Event()
            for guest in list(self._guests):
                guest.transport.abort()
            await self._emptied.wait()
        while self._farewells:
            await asyncio.wait(self._farewells)

    def _sweep(self) -> None:
        now = self._loop.time()
        for guest in list(self._guests):
            if guest.stalled_for(now) > self._stall_seconds:
                logger.info("%s takes nothing of its answer: connection broken off", guest.address)
                guest.transport.abort()
        self._sweeper = self._loop.call_later(self._interval, self._sweep)


class SecureEntrance(TLSServerProtocol):
    """Counts a connection before its handshake.

    Args:
        entrance: where it is counted.
        context: what HTTPS is spoken with.
        factory: makes the protocol of HTTP for a connection that was counted.
        handshake_seconds: how long the handshake may take.
    """

    def __init__(
        self,
        entrance: Entrance,
        context: ssl.SSLContext,
        factory: Callable[[Guest], asyncio.Protocol],
        handshake_seconds: float,
    ) -> None:
        super().__init__(context, self._make, handshake_seconds)
        self._entrance = entrance
        self._make_inner = factory
        self._guest: Guest | None = None

    def _make(self) -> asyncio.Protocol:
        return self._make_inner(cast(Guest, self._guest))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._guest = self._entrance.admit(cast(asyncio.Transport, transport))
        if self._guest is None:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            super().connection_lost(exc)
        finally:
            if self._guest is not None:
                self._entrance.leave(self._guest)
