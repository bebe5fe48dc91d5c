"""What the protocol logic needs of the outside world: blocking and asyncio provide it each in their way."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fastxfer.core.xfer import Transfer
from fastxfer.net.stream import Stream
from fastxfer.net.tls_pump import ReceivePump, SendPump

__all__ = ["Driver", "Gate", "Mover"]

T = TypeVar("T")
Mover = Transfer | ReceivePump | SendPump
"""Something that moves the bytes of one file."""


class Gate(Protocol):
    """Where those wait who want a connection while all are in use."""

    async def wait(self, seconds: float | None) -> bool:
        """Until woken: True; or until *seconds* have passed: False."""

    def wake(self) -> None:
        """Let one of those who wait go on."""


class Driver(ABC):
    """The outside world. Its coroutines suspend under asyncio; the blocking driver's never do."""

    @abstractmethod
    def stream(self, sock: socket.socket) -> Stream:
        """A stream on *sock*, which it owns from now on."""

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

    @abstractmethod
    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something that may take long without Python's leave: hashing a file, walking a directory."""

    @abstractmethod
    def gate(self) -> Gate: ...
