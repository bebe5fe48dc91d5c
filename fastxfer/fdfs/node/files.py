"""Reading and writing at an offset, copying, and flags that make files binary everywhere."""

from __future__ import annotations

import contextlib
import os
import shutil

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
UPDATE = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_CHUNK = 1 << 20


def read_at(fd: int, count: int, offset: int) -> bytes:
    """*count* bytes from *offset*; fewer where the file ends before."""
    if hasattr(os, "pread"):
        data = os.pread(fd, count, offset)
        if len(data) == count:
            return data
    else:
        data = b""
    parts = [data]
    have = len(data)
    while have < count:
        os.lseek(fd, offset + have, os.SEEK_SET)
        part = os.read(fd, min(count - have, _CHUNK))
        if not part:
            break
        parts.append(part)
        have += len(part)
    return b"".join(parts)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of *data* at *offset*."""
    rest = memoryview(data)
    while rest:
        if hasattr(os, "pwrite"):
            done = os.pwrite(fd, rest, offset)
        else:
            os.lseek(fd, offset, os.SEEK_SET)
            done = os.write(fd, rest)
        rest = rest[done:]
        offset += done


def copy_range(source: int, source_offset: int, target: int, target_offset: int, count: int) -> None:
    """Copy *count* bytes between two files; stops early where the source ends."""
    while count > 0:
        data = read_at(source, min(count, _CHUNK), source_offset)
        if not data:
            return
        write_at(target, data, target_offset)
        source_offset += len(data)
        target_offset += len(data)
        count -= len(data)


def write_whole(path: str, data: bytes) -> None:
    """Put *data* into *path* in one step: the old content stays whole until the new one is."""
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o644)
    try:
        try:
            write_at(fd, data, 0)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        unlink_quietly(temporary)
        raise


def copy_whole(source: str, target: str) -> None:
    """Make *target* the same as *source* (content and times, or symbolic link) in one step."""
    temporary = target + ".new"
    try:
        unlink_quietly(temporary)
        if os.path.islink(source):
            os.symlink(os.readlink(source), temporary)
        else:
            shutil.copyfile(source, temporary)
            shutil.copystat(source, temporary)
        os.replace(temporary, target)
    except BaseException:
        unlink_quietly(temporary)
        raise


def unlink_quietly(path: str) -> None:
    """Remove a file that may not be there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
