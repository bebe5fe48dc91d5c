"""What the protocol logic needs of the outside world: blocking and asyncio provide it each in their way."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from fastxfer.core.ftpexchange import AVAILABLE, Exchange
from fastxfer.core.xfer import Transfer
from fastxfer.net.stream import Stream
from fastxfer.net.tls_pump import ReceivePump, SendPump

__all__ = ["PATIENCE", "Driver", "Gate", "Mover"]

T = TypeVar("T")
Mover = Transfer | ReceivePump | SendPump
"""Something that moves the bytes of one file."""

PATIENCE = 0.25
"""Seconds without a byte after which an exchange is gone on with a step at a time, where the timeouts are kept."""


class Gate(Protocol):
    """Where those wait who want a connection while all are in use."""

    async def wait(self, seconds: float | None) -> bool:
        """Until woken: True; or until *seconds* have passed: False."""

    def wake(self) -> None:
        """Let one of those who wait go on; from any thread."""


class Driver(ABC):
    """The outside world. Its coroutines suspend under asyncio; the blocking driver's never do."""

    @abstractmethod
    def stream(self, sock: socket.socket) -> Stream:
        """A stream on *sock*, which it owns from now on."""

    def at_home(self, function: Callable[[], None]) -> None:
        """Call *function* where this driver's streams may be touched; when this returns it is done."""
        function()

    @abstractmethod
    async def resolve(self, host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        """As :func:`socket.getaddrinfo`, for TCP."""

    @abstractmethod
    async def socks_connect(self, proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
        """A connection to *host* by way of a SOCKS proxy."""

    @abstractmethod
    async def wait_readable(self, sock: socket.socket, seconds: float | None) -> None:
        """Until *sock* (a listening one) can be accepted from. Raises TimeoutError."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    async def carry(self, mover: Mover) -> None:
        """Carry *mover* to its end. A Transfer's failure is in its ``error``; a pump raises it."""

    def exchange(self, control: socket.socket, family: int, peer: tuple[Any, ...]) -> Exchange | None:
        """Exchanges of small files beside *control*, a plain connection to *peer*; None where the system has none."""
        if not AVAILABLE:
            return None
        return Exchange(control.fileno(), family, peer[0].partition("%")[0], *peer[2:])

    @abstractmethod
    async def carry_exchange(self, exchange: Exchange) -> None:
        """Carry *exchange*, which was begun, to its end, or until nothing has come for a moment."""

    @abstractmethod
    def beating(self, seconds: float, beat: Callable[[], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        """Call *beat* every so many *seconds* while the block runs; none is under way any more when it is left."""

    @abstractmethod
    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something that may take long without Python's leave: hashing a file, walking a directory."""

    @abstractmethod
    def gate(self) -> Gate: ...
