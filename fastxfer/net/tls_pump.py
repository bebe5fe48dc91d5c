"""Bulk bytes between a TLS socket and a file or memory, in large blocks, in the calling thread.

OpenSSL releases the GIL over each record, so a pump in a worker thread leaves the event loop free. Reading the socket
half a megabyte at a time and decrypting from memory costs a quarter less processor time than reading record by record.
The pumps also carry plain connections whose bytes are transformed on the way (compression, line ends).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastxfer.core.transforms import TRANSFORMED, Transform
from fastxfer.core.xfer import RateLimit
from fastxfer.net.kept_memory import keep_memory
from fastxfer.net.tls_channel import TLSChannel

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PumpCancelledError", "PumpLimitError", "ReceivePump", "SendPump"]

_RECEIVED = 524288
"""Bytes received and decrypted at a time."""
_SENT = 262144
"""Bytes encrypted and sent at a time."""
_EAGER = 131072
"""The same of an eager sender, and the bytes that may wait in its socket beyond what is on its way."""
_LOOK = 0.5
"""Seconds between two looks for a cancellation while nothing moves."""
_LINGER = 5.0
"""Seconds to wait for the peer's end after our own; past them the connection is simply closed."""


class PumpCancelledError(ConnectionError):
    """The pump was cancelled from another thread."""


class PumpLimitError(OSError):
    """More came than may be taken."""


class _Pump:
    """What both directions share: waiting, deadlines, the handshake, cancelling."""

    def __init__(
        self,
        sock: socket.socket,
        channel: TLSChannel | None,
        *,
        idle_timeout: float | None,
        timeout: float | None,
        transform: Transform | None,
        pacers: Sequence[RateLimit],
    ) -> None:
        self.sent = 0
        """Bytes taken from the source so far; may be read from any thread."""
        self.received = 0
        """Bytes given to the sink so far; may be read from any thread."""
        self._socket = sock
        self._channel = channel
        self._idle_timeout = idle_timeout
        self._due = None if timeout is None else time.monotonic() + timeout
        self._transform = transform
        self._pacers = pacers
        self._cancelled = threading.Event()
        keep_memory()

    @property
    def channel(self) -> TLSChannel | None:
        """The TLS side; None on a plain connection."""
        return self._channel

    def cancel(self) -> None:
        """End the pump with PumpCancelledError, from any thread."""
        self._cancelled.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # Not connected any more: the pump is about to notice.
            return

    def handshake(self) -> None:
        """Shake hands, if this is TLS. Raises ssl.SSLError, OSError, TimeoutError."""
        channel = self._channel
        if channel is None:
            return
        done = False
        while not done:
            try:
                done = channel.handshake()
            finally:
                # Also the alert that tells the peer why.
                self._flush()
            if not done:
                data = self._receive_some()
                if data:
                    channel.feed(data)
                else:
                    channel.feed_eof()

    def _receive_some(self) -> bytes:
        while True:
            try:
                return self._socket.recv(65536)
            except BlockingIOError:
                self._wait(reading=True)

    def _flush(self) -> None:
        if self._channel is not None and (data := self._channel.outgoing()):
            self._send_all(data)

    def _send_all(self, data: Buffer) -> None:
        view = memoryview(data)
        done = 0
        while done < len(view):
            try:
                done += self._socket.send(view[done:])
            except BlockingIOError:
                self._wait(reading=False)

    def _wait(self, *, reading: bool) -> None:
        """Sleep until the socket is ready. Raises TimeoutError, PumpCancelledError."""
        now = time.monotonic()
        end = now + self._idle_timeout if self._idle_timeout is not None else float("inf")
        if self._due is not None:
            end = min(end, self._due)
        while not self._cancelled.is_set():
            left = end - now
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "no data moved on the data connection in time")
            if wait_ready(self._socket.fileno(), reading=reading, seconds=min(left, _LOOK)):
                return
            now = time.monotonic()
        raise PumpCancelledError(errno.ECANCELED, "cancelled")

    def _pace(self, count: int) -> None:
        if self._cancelled.is_set():
            raise PumpCancelledError(errno.ECANCELED, "cancelled")
        pause = max((pacer.reserve(count) for pacer in self._pacers), default=0.0)
        if pause > 0 and self._cancelled.wait(pause):
            raise PumpCancelledError(errno.ECANCELED, "cancelled")


