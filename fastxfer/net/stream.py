"""A TCP connection, plain or TLS, whose only wait is one method: blocking and asyncio streams differ in nothing else.

The methods that may wait are coroutines. A blocking stream waits inside of them, so such a coroutine never suspends
and is run by ``send(None)``; see :func:`run_blocking`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastxfer.net.tls_channel import TLSChannel

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Stream", "run_blocking"]

T = TypeVar("T")

_CHUNK = 65536
_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", -1)})


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits only on blocking streams, to its end, in this thread."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine waited on an event loop")


class Stream(ABC):
    """One connection.

    Args:
        sock: a TCP socket; becomes non-blocking and belongs to the stream.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.channel: TLSChannel | None = None
        self.connecting = False
        self._closed = False

    @abstractmethod
    async def wait(self, *, reading: bool, seconds: float | None) -> None:
        """Wait until the socket can be read, or written. Raises TimeoutError after *seconds*."""

    @abstractmethod
    async def rest(self) -> None:
        """Wait a hundredth of a second."""

    def _forget(self) -> None:  # noqa: B027 - a stream without an event loop has nothing to forget
        """The socket is about to be closed: let go of it."""

    def let_go(self) -> None:
        """Stop watching the socket, which another stream is about to own."""
        self._forget()

    def give_up(self) -> int:
        """The socket's descriptor, which is the caller's from now on; nobody may be waiting. The stream is closed."""
        self._forget()
        self._closed = True
        return self.socket.detach()

    @property
    def closed(self) -> bool:
        return self._closed

    def fileno(self) -> int:
        return self.socket.fileno()

    # Connecting

    def begin_connect(self, address: tuple[Any, ...]) -> None:
        """Start connecting, without waiting. OSError where it fails at once."""
        code = self.socket.connect_ex(address)
        if code in _IN_PROGRESS:
            self.connecting = True
        elif code:
            raise OSError(code, os.strerror(code))

    async def finish_connect(self, seconds: float | None) -> None:
        """Wait for the connection. Raises OSError as ``connect`` does, TimeoutError."""
        if not self.connecting:
            return
        await self.wait(reading=False, seconds=seconds)
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.connecting = False

    # Bytes

    def receive_now(self) -> bytes | None:
        """What there is to be read, without waiting: None for nothing, b"" at the end of the stream."""
        channel = self.channel
        if channel is None:
            return self._raw_receive()
        while (data := channel.read()) is None:
            raw = self._raw_receive()
            if raw is None:
                return None
            if raw:
                channel.feed(raw)
            else:
                channel.feed_eof()
        return data

    def _raw_receive(self) -> bytes | None:
        try:
            return self.socket.recv(_CHUNK)
        except BlockingIOError:
            return None

    async def receive(self, seconds: float | None) -> bytes:
        """The next bytes; b"" at the end of the stream (with TLS: at close_notify). *seconds* to wait for them.

        Raises OSError, TimeoutError, ssl.SSLError, :class:`fastxfer.net.tls_channel.TLSTruncatedError`.
        """
        end = None
        while (data := self.receive_now()) is None:
            left = seconds
            if seconds is not None:
                # A piece of a TLS record is no byte yet.
                now = time.monotonic()
                end = end or now + seconds
                left = max(end - now, 0.0)
            await self.wait(reading=True, seconds=left)
        return data

    async def send(self, data: Buffer, seconds: float | None) -> None:
        """Send all of *data*, waiting at most *seconds* for each piece to be taken."""
        if self.channel is not None:
            self.channel.write(data)
            data = self.channel.outgoing()
        await self._raw_send(data, seconds)

    async def _raw_send(self, data: Buffer, seconds: float | None) -> None:
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            try:
                sent += self.socket.send(view[sent:])
            except BlockingIOError:
                await self.wait(reading=False, seconds=seconds)

    # TLS

    async def start_tls(self, channel: TLSChannel, seconds: float | None) -> None:
        """Shake hands; from then on the stream is TLS. Raises ssl.SSLError, OSError, TimeoutError."""
        end = None if seconds is None else time.monotonic() + seconds
        done = False
        while not done:
            try:
                done = channel.handshake()
            finally:
                if data := channel.outgoing():
                    await self._raw_send(data, seconds)
            if done:
                break
            left = None if end is None else max(0.001, end - time.monotonic())
            while (raw := self._raw_receive()) is None:
                await self.wait(reading=True, seconds=left)
            if raw:
                channel.feed(raw)
            else:
                channel.feed_eof()
        self.channel = channel

    async def end_tls(self, seconds: float | None) -> None:
        """Leave TLS in good order; the connection goes on in the clear (RFC 4217, section 16: CCC).

        Raises ssl.SSLError where the peer sent more than its close_notify.
        """
        channel = self.channel
        if channel is None:
            return
        done = channel.close()
        await self._raw_send(channel.outgoing(), seconds)
        while not done:
            while (raw := self._raw_receive()) is None:
                await self.wait(reading=True, seconds=seconds)
            if raw:
                channel.feed(raw)
            else:
                channel.feed_eof()
            done = channel.close()
        if channel.unread():
            raise ssl.SSLError("the peer sent bytes in the clear before it was asked to")
        self.channel = None

    # The end

    async def send_eof(self, seconds: float | None) -> None:
        """Say that nothing more will be sent (close_notify first, with TLS)."""
        if self.channel is not None:
            self.channel.close()
            await self._raw_send(self.channel.outgoing(), seconds)
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    async def drain(self, seconds: float) -> None:
        """Read until the peer's end, at most *seconds*: closing with unread bytes would reset what was just sent."""
        end = time.monotonic() + seconds
        try:
            while (raw := self._raw_receive()) != b"":
                if raw is None:
                    await self.wait(reading=True, seconds=max(0.0, end - time.monotonic()))
        except OSError:
            return

    def close(self) -> None:
        """Close the socket, with a close_notify if this is TLS. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._forget()
        if self.channel is not None:
            # Without close_notify OpenSSL would hold the session, which other connections share, for broken.
            self.channel.close()
            with contextlib.suppress(OSError):
                self.socket.send(self.channel.outgoing())
        self.socket.close()
