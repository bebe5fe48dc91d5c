"""What an upload sends: memory, or a piece of an open file."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import IO, TYPE_CHECKING

from fastxfer.fdfs.errors import InvalidArgumentError
from fastxfer.net.kept_memory import keep_memory

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["INLINE", "Body", "Spool", "file_body", "memory_body"]

_SPOOL_IN_MEMORY = 8 << 20
_SPOOL_LARGEST = _SPOOL_IN_MEMORY * 5 // 4
"""What the memory of a spool may take, with the last chunk and what a bytearray takes ahead."""

INLINE = 64 * 1024
"""Bodies up to this are copied behind their head and sent by one call: cheaper than a transfer of their own."""


class Body:
    """The bytes of one upload.

    Attributes:
        size: how many.
        small: all of them, where there are few.
        data: all of them, where they are in memory.
        fd, offset: where they are otherwise.
    """

    __slots__ = ("data", "fd", "offset", "size", "small")

    def __init__(self, size: int, data: Buffer | None = None) -> None:
        self.size = size
        self.data = data
        self.small = data if size <= INLINE else None
        self.fd = -1
        self.offset = 0


class Spool:
    """Takes bytes of unknown number: in memory up to 8 MiB, beyond that in a temporary file."""

    def __init__(self) -> None:
        # Most streams are over after one chunk: that is not copied.
        self._only = b""
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        keep_memory(_SPOOL_LARGEST)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, chunk: Buffer) -> None:
        if self._file is not None:
            self._file.write(chunk)
            return
        if chunk.__class__ is bytes and not self._only and not self._memory:
            self._only = chunk
            return
        if self._only:
            self._memory += self._only
            self._only = b""
        self._memory += chunk
        if len(self._memory) > _SPOOL_IN_MEMORY:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
            self._file.write(self._memory)
            self._memory = bytearray()

    def body(self) -> Body:
        """All that was written. Nothing may be written afterwards."""
        if self._file is None:
            return memory_body(self._only or self._memory)
        self._file.flush()
        return file_body(self._file.fileno(), self._file.tell())


def memory_body(data: Buffer) -> Body:
    """The bytes of *data*, which is not copied; :class:`InvalidArgumentError` where it has no contiguous buffer."""
    if data.__class__ is bytes:
        return Body(len(data), data)
    try:
        view = memoryview(data)
    except TypeError:
        raise InvalidArgumentError(f"bytes or another buffer is needed, not {type(data).__name__}") from None
    if not view.c_contiguous:
        raise InvalidArgumentError("the buffer is not contiguous")
    flat = view.cast("B") if view.nbytes else memoryview(b"")
    return Body(flat.nbytes, flat)


def file_body(fd: int, size: int, offset: int = 0) -> Body:
    """*size* bytes of the open file *fd*, from *offset*; read at once where there are few."""
    if size <= INLINE and hasattr(os, "pread"):
        data = os.pread(fd, size, offset)
        if len(data) == size:
            return memory_body(data)
    body = Body(size)
    body.fd, body.offset = fd, offset
    return body
