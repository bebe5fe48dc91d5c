"""The sending half of the pure twin: gathered buffers, then a file by sendfile or by read and send."""

from __future__ import annotations

import errno
import os
import zlib
from typing import Final

from fastxfer._pure.transfer_state import (
    CHUNK,
    FRAMING_FASTDFS,
    NO_SIGNAL,
    WANT_READ,
    WANT_WRITE,
    Blocked,
    Failed,
    TransferState,
    ready,
)

_GATHER: Final = 64
_FILE_ERRORS: Final = (errno.EIO, errno.EISDIR, errno.EOVERFLOW, errno.EBADF)
_REFUSALS: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.ESPIPE)


class Sending(TransferState):
    """A transfer that can send."""

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
            raise Blocked(WANT_WRITE | (WANT_READ if self._framing == FRAMING_FASTDFS else 0)) from None
        except OSError as error:
            failed = Failed(error.errno or errno.EIO, "file" if error.errno in _FILE_ERRORS else "socket")
            if self._framing != FRAMING_FASTDFS or failed.error not in (errno.EPIPE, errno.ECONNRESET):
                raise failed from None
            # The peer may have answered before it closed: look for the reply first. Where nothing has left, callers are
            # told EPIPE, whatever broke it: nothing can have been done.
            self._broken = failed if self._sent else Failed(errno.EPIPE, "socket")
            self._stop_sending()
        finally:
            self._refund(moved)
        self._sent += moved
        return moved

    def _watch(self) -> None:
        """A reply that comes while the request is being sent ends the sending."""
        assert self._socket is not None
        if ready(self._fd, WANT_READ, 0):
            self._early = True
            self._stop_sending()

    def _stop_sending(self) -> None:
        self._queue.clear()
        self._file_open = False
        self._unfolded = memoryview(b"")

    def _fold(self) -> int:
        """Fold a piece of the body that has been sent, while the peer is busy with it."""
        piece = self._unfolded[:CHUNK]
        self._crc32 = zlib.crc32(piece, self._crc32)
        self._unfolded = self._unfolded[CHUNK:]
        return piece.nbytes

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
            moved = self._socket.sendmsg(parts, [], NO_SIGNAL)
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
            moved = self._send_read(min(count, CHUNK))
        if moved == 0:
            if self._send_left > 0:
                raise Failed(errno.EIO, "file")
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
            raise Failed(error.errno or errno.EIO, "file") from None
        if not data:
            return 0
        moved = self._socket.send(data, NO_SIGNAL)
        if self._crc_sent:
            self._crc32 = zlib.crc32(memoryview(data)[:moved], self._crc32)
        return moved


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
