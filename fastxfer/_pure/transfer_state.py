"""What a transfer of the pure twin is made of: its settings, its progress, its clocks and its rate limits."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from fastxfer._pure.ratelimit import RateLimit

if TYPE_CHECKING:
    from typing_extensions import Buffer

FRAMING_NONE: Final = 0
FRAMING_RAW: Final = 1
FRAMING_FASTDFS: Final = 2

WANT_READ: Final = 1
WANT_WRITE: Final = 2
WANT_TIME: Final = 4

CHUNK: Final = 262144
DEFAULT_LIMIT: Final = 1 << 26
NO_SIGNAL: Final = getattr(socket, "MSG_NOSIGNAL", 0)
SIGNAL_SLICE: Final = 0.25
_SENDFILE: Final = (
    None if os.environ.get("FASTXFER_NO_SENDFILE", "") not in ("", "0") else getattr(os, "sendfile", None)
)


class Failed(Exception):
    """Ends the transfer: an errno and the side where it arose."""

    def __init__(self, error: int, side: str) -> None:
        super().__init__(error, side)
        self.error = error
        self.side = side


class Blocked(Exception):
    """Nothing moves before the descriptor is ready (or, with WANT_TIME, before the hour has come)."""

    def __init__(self, want: int) -> None:
        super().__init__(want)
        self.want = want


def bytes_of(buffer: Buffer) -> memoryview:
    view = memoryview(buffer)
    if not view.contiguous:
        raise BufferError("a buffer that is moved must be contiguous")
    return view.cast("B") if view.nbytes else memoryview(b"")


def ready(fd: int, want: int, timeout: float) -> bool:
    """Wait for *fd*; True where it is ready (or in error, which the next call will tell)."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fd, (select.POLLIN if want & WANT_READ else 0) | (select.POLLOUT if want & WANT_WRITE else 0))
        return bool(poll.poll(timeout * 1000))
    if not want:
        time.sleep(min(timeout, 0.05))
        return False
    reading, writing, failed = select.select(
        [fd] if want & WANT_READ else [], [fd] if want & WANT_WRITE else [], [fd], timeout
    )
    return bool(reading or writing or failed)


def _hang_up_kills() -> bool:
    """Whether a peer that hangs up would end the process by SIGPIPE, which sendfile cannot be told to leave out."""
    return hasattr(signal, "SIGPIPE") and signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL


class TransferState:
    """All that is known of a transfer; sending and receiving are added by those who inherit."""

    def __init__(
        self,
        fd: int,
        *,
        send: Buffer | Sequence[Buffer] = (),
        send_from: Buffer | None = None,
        send_fd: int = -1,
        send_offset: int = 0,
        send_count: int = -1,
        framing: int = FRAMING_NONE,
        recv_into: Buffer | None = None,
        recv_fd: int = -1,
        recv_offset: int = -1,
        recv_count: int = -1,
        recv_limit: int = DEFAULT_LIMIT,
        recv_expected: int = -1,
        relay_fd: int = -1,
        crc: bool = False,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        spin: int = 0,
        limits: Sequence[RateLimit] = (),
        zero_copy: bool = True,
        may_block: bool = False,
        tag: Any = None,
    ) -> None:
        if fd < 0:
            raise ValueError(f"not a descriptor: {fd}")
        if framing not in (FRAMING_NONE, FRAMING_RAW, FRAMING_FASTDFS):
            raise ValueError(f"unknown framing: {framing}")
        if send_offset < 0 or send_count < -1 or recv_offset < -1 or recv_count < -1 or recv_limit < 0 or spin < 0:
            raise ValueError("a count or an offset is negative")
        if (recv_into is not None) + (recv_fd >= 0) + (relay_fd >= 0) > 1:
            raise ValueError("only one of recv_into, recv_fd and relay_fd can take the body")
        if send_from is not None and send_fd >= 0:
            raise ValueError("only one of send_from and send_fd can be the body")
        if relay_fd >= 0 and framing != FRAMING_RAW:
            raise ValueError("relay_fd needs FRAMING_RAW")
        for name, seconds in (("timeout", timeout), ("idle_timeout", idle_timeout)):
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must not be negative: {seconds}")
        try:
            buffers = [bytes_of(send)]  # type: ignore[arg-type]
        except TypeError:
            buffers = [bytes_of(part) for part in send]  # type: ignore[union-attr]
        self._unfolded = memoryview(b"")  # of the body sent from memory, what goes into its CRC-32 when all has left
        if send_from is not None:
            buffers.append(bytes_of(send_from))
            if crc:
                self._unfolded = buffers[-1]
        for limit in limits:
            if not isinstance(limit, RateLimit):
                raise TypeError(f"limits holds a {type(limit).__name__}, not a RateLimit")
        self._into = None if recv_into is None else bytes_of(recv_into)
        if self._into is not None:
            if self._into.readonly and self._into.nbytes:
                raise BufferError("recv_into is read-only")
            if recv_count > self._into.nbytes:
                raise ValueError(f"recv_into holds {self._into.nbytes} bytes, recv_count is {recv_count}")
        self.tag = tag
        self._fd = fd
        self._queue = deque(part for part in buffers if part.nbytes)
        self._send_fd = send_fd
        self._send_offset = send_offset
        self._send_left = send_count if send_fd >= 0 else 0
        self._file_open = send_fd >= 0
        self._framing = framing
        self._recv_fd = recv_fd
        self._recv_offset = recv_offset
        self._recv_count = recv_count
        self._recv_limit = recv_limit
        self._relay_fd = relay_fd
        self._relay = bytearray()
        self._crc_sent = crc and send_fd >= 0
        self._crc_received = crc and send_fd < 0 and send_from is None
        self._sendfile = _SENDFILE if zero_copy and not crc and not _hang_up_kills() else None
        self._timeout = timeout
        self._idle = idle_timeout
        self._limits = tuple(limits)
        self._reserved = 0
        self._reserved_at = 0.0
        self._guard = threading.Lock()
        self._busy = ""
        self._process = 0
        self._cancelled = False
        self._ring: Callable[[], None] | None = None
        self._started = 0.0
        self._moved = 0.0
        self._socket: socket.socket | None = None
        self._relay_socket: socket.socket | None = None
        self._sent = 0
        self._received = 0
        self._crc32 = 0
        self._status = -1
        self._length = -1
        self._head = bytearray()
        self._left: int | None = None
        self._drain = False
        self._chunks: list[bytes] = []
        self._unwritten = memoryview(b"")  # of the body, what its file does not take just now
        self._body = b""
        self._early = False
        self._broken: Failed | None = None
        self._done = False
        self._error = 0
        self._side = ""
        self._want = 0
        self._want_fd = fd
        self._want_at = 0.0

    def __del__(self) -> None:
        if not getattr(self, "_done", True):
            self._detach()

    @property
    def fd(self) -> int:
        return self._fd

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def received(self) -> int:
        return self._received

    @property
    def crc32(self) -> int:
        return self._crc32

    @property
    def status(self) -> int:
        return self._status

    @property
    def length(self) -> int:
        return self._length

    @property
    def body(self) -> bytes:
        return self._body

    @property
    def early(self) -> bool:
        return self._early

    @property
    def done(self) -> bool:
        return self._done

    @property
    def error(self) -> int:
        return self._error

    @property
    def error_side(self) -> str:
        return self._side

    def _begin(self, now: float) -> None:
        self._started = self._moved = now
        try:
            self._socket = socket.socket(fileno=self._fd)
            self._socket.setblocking(False)
            if self._relay_fd >= 0:
                self._relay_socket = socket.socket(fileno=self._relay_fd)
                self._relay_socket.setblocking(False)
        except OSError as error:
            raise Failed(error.errno or errno.EBADF, "socket") from None
        if self._send_fd >= 0:
            try:
                info = os.fstat(self._send_fd)
            except OSError as error:
                raise Failed(error.errno or errno.EBADF, "file") from None
            if stat.S_ISREG(info.st_mode):
                rest = max(0, info.st_size - self._send_offset)
                if self._send_left < 0:
                    self._send_left = rest
                elif self._send_left > rest:
                    raise Failed(errno.EIO, "file")
            self._file_open = self._send_left != 0

    def _due(self) -> float:
        """When the transfer times out, on the monotonic clock."""
        due = float("inf") if self._timeout is None else self._started + self._timeout
        return due if self._idle is None else min(due, self._moved + self._idle)

    def _finish(self, error: int, side: str) -> None:
        with self._guard:
            if self._done:
                return
            self._refund(0)
            if error and self._cancelled:  # a socket that was shut down on that account fails in its own ways
                error, side = errno.ECANCELED, ""
            self._error = error
            self._side = side
            if not error:
                self._body = b"".join(self._chunks)
            self._chunks = []
            self._unwritten = memoryview(b"")
            self._queue.clear()
            self._unfolded = memoryview(b"")
            self._into = None
            self._detach()
            self._done = True

    def _detach(self) -> None:
        for held in (self._socket, self._relay_socket):
            if held is not None:
                held.detach()
        self._socket = self._relay_socket = None

    # Rate limits

    def _allowance(self, want: int) -> int:
        """How many of *want* bytes may be moved now; blocks on time while the buckets are empty."""
        if not self._limits:
            return want
        now = time.monotonic()
        if not self._reserved:
            grants = []
            self._reserved_at = now
            for limit in self._limits:
                grant, ready = limit._reserve(want, now)
                grants.append(grant)
                self._reserved_at = max(self._reserved_at, ready)
            self._reserved = min(grants)
            for limit, grant in zip(self._limits, grants, strict=True):
                limit._refund(grant - self._reserved)
        if now < self._reserved_at:
            self._want_at = self._reserved_at
            self._moved = max(self._moved, self._reserved_at)  # that wait is not the peer's
            raise Blocked(WANT_TIME)
        return min(want, self._reserved)

    def _refund(self, spent: int) -> None:
        """Give back what was reserved and not spent, so that a stalled peer holds up no other."""
        if self._reserved:
            rest = self._reserved - spent
            self._reserved = 0
            for limit in self._limits:
                limit._refund(rest)
