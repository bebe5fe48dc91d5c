"""What is uploaded: a local file, memory, or something that hands out pieces."""

from __future__ import annotations

import os
import stat
from typing import Any

from fastxfer.ftp.endpoints import (
    ChunkSource,
    FileSource,
    MemorySource,
    Source,
    is_buffer,
    local_error,
    seekable_descriptor,
)
from fastxfer.ftp.errors import LocalFileError

__all__ = ["content_of", "open_source", "source_for"]

_PIECE = 65536


def content_of(source: FileSource | MemorySource, path: str) -> bytes:
    """All of a small source. Raises LocalFileError, about *path*."""
    if isinstance(source, MemorySource):
        return bytes(source.view)
    content = _read_at(source.fd, source.size, source.base) if source.size else b""
    if len(content) != source.size:
        raise LocalFileError("the file became shorter while it was being sent", path=path)
    return content


def _read_at(fd: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def open_source(path: object) -> tuple[int, Source]:
    """A local file, open, and what it is: one with a size, or a pipe or device that is read to its end."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags)  # type: ignore[arg-type]
    except OSError as error:
        raise local_error(error, "cannot read the local file") from error
    facts = os.fstat(fd)
    if stat.S_ISDIR(facts.st_mode):
        os.close(fd)
        raise local_error(IsADirectoryError(21, "Is a directory", str(path)), "cannot read the local file")
    if stat.S_ISREG(facts.st_mode):
        return fd, FileSource(fd, facts.st_size)
    return fd, ChunkSource(iter(lambda: os.read(fd, _PIECE), b""))


def source_for(source: Any, size: int | None) -> Source:
    if is_buffer(source):
        return MemorySource(source)
    fd = seekable_descriptor(source) if hasattr(source, "fileno") else None
    if fd is not None and "b" in getattr(source, "mode", "b"):
        # Counted from where the reader of the object stands, which may be behind the descriptor's position.
        base = source.tell()
        return FileSource(fd, max(0, os.fstat(fd).st_size - base), base)
    return ChunkSource(source, size)
