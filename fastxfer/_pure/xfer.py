"""Pure twin of ``fastxfer._ext.xfer``: the same state machine on :mod:`socket`, :func:`os.sendfile` and :mod:`select`.

It is written for clarity; splice and preallocation are left to the compiled module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from fastxfer._pure.ratelimit import RateLimit

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["FRAMING_FASTDFS", "FRAMING_NONE", "FRAMING_RAW", "RateLimit", "Transfer", "exchange"]

FRAMING_NONE: Final = 0
FRAMING_RAW: Final = 1
FRAMING_FASTDFS: Final = 2

DONE: Final = 0
WANT_READ: Final = 1
WANT_WRITE: Final = 2
WANT_TIME: Final = 4

_HEADER_STRUCT: Final = struct.Struct(">qBB")
_HEADER: Final = _HEADER_STRUCT.size
_REPLY: Final = 100
_CHUNK: Final = 262144
_FIRST: Final = 16384
_BUDGET: Final = 1 << 20
_LIMIT: Final = 1 << 26
_GATHER: Final = 64
_SIGNAL_SLICE: Final = 0.25
_FILE_ERRORS: Final = (errno.EIO, errno.EISDIR, errno.EOVERFLOW, errno.EBADF)
_REFUSALS: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.ESPIPE)
_SENDFILE: Final = (
    None if os.environ.get("FASTXFER_NO_SENDFILE", "") not in ("", "0") else getattr(os, "sendfile", None)
)
_NOSIGNAL: Final = getattr(socket, "MSG_NOSIGNAL", 0)


class _Failed(Exception):
    """Ends the transfer: an errno and the side where it arose."""

    def __init__(self, error: int, side: str) -> None:
        super().__init__(error, side)
        self.error = error
        self.side = side


class _Blocked(Exception):
    """Nothing moves before the descriptor is ready (or, with WANT_TIME, before the hour has come)."""

    def __init__(self, want: int) -> None:
        super().__init__(want)
        self.want = want


def _bytes_of(buffer: Buffer) -> memoryview:
    view = memoryview(buffer)
    if not view.contiguous:
        raise BufferError("a buffer that is moved must be contiguous")
    return view.cast("B") if view.nbytes else memoryview(b"")


class Transfer:
    """First everything that is to be sent, then everything that is to be received, over one socket."""

    def __init__(
        self,
        fd: int,
        *,
        send: Buffer | Sequence[Buffer] = (),
        send_fd: int = -1,
        send_offset: int = 0,
        send_count: int = -1,
        framing: int = FRAMING_NONE,
        recv_into: Buffer | None = None,
        recv_fd: int = -1,
        recv_offset: int = -1,
        recv_count: int = -1,
        recv_limit: int = _LIMIT,
        relay_fd: int = -1,
        crc: bool = False,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        spin: int = 0,
        limits: Sequence[RateLimit] = (),
        zero_copy: bool = True,
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
        if relay_fd >= 0 and framing != FRAMING_RAW:
            raise ValueError("relay_fd needs FRAMING_RAW")
        for name, seconds in (("timeout", timeout), ("idle_timeout", idle_timeout)):
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must not be negative: {seconds}")
        try:
            buffers = [_bytes_of(send)]  # type: ignore[arg-type]
        except TypeError:
            buffers = [_bytes_of(part) for part in send]  # type: ignore[union-attr]
        for limit in limits:
            if not isinstance(limit, RateLimit):
                raise TypeError(f"limits holds a {type(limit).__name__}, not a RateLimit")
        self._into = None if recv_into is None else _bytes_of(recv_into)
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
        self._crc_received = crc and send_fd < 0
        self._sendfile = _SENDFILE if zero_copy and not crc else None
        self._timeout = timeout
        self._idle = idle_timeout
        self._limits = tuple(limits)
        self._reserved = 0
        self._reserved_at = 0.0
        self._guard = threading.Lock()
        self._busy = ""
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
        self._body = b""
        self._early = False
        self._broken: _Failed | None = None
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

    def advance(self, max_bytes: int = _BUDGET) -> bool:
        """Move what can be moved without waiting, at most about *max_bytes*; True when done."""
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be positive: {max_bytes}")
        self._claim("advanced")
        try:
            if not self._done:
                self._move(max_bytes)
        finally:
            self._busy = ""
        return self._done

    def run(self) -> None:
        """Carry the transfer to its end in the calling thread."""
        self._claim("run")
        try:
            while not self._done:
                self._move(_BUDGET)
                if not self._done and self._want:
                    self._wait()
        except BaseException:
            self._finish(errno.ECANCELED, "")
            raise
        finally:
            with self._guard:
                self._busy = ""

    def cancel(self) -> None:
        """End it with ECANCELED as soon as its thread looks, from any thread."""
        with self._guard:
            if self._done:
                return
            self._cancelled = True
            # Shutting the socket down is what wakes a thread that sleeps on it.
            if self._busy == "run":
                for held in (self._socket, self._relay_socket):
                    if held is not None:
                        with contextlib.suppress(OSError):
                            held.shutdown(socket.SHUT_RDWR)
            if self._ring is not None:
                self._ring()

    def _claim(self, busy: str) -> None:
        with self._guard:
            if self._busy:
                raise RuntimeError(f"the transfer is already being {self._busy}")
            self._busy = busy

    def _move(self, budget: int) -> None:
        """Move about *budget* bytes at most; leaves what is waited for in ``_want``, 0 for nothing."""
        now = time.monotonic()
        self._want = 0
        try:
            if self._socket is None:
                self._begin(now)
            if self._cancelled:
                raise _Failed(errno.ECANCELED, "")
            if now >= self._due():
                raise _Failed(errno.ETIMEDOUT, "socket")
            while budget > 0:
                moved = self._send(budget) if self._queue or self._file_open else self._receive(budget)
                budget = 0 if self._done else budget - moved
                if moved:
                    self._moved = time.monotonic()
        except _Blocked as blocked:
            self._want = blocked.want
        except _Failed as failed:
            self._finish(failed.error, failed.side)

    # For the runner of an event loop.

    @property
    def _uses_file(self) -> bool:
        return self._send_fd >= 0 or self._recv_fd >= 0

    def _start(self) -> bool:
        """Do what can be done at once; True if what is left is big or may have to wait for a disk."""
        if self._uses_file:
            return True
        self.advance(_CHUNK)
        return not self._done and not self._want

    # How an engine in Python drives a transfer; the compiled one has the same methods.

    def _drive(self, ring: Callable[[], None]) -> None:
        self._claim("driven by an engine")
        self._ring = ring

    def _let_go(self) -> None:
        self._ring = None
        self._busy = ""

    def _abandon(self, error: int) -> None:
        self._finish(error, "")

    def _step(self, budget: int) -> tuple[int, int, float]:
        if not self._done:
            self._move(budget)
        due = self._due()
        return self._want, self._want_fd, min(due, self._want_at) if self._want == WANT_TIME else due

    def _begin(self, now: float) -> None:
        self._started = self._moved = now
        try:
            self._socket = socket.socket(fileno=self._fd)
            self._socket.setblocking(False)
            if self._relay_fd >= 0:
                self._relay_socket = socket.socket(fileno=self._relay_fd)
                self._relay_socket.setblocking(False)
        except OSError as error:
            raise _Failed(error.errno or errno.EBADF, "socket") from None
        if self._send_fd >= 0:
            try:
                info = os.fstat(self._send_fd)
            except OSError as error:
                raise _Failed(error.errno or errno.EBADF, "file") from None
            if stat.S_ISREG(info.st_mode):
                rest = max(0, info.st_size - self._send_offset)
                if self._send_left < 0:
                    self._send_left = rest
                elif self._send_left > rest:
                    raise _Failed(errno.EIO, "file")
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
            self._queue.clear()
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
            raise _Blocked(WANT_TIME)
        return min(want, self._reserved)

    def _refund(self, spent: int) -> None:
        """Give back what was reserved and not spent, so that a stalled peer holds up no other."""
        if self._reserved:
            rest = self._reserved - spent
            self._reserved = 0
            for limit in self._limits:
                limit._refund(rest)

    # Sending

    def _send(self, budget: int) -> int:
        if self._framing == FRAMING_FASTDFS and self._sent:
            self._watch()
            if self._early or self._broken:
                return 0
        allowed = self._allowance(budget)
        moved = 0
        try:
            moved = self._send_buffers(allowed) if self._queue else self._send_file(allowed)
        except BlockingIOError:
            self._want_fd = self._fd
            raise _Blocked(WANT_WRITE | (WANT_READ if self._framing == FRAMING_FASTDFS else 0)) from None
        except OSError as error:
            failed = _Failed(error.errno or errno.EIO, "file" if error.errno in _FILE_ERRORS else "socket")
            if self._framing != FRAMING_FASTDFS or failed.error not in (errno.EPIPE, errno.ECONNRESET):
                raise failed from None
            # The peer may have answered before it closed: look for the reply first.
            self._broken = failed
            self._stop_sending()
        finally:
            self._refund(moved)
        self._sent += moved
        return moved

    def _watch(self) -> None:
        """A reply that comes while the request is being sent ends the sending."""
        assert self._socket is not None
        if _ready(self._fd, WANT_READ, 0):
            self._early = True
            self._stop_sending()

    def _stop_sending(self) -> None:
        self._queue.clear()
        self._file_open = False

    def _send_buffers(self, allowed: int) -> int:
        assert self._socket is not None
        parts: list[memoryview] = []
        total = 0
        for part in self._queue:
            if len(parts) == _GATHER or total >= allowed:
                break
            parts.append(part[: allowed - total])
            total += parts[-1].nbytes
        if hasattr(self._socket, "sendmsg"):
            moved = self._socket.sendmsg(parts, [], _NOSIGNAL)
        else:
            moved = self._socket.send(parts[0])
        rest = moved
        while rest:
            size = self._queue[0].nbytes
            if rest < size:
                self._queue[0] = self._queue[0][rest:]
                break
            rest -= size
            self._queue.popleft()
        return moved

    def _send_file(self, allowed: int) -> int:
        assert self._socket is not None
        count = min(allowed, self._send_left) if self._send_left >= 0 else allowed
        moved = -1
        if self._sendfile is not None:
            try:
                moved = self._sendfile(self._fd, self._send_fd, self._send_offset, count)
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                self._sendfile = None
        if moved < 0:
            moved = self._send_read(min(count, _CHUNK))
        if moved == 0:
            if self._send_left > 0:
                raise _Failed(errno.EIO, "file")
            self._file_open = False
        self._send_offset += moved
        if self._send_left > 0:
            self._send_left -= moved
            self._file_open = self._send_left > 0
        return moved

    def _send_read(self, count: int) -> int:
        assert self._socket is not None
        try:
            data = _pread(self._send_fd, count, self._send_offset)
        except OSError as error:
            raise _Failed(error.errno or errno.EIO, "file") from None
        if not data:
            return 0
        moved = self._socket.send(data, _NOSIGNAL)
        if self._crc_sent:
            self._crc32 = zlib.crc32(memoryview(data)[:moved], self._crc32)
        return moved

    # Receiving

    def _receive(self, budget: int) -> int:
        if self._framing == FRAMING_NONE:
            self._finish(0, "")
            return 0
        if self._framing == FRAMING_FASTDFS and self._status < 0:
            return self._receive_header()
        if self._left is None and self._framing == FRAMING_RAW and not self._chunks and not self._received:
            self._left = self._recv_count if self._recv_count >= 0 else None
        if self._relay_fd >= 0:
            return self._relay_step(budget)
        if self._left == 0:
            self._finish(0, "")
            return 0
        return self._receive_body(budget)

    def _recv(self, count: int) -> bytes:
        """At most *count* bytes; empty at the end of the stream."""
        assert self._socket is not None
        data = b""
        try:
            data = self._socket.recv(self._allowance(count))
        except BlockingIOError:
            self._want_fd = self._fd
            raise _Blocked(WANT_READ) from None
        except OSError as error:
            raise self._broken or _Failed(error.errno or errno.EIO, "socket") from None
        finally:
            self._refund(len(data))
        return data

    def _receive_header(self) -> int:
        data = self._recv(_FIRST)
        if not data:
            raise self._broken or _Failed(errno.ECONNRESET, "socket")
        if self._broken:
            self._early = True
        self._head += data
        if len(self._head) >= _HEADER:
            length, command, status = _HEADER_STRUCT.unpack_from(self._head)
            rest = bytes(self._head[_HEADER:])
            self._head.clear()
            if length < 0 or command != _REPLY:
                raise _Failed(errno.EPROTO, "socket")
            self._accept_header(length, status, rest)
        return len(data)

    def _accept_header(self, length: int, status: int, rest: bytes) -> None:
        """Judge the header of a reply, and take the beginning of the body that came with it."""
        self._status = status
        self._length = length
        self._drain = status != 0
        if status == 0:
            # An early success is no success, and what follows the body belongs to nobody.
            if self._early or len(rest) > length or self._recv_count not in (-1, length):
                raise _Failed(errno.EPROTO, "socket")
            if self._into is not None and length > self._into.nbytes:
                raise _Failed(errno.EMSGSIZE, "socket")
        if length > self._recv_limit and (self._drain or (self._into is None and self._recv_fd < 0)):
            raise _Failed(errno.EMSGSIZE, "socket")
        self._left = length
        if len(rest) > length:
            self._early = True
        if rest[:length]:
            self._take(rest[:length])

    def _receive_body(self, budget: int) -> int:
        count = min(budget, _CHUNK)
        if self._left is not None:
            count = min(count, self._left)
        elif self._into is not None:
            count = max(1, min(count, self._into.nbytes - self._received))
        data = self._recv(count)
        if not data:
            if self._left is not None:
                raise _Failed(errno.ECONNRESET, "socket")
            self._finish(0, "")
            return 0
        self._take(data)
        return len(data)

    def _take(self, data: bytes) -> None:
        """Put a piece of the body where it belongs."""
        if not self._drain:
            if self._into is not None:
                if self._received + len(data) > self._into.nbytes:
                    raise _Failed(errno.EMSGSIZE, "socket")
                self._into[self._received : self._received + len(data)] = data
            elif self._recv_fd >= 0:
                self._write(data)
            else:
                if self._received + len(data) > self._recv_limit:
                    raise _Failed(errno.EMSGSIZE, "socket")
                self._chunks.append(data)
            self._received += len(data)
            if self._crc_received:
                self._crc32 = zlib.crc32(data, self._crc32)
        if self._left is not None:
            self._left -= len(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view.nbytes:
            try:
                if self._recv_offset < 0:
                    done = os.write(self._recv_fd, view)
                else:
                    done = _pwrite(self._recv_fd, view, self._recv_offset)
                    self._recv_offset += done
            except BlockingIOError:
                _ready(self._recv_fd, WANT_WRITE, _SIGNAL_SLICE)
                continue
            except OSError as error:
                raise _Failed(error.errno or errno.EIO, "file") from None
            view = view[done:]

    def _relay_step(self, budget: int) -> int:
        assert self._relay_socket is not None
        if not self._relay:
            if self._left == 0:
                self._finish(0, "")
                return 0
            count = min(budget, _CHUNK if self._left is None else min(_CHUNK, self._left))
            data = self._recv(count)
            if not data:
                if self._left is not None:
                    raise _Failed(errno.ECONNRESET, "socket")
                self._finish(0, "")
                return 0
            self._relay += data
            if self._left is not None:
                self._left -= len(data)
        try:
            moved = self._relay_socket.send(self._relay, _NOSIGNAL)
        except BlockingIOError:
            self._want_fd = self._relay_fd
            raise _Blocked(WANT_WRITE) from None
        except OSError as error:
            raise _Failed(error.errno or errno.EIO, "relay") from None
        if self._crc_received:
            self._crc32 = zlib.crc32(self._relay[:moved], self._crc32)
        del self._relay[:moved]
        self._received += moved
        return moved

    # Waiting

    def _wait(self) -> None:
        """Sleep until what is wanted comes, the transfer is due, or it is time to look for signals."""
        now = time.monotonic()
        until = min(self._due(), now + _SIGNAL_SLICE)
        if self._want == WANT_TIME:
            until = min(until, self._want_at)
        _ready(self._want_fd, self._want & (WANT_READ | WANT_WRITE), max(0.0, until - now))


def _pread(fd: int, count: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        try:
            return os.pread(fd, count, offset)
        except OSError as error:
            if error.errno != errno.ESPIPE:
                raise
            return os.read(fd, count)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, count)


def _pwrite(fd: int, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.write(fd, data)


def _ready(fd: int, want: int, timeout: float) -> bool:
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


def exchange(
    fd: int,
    request: Buffer | Sequence[Buffer],
    timeout: float | None,
    spin: int = 0,
    recv_limit: int = _LIMIT,
    /,
) -> tuple[int, int, bytes]:
    """One small FastDFS request and its reply in one call: ``(errno, status, body)``."""
    transfer = Transfer(fd, send=request, framing=FRAMING_FASTDFS, timeout=timeout, spin=spin, recv_limit=recv_limit)
    transfer.run()
    return transfer.error, transfer.status, transfer.body
