"""A data connection driven by the event loop itself: for listings, and for files that have no descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from fastxfer.net.tls_channel import TLSChannel
    from fastxfer.server.session import Session

__all__ = ["DataStream"]

T = TypeVar("T")

BLOCK = 65536
LINGER = 5.0
"""Seconds to wait for the client's end of a TLS connection after ours."""


class DataStream:
    """One data connection, plain or TLS. The socket stays the caller's.

    Failures are OSError (ssl.SSLError among them); a stall longer than the timeout is ETIMEDOUT, a TLS stream cut
    without close_notify is a :class:`fastxfer.net.tls_channel.TLSTruncatedError`.

    Attributes:
        before_waiting: called before the stream waits for the client to take bytes; may be set to None again.
    """

    def __init__(self, sock: socket.socket, channel: TLSChannel | None, timeout: float | None) -> None:
        self._socket = sock
        self._channel = channel
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self.before_waiting: Callable[[], None] | None = None

    @classmethod
    def of(cls, session: Session, sock: socket.socket) -> DataStream:
        """A data connection of *session*."""
        return cls(sock, session.runtime.data_channel(session), session.config.timeouts.data_stall or None)

    @property
    def channel(self) -> TLSChannel | None:
        """The TLS side, None for a plain connection."""
        return self._channel

    async def handshake(self) -> None:
        """Shake hands, if this is TLS."""
        channel = self._channel
        if channel is None:
            return
        done = False
        while not done:
            try:
                done = channel.handshake()
            finally:
                await self._flush()
            if not done:
                await self._feed()

    async def send(self, data: bytes) -> None:
        """Send all of *data*."""
        channel = self._channel
        if channel is not None:
            channel.write(data)
            data = channel.outgoing()
        if data:
            await self._send_raw(data)

    async def _send_raw(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            if self.before_waiting is not None:
                self.before_waiting()
            await self._timed(self._loop.sock_sendall(self._socket, memoryview(data)[sent:]))

    async def receive(self, size: int) -> bytes:
        """The next bytes, at most about *size*; empty at the end."""
        channel = self._channel
        if channel is None:
            return await self._receive_raw(size)
        while (data := channel.read(size)) is None:
            await self._feed()
        return data

    async def _receive_raw(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except (BlockingIOError, InterruptedError):
            return await self._timed(self._loop.sock_recv(self._socket, size))

    async def finish(self) -> None:
        """Say that this was all."""
        channel = self._channel
        if channel is not None:
            channel.close()
            await self._flush()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error
        if channel is not None:
            # Closing while something of the client's lies unread would reset the connection, and the client might
            # lose the end of the data.
            try:
                await asyncio.wait_for(self._drain(), LINGER)
            except (OSError, asyncio.TimeoutError):
                return

    def acknowledge(self) -> None:
        """Answer the client's end of a TLS stream with ours, if the socket takes it; some wait for it."""
        channel = self._channel
        if channel is None:
            return
        channel.close()
        with contextlib.suppress(OSError):
            self._socket.send(channel.outgoing())

    async def _drain(self) -> None:
        while await self._loop.sock_recv(self._socket, BLOCK):
            pass

    async def _feed(self) -> None:
        channel = self._channel
        assert channel is not None
        data = await self._receive_raw(BLOCK)
        if data:
            channel.feed(data)
        else:
            channel.feed_eof()

    async def _flush(self) -> None:
        if self._channel is not None and (data := self._channel.outgoing()):
            await self._send_raw(data)

    async def _timed(self, awaitable: Awaitable[T]) -> T:
        if self._timeout is None:
            return await awaitable
        try:
            return await asyncio.wait_for(awaitable, self._timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(errno.ETIMEDOUT, "The data connection stalled") from None
