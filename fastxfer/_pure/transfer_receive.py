"""The receiving half of the pure twin: the reply's header, and a body into memory, a buffer, a file or a socket."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from typing import TYPE_CHECKING, Final

from fastxfer._pure.transfer_state import (
    CHUNK,
    FRAMING_FASTDFS,
    FRAMING_NONE,
    FRAMING_RAW,
    NO_SIGNAL,
    WANT_READ,
    WANT_WRITE,
    Blocked,
    Failed,
    TransferState,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HEADER: Final = struct.Struct(">qBB")
_REPLY: Final = 100
_FIRST: Final = 16384


class Receiving(TransferState):
    """A transfer that can receive."""

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
        if self._unwritten:
            return self._write()
        return self._receive_body(budget)

    @property
    def _nothing_to_come(self) -> bool:
        """All has been taken from the socket."""
        return self._framing == FRAMING_NONE or self._left == 0

    def _recv(self, count: int) -> bytes:
        """At most *count* bytes; empty at the end of the stream."""
        assert self._socket is not None
        data = b""
        try:
            data = self._socket.recv(self._allowance(count))
        except BlockingIOError:
            self._want_fd = self._fd
            raise Blocked(WANT_READ) from None
        except OSError as error:
            raise self._broken or Failed(error.errno or errno.EIO, "socket") from None
        finally:
            self._refund(len(data))
        return data

    def _receive_header(self) -> int:
        data = self._recv(_FIRST)
        if not data:
            raise self._broken or Failed(errno.ECONNRESET, "socket")
        if self._broken:
            self._early = True
        self._head += data
        if len(self._head) >= _HEADER.size:
            length, command, status = _HEADER.unpack_from(self._head)
            rest = bytes(self._head[_HEADER.size :])
            self._head.clear()
            if length < 0 or command != _REPLY:
                raise Failed(errno.EPROTO, "socket")
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
                raise Failed(errno.EPROTO, "socket")
            if self._into is not None and length > self._into.nbytes:
                raise Failed(errno.EMSGSIZE, "socket")
        if length > self._recv_limit and (self._drain or (self._into is None and self._recv_fd < 0)):
            raise Failed(errno.EMSGSIZE, "socket")
        self._left = length
        if len(rest) > length:
            self._early = True
        if rest[:length]:
            self._take(rest[:length])

    def _receive_body(self, budget: int) -> int:
        count = min(budget, CHUNK)
        if self._left is not None:
            count = min(count, self._left)
        elif self._into is not None:
            count = max(1, min(count, self._into.nbytes - self._received))
        data = self._recv(count)
        if not data:
            if self._left is not None:
                raise Failed(errno.ECONNRESET, "socket")
            self._finish(0, "")
            return 0
        self._take(data)
        return len(data)

    def _take(self, data: bytes) -> None:
        """Put a piece of the body where it belongs."""
        if not self._drain:
            if self._into is not None:
                if self._received + len(data) > self._into.nbytes:
                    raise Failed(errno.EMSGSIZE, "socket")
                self._into[self._received : self._received + len(data)] = data
            elif self._recv_fd >= 0:
                self._unwritten = memoryview(data)
                self._write()
                return
            else:
                if self._received + len(data) > self._recv_limit:
                    raise Failed(errno.EMSGSIZE, "socket")
                self._chunks.append(data)
        self._account(data)

    def _account(self, data: Buffer) -> None:
        """Count and fold a piece of the body that is where it belongs."""
        size = memoryview(data).nbytes
        if not self._drain:
            self._received += size
            if self._crc_received:
                self._crc32 = zlib.crc32(data, self._crc32)
        if self._left is not None:
            self._left -= size

    def _write(self) -> int:
        """Give the file what it has not taken yet; a pipe that does not block may take it later."""
        written = 0
        while self._unwritten:
            try:
                if self._recv_offset < 0:
                    done = os.write(self._recv_fd, self._unwritten)
                else:
                    done = _pwrite(self._recv_fd, self._unwritten, self._recv_offset)
                    self._recv_offset += done
            except BlockingIOError:
                if written:
                    return written
                self._want_fd = self._recv_fd
                raise Blocked(WANT_WRITE) from None
            except OSError as error:
                raise Failed(error.errno or errno.EIO, "file") from None
            self._account(self._unwritten[:done])
            self._unwritten = self._unwritten[done:]
            written += done
        return written

    def _relay_step(self, budget: int) -> int:
        assert self._relay_socket is not None
        if not self._relay:
            if self._left == 0:
                self._finish(0, "")
                return 0
            count = min(budget, CHUNK if self._left is None else min(CHUNK, self._left))
            data = self._recv(count)
            if not data:
                if self._left is not None:
                    raise Failed(errno.ECONNRESET, "socket")
                self._finish(0, "")
                return 0
            self._relay += data
            if self._left is not None:
                self._left -= len(data)
        try:
            moved = self._relay_socket.send(self._relay, NO_SIGNAL)
        except BlockingIOError:
            self._want_fd = self._relay_fd
            raise Blocked(WANT_WRITE) from None
        except OSError as error:
            raise Failed(error.errno or errno.EIO, "relay") from None
        if self._crc_received:
            self._crc32 = zlib.crc32(self._relay[:moved], self._crc32)
        del self._relay[:moved]
        self._received += moved
        return moved


def _pwrite(fd: int, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.write(fd, data)