class ReceivePump(_Pump):
    """Socket to file or memory, until the peer ends.

    Args:
        sock: connected, non-blocking.
        channel: its TLS side, or None for a plain connection.
        fd: file that takes the bytes; -1 to keep them in memory: see :attr:`body`.
        limit: longest result taken, bytes; None for any.
        count: end after so many bytes, though more may come; None for all there are.
        idle_timeout: seconds without a byte.
        timeout: seconds in all.
        transform: changes the bytes on the way.
        pacers: rates to be kept to.
    """

    def __init__(
        self,
        sock: socket.socket,
        channel: TLSChannel | None,
        *,
        fd: int = -1,
        limit: int | None = None,
        count: int | None = None,
        idle_timeout: float | None = None,
        timeout: float | None = None,
        transform: Transform | None = None,
        pacers: Sequence[RateLimit] = (),
    ) -> None:
        super().__init__(sock, channel, idle_timeout=idle_timeout, timeout=timeout, transform=transform, pacers=pacers)
        self._fd = fd
        self._limit = limit
        self._left = count
        # Unlike a bytearray it gives away the bytes it has gathered without another copy.
        self._body = io.BytesIO()

    @property
    def body(self) -> bytes:
        """What came, where no file took it."""
        return self._body.getvalue()

    def run(self) -> None:
        """Carry on to the end. Raises OSError, ssl.SSLError, TLSTruncatedError, TimeoutError, PumpCancelledError."""
        if self._channel is None:
            self._run_plain()
        else:
            self.handshake()
            self._run_tls(self._channel)
        if self._cancelled.is_set():
            # Its shutdown looks like the peer's end.
            raise PumpCancelledError(errno.ECANCELED, "cancelled")
        if self._transform is not None:
            self._store(self._transform.finish())

    def _run_plain(self) -> None:
        block = memoryview(bytearray(_RECEIVED))
        while self._left != 0 and (count := self._receive_into(block)):
            self._take(block[:count])

    def _run_tls(self, channel: TLSChannel) -> None:
        cipher = memoryview(bytearray(_RECEIVED))
        plain = memoryview(bytearray(_RECEIVED))
        while not channel.ended:
            while self._left != 0 and (count := channel.read_into(plain)):
                self._take(plain[:count])
            if self._left == 0 or self._ended(channel):
                break
            if count := self._receive_into(cipher):
                channel.feed(cipher[:count])
            else:
                channel.feed_eof()
        # Tell the peer that its end was understood; some wait for it. It may have gone already.
        channel.close()
        try:
            self._socket.send(channel.outgoing())
        except OSError:
            return

    @staticmethod
    def _ended(channel: TLSChannel) -> bool:
        return channel.ended

    def _receive_into(self, block: memoryview) -> int:
        while True:
            try:
                return self._socket.recv_into(block)
            except BlockingIOError:
                self._wait(reading=True)

    def _take(self, data: memoryview) -> None:
        if self._transform is None:
            self._store(data)
        else:
            for start in range(0, len(data), TRANSFORMED):
                self._store(self._transform.update(data[start : start + TRANSFORMED]))
        self._pace(len(data))

    def _store(self, data: Buffer) -> None:
        view = memoryview(data)
        if self._left is not None:
            view = view[: self._left]
            self._left -= len(view)
        if self._limit is not None and self.received + len(view) > self._limit:
            raise PumpLimitError(errno.EMSGSIZE, f"more than {self._limit} bytes came")
        if self._fd < 0:
            self._body.write(view)
        else:
            done = 0
            while done < len(view):
                done += os.write(self._fd, view[done:])
        self.received += len(view)


