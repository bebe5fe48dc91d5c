"""The near end of a transfer: files, memory, and whatever hands out or takes in pieces."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from fastxfer.ftp.errors import InvalidArgumentError, LocalFileError
from fastxfer.net.kept_memory import keep_memory

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ChunkSink", "ChunkSource", "FileSink", "FileSource", "MemorySink", "MemorySource", "Sink", "Source"]

_CHUNK = 262144


class FileSink:
    """A file that takes the bytes from ``position`` on; what lies before *base* was never ours."""

    restartable = True

    def __init__(self, fd: int, position: int = 0, base: int = 0) -> None:
        self.fd = fd
        self.position = position
        self._base = base

    def reset(self) -> None:
        """Forget what came."""
        os.ftruncate(self.fd, self._base)
        self.position = self._base


class MemorySink:
    """Memory that grows up to *limit* bytes."""

    restartable = True

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._parts: list[bytes] = []
        self.position = 0
        keep_memory()

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.position += len(data)

    def reset(self) -> None:
        self._parts.clear()
        self.position = 0

    @property
    def data(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


class ChunkSink:
    """Something written to piece by piece: a stream, a callback, a coroutine function.

    Once something was written, a transfer can go on where it broke, but not begin again.
    """

    restartable = False

    def __init__(self, target: object, position: int = 0) -> None:
        write = getattr(target, "write", target)
        if not callable(write):
            raise InvalidArgumentError(f"cannot write to a {type(target).__name__}")
        self._write: Callable[[bytes], object] = write
        self.position = position

    async def write(self, data: bytes) -> None:
        outcome = self._write(data)
        if isinstance(outcome, Awaitable):
            await outcome
        self.position += len(data)

    def reset(self) -> None:
        if self.position:
            raise InvalidArgumentError("what was written to a stream can not be taken back")


class FileSource:
    """A file, sent from *base* to its end: *size* bytes."""

    restartable = True

    def __init__(self, fd: int, size: int, base: int = 0) -> None:
        self.fd = fd
        self.size: int | None = size
        self.base = base


class MemorySource:
    """Bytes in memory."""

    restartable = True

    def __init__(self, data: Buffer) -> None:
        view = memoryview(data)
        self.view = view.cast("B") if view.nbytes else memoryview(b"")
        self.size: int | None = len(self.view)


class ChunkSource:
    """Pieces from an iterator or a file-like object, asynchronous or not. They can be had only once."""

    def __init__(self, source: object, size: int | None = None) -> None:
        self.size = size
        self._begun = False
        self._next = _puller(source)

    @property
    def restartable(self) -> bool:
        return not self._begun

    async def read(self) -> Buffer:
        """The next piece; empty at the end."""
        self._begun = True
        return await self._next()


Sink = FileSink | MemorySink | ChunkSink
Source = FileSource | MemorySource | ChunkSource


def _puller(source: object) -> Callable[[], Awaitable[Buffer]]:
    """A coroutine function that yields the next piece of *source*."""
    read = getattr(source, "read", None)
    if callable(read):
        keep_memory()

        async def from_file() -> Buffer:
            data = read(_CHUNK)
            if isinstance(data, Awaitable):
                data = await data
            if isinstance(data, str):
                raise InvalidArgumentError("the source must be opened in binary mode")
            return data or b""

        return from_file
    if isinstance(source, AsyncIterable):
        pieces: AsyncIterator[Buffer] = source.__aiter__()

        async def from_async_iterator() -> Buffer:
            async for piece in pieces:
                if memoryview(piece):
                    return piece
            return b""

        return from_async_iterator
    if isinstance(source, Iterable):
        rest: Iterator[Buffer] = iter(source)

        async def from_iterator() -> Buffer:
            for piece in rest:
                if memoryview(piece):
                    return piece
            return b""

        return from_iterator
    raise InvalidArgumentError(f"cannot read from a {type(source).__name__}")


def is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))


def is_buffer(value: object) -> bool:
    return isinstance(value, (bytes, bytearray, memoryview)) or (
        not hasattr(value, "read") and not isinstance(value, (AsyncIterable, Iterator)) and _exports_buffer(value)
    )


def _exports_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return False
    return True


def seekable_descriptor(file: IO[bytes]) -> int | None:
    """The descriptor of a real file, whose bytes the kernel can move itself; None for anything else."""
    try:
        fd = file.fileno()
        os.lseek(fd, 0, os.SEEK_CUR)
    except (AttributeError, OSError, ValueError):
        return None
    return fd


def local_error(error: OSError, what: str) -> LocalFileError:
    """*error* of the operating system as one of ours; the errno stays."""
    failure = LocalFileError(f"{what}: {error.strerror or error}", path=str(error.filename or ""))
    failure.errno = error.errno
    failure.strerror = error.strerror
    failure.filename = error.filename
    return failure
