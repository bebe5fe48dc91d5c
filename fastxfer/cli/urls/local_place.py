"""The local file system as a place."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fastxfer.cli.urls.place import Listed, Moved, Moving
from fastxfer.cli.urls.standard_input import PipedInput
from fastxfer.fdfs.local_file import ArrivingFile

CHUNK = 1 << 20


class LocalPlace:
    """Files of this machine. Errors are the built-in OSErrors."""

    def stat(self, path: str) -> Listed:
        return listed(path, os.path.basename(path.rstrip("/" + os.sep)) or path)

    def entries(self, path: str) -> Iterator[Listed]:
        with os.scandir(path or ".") as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                with contextlib.suppress(FileNotFoundError):
                    yield listed(entry.path, entry.name)

    def join(self, path: str, name: str) -> str:
        return os.path.join(path, name)

    def read(self, path: str) -> Iterator[bytes]:
        with open(path, "rb") as file:
            while data := file.read(CHUNK):
                yield data

    def write(self, stream: BinaryIO | PipedInput, path: str, how: Moving) -> Moved:
        size = 0
        _check_free(path, how)
        with ArrivingFile(path) as file:
            while data := stream.read(CHUNK):
                write_all(file.fd, data)
                size += len(data)
            file.keep()
        return Moved(path, size)

    def download(self, path: str, target: Path, how: Moving) -> Moved:
        return copy_file(Path(path), target, how)

    def upload(self, source: Path, path: str, how: Moving) -> Moved:
        return copy_file(source, Path(path), how)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def remove_tree(self, path: str) -> int:
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return 1
        count = 1 + sum(len(folders) + len(names) for _, folders, names in os.walk(path))
        shutil.rmtree(path)
        return count

    def make_directory(self, path: str, *, parents: bool) -> None:
        if parents:
            os.makedirs(path, exist_ok=True)
        else:
            os.mkdir(path)

    def rename(self, source: str, target: str) -> None:
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(source.rstrip("/" + os.sep)))
        shutil.move(source, target)

    def close(self) -> None:
        """Nothing is held."""


def listed(path: str, name: str) -> Listed:
    info = os.lstat(path)
    kinds = ((stat.S_ISDIR, "dir"), (stat.S_ISREG, "file"), (stat.S_ISLNK, "link"))
    kind = next((kind for test, kind in kinds if test(info.st_mode)), "other")
    extra = {"target": os.readlink(path)} if kind == "link" else None
    return Listed(name, kind, info.st_size, info.st_mtime, stat.S_IMODE(info.st_mode), extra)


def is_stream(path: str) -> bool:
    """Whether *path* is no file but takes bytes as they come: a pipe, a device, or what a process has open."""
    if path.startswith(("/dev/fd/", "/proc/")) or path == "/dev/stderr":
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_all(fd: int, data: bytes) -> None:
    """Write *data* to a descriptor, in as many pieces as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _check_free(target: str | Path, how: Moving) -> None:
    if not how.overwrite and os.path.exists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def copy_file(source: Path, target: Path, how: Moving) -> Moved:
    """Copy one file; it appears under its name when it is whole."""
    _check_free(target, how)
    if target.exists() and source.samefile(target):
        raise shutil.SameFileError(f"{source} and {target} are the same file")
    with open(source, "rb") as reading, ArrivingFile(target) as arriving:
        size = 0
        while data := reading.read(CHUNK):
            write_all(arriving.fd, data)
            size += len(data)
            if how.progress is not None:
                how.progress.advance(len(data))
            if how.cancel is not None and how.cancel.cancelled:
                raise InterruptedError(errno.EINTR, "cancelled", str(target))
        arriving.keep()
        if how.preserve:
            info = os.fstat(reading.fileno())
            os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
    return Moved(str(target), size)