class SendPump(_Pump):
    """File or memory to socket, then the end of the stream.

    Args:
        sock: connected, non-blocking.
        channel: its TLS side, or None for a plain connection.
        fd: file to be sent from its current position to its end; -1 for none.
        count: bytes of the file to be sent, though it may have grown; None for all there are.
        data: what is sent where there is no file.
        idle_timeout: seconds without a byte.
        timeout: seconds in all.
        transform: changes the bytes on the way.
        pacers: rates to be kept to.
        eager: send smaller blocks, and under TLS let little wait in the socket. What waits there is transmitted when
            the peer acknowledges, on one machine by the peer's processor. A single stream to a peer that has its hands
            full with decrypting is faster for it; many streams of one process cost more.
    """

    def __init__(
        self,
        sock: socket.socket,
        channel: TLSChannel | None,
        *,
        fd: int = -1,
        count: int | None = None,
        data: Buffer = b"",
        idle_timeout: float | None = None,
        timeout: float | None = None,
        transform: Transform | None = None,
        pacers: Sequence[RateLimit] = (),
        eager: bool = False,
    ) -> None:
        super().__init__(sock, channel, idle_timeout=idle_timeout, timeout=timeout, transform=transform, pacers=pacers)
        self._fd = fd
        self._left = count
        self._eager = eager
        self._block = _EAGER if eager else _SENT
        self._data = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")

    def run(self) -> None:
        """Carry on to the end. Raises OSError, ssl.SSLError, TimeoutError, PumpCancelledError.

        The error is EIO where the file ends before its *count* is reached; the peer does not see a proper end then.
        """
        self.handshake()
        if self._eager and self._channel is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Where the connection is gone already, the next call tells.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _EAGER)
        read = self._reader()
        while block := memoryview(read()):
            self._give(block if self._transform is None else self._transform.update(block))
            self.sent += len(block)
            self._pace(len(block))
        if self._transform is not None:
            self._give(self._transform.finish())
        self._end()

    def _reader(self) -> Callable[[], Buffer]:
        if self._fd >= 0:
            return self._read_file if self._left is not None else lambda: os.read(self._fd, self._block)
        size = self._block
        blocks = (self._data[at : at + size] for at in range(0, len(self._data), size))
        return lambda: next(blocks, b"")

    def _read_file(self) -> bytes:
        assert self._left is not None
        data = os.read(self._fd, min(self._block, self._left))
        if self._left and not data:
            raise OSError(errno.EIO, "The file became shorter while it was sent")
        self._left -= len(data)
        return data

    def _give(self, data: Buffer) -> None:
        if self._channel is None:
            self._send_all(data)
        else:
            self._channel.write(data)
            self._flush()

    def _end(self) -> None:
        """Say that this was all, and wait for the peer to have read it.

        Closing while something of the peer's lies unread (TLS 1.3 session tickets) would reset the connection and throw
        away what the peer has not read yet.
        """
        if self._channel is not None:
            self._channel.close()
            self._flush()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return
        if self._channel is None:
            return
        end = time.monotonic() + _LINGER
        while (left := end - time.monotonic()) > 0 and not self._cancelled.is_set():
            try:
                if not self._socket.recv(65536):
                    return
            except BlockingIOError:
                wait_ready(self._socket.fileno(), reading=True, seconds=min(left, _LOOK))
            except OSError:
                return


def wait_ready(fd: int, *, reading: bool, seconds: float | None) -> bool:
    """Wait for one descriptor; True when it is ready (or in error, which the next call will tell)."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fd, select.POLLIN if reading else select.POLLOUT)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
    watched = [fd]
    ready = select.select(watched if reading else [], [] if reading else watched, watched, seconds)
    return any(ready)
