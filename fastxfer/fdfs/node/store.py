"""The disk of one storage server: store paths, their two levels of directories, and where the next file goes."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from fastxfer.fdfs.node.files import CREATE, unlink_quietly, write_at
from fastxfer.fdfs.node.names import Location
from fastxfer.fdfs.node.statuses import ENOSPC, Refused

FILES_PER_DIRECTORY = 100
"""Files put into one directory before the next one is taken."""
META_SUFFIX = "-m"
MIB = 1 << 20


class Store:
    """Store paths of one storage server.

    Args:
        directory: where the server keeps everything; store path N is its sub-directory ``pathN``.
        count: how many store paths.
        subdir_count: directories on each level.
        reserved_mb: MiB that must stay free on the disk.
        capacity: bytes its files may occupy; None for no limit.
    """

    def __init__(self, directory: Path, count: int, subdir_count: int, reserved_mb: int, capacity: int | None) -> None:
        self.subdir_count = subdir_count
        self.count = count
        self.lock = threading.RLock()
        """Held while files that may change (appenders, metadata) are looked at and changed."""
        self._reserved = reserved_mb * MIB
        self._capacity = capacity
        self._data = [str(directory / f"path{index}" / "data") for index in range(count)]
        self._temporary = [str(directory / f"path{index}" / "tmp") for index in range(count)]
        self._made: set[str] = set()
        self._position = [0] * count
        self._next_temporary = 0
        self._next_path = 0
        for index in range(count):
            os.makedirs(self._data[index], exist_ok=True)
            os.makedirs(self._temporary[index], exist_ok=True)
            for left_over in os.scandir(self._temporary[index]):
                os.unlink(left_over.path)
        self._used = self._measure() if capacity is not None else 0

    def _measure(self) -> int:
        return sum(
            entry.stat(follow_symlinks=False).st_size
            for data in self._data
            for folder, _, names in os.walk(data)
            for entry in os.scandir(folder)
            if names and entry.is_file(follow_symlinks=False)
        )

    def data_directory(self, index: int) -> str:
        return self._data[index]

    def path(self, location: Location) -> str:
        """The file on disk that *location* names."""
        return f"{self._data[location.store_path_index]}/{location.directory}/{location.name}"

    def meta_path(self, location: Location) -> str:
        return self.path(location) + META_SUFFIX

    def choose_path(self) -> int:
        """The store path for a file whose sender leaves the choice to the server."""
        with self.lock:
            self._next_path = (self._next_path + 1) % self.count
            return self._next_path

    def next_directory(self, index: int) -> tuple[int, int]:
        """The directory for the next new file: the following one after every 100 files, around and around."""
        with self.lock:
            position = self._position[index]
            self._position[index] = (position + 1) % (FILES_PER_DIRECTORY * self.subdir_count**2)
        return divmod(position // FILES_PER_DIRECTORY % self.subdir_count**2, self.subdir_count)

    def make_directory(self, path: str) -> None:
        """Make the two directories above *path*."""
        folder = os.path.dirname(path)
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)

    def temporary(self, index: int) -> tuple[int, str]:
        """A new temporary file on the store path's disk, open for writing: ``(fd, path)``."""
        with self.lock:
            self._next_temporary += 1
            path = f"{self._temporary[index]}/{self._next_temporary}"
        return os.open(path, CREATE, 0o644), path

    def create(self, path: str, data: bytes) -> None:
        """Write a new small file; FileExistsError where there is one. Nothing is left where that fails."""
        self.make_directory(path)
        fd = os.open(path, CREATE, 0o644)
        try:
            try:
                write_at(fd, data, 0)
            finally:
                os.close(fd)
        except BaseException:
            unlink_quietly(path)
            raise

    def adopt(self, temporary: str, path: str) -> None:
        """Give a temporary file its name; FileExistsError where that is taken. The temporary name is gone then."""
        self.make_directory(path)
        with self.lock:
            if os.path.lexists(path):
                unlink_quietly(temporary)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            os.rename(temporary, path)

    # Space

    def space(self, index: int) -> tuple[int, int]:
        """Total and free bytes of the store path's disk (within the capacity, if one is set)."""
        total, free = _disk_space(self._data[index])
        if self._capacity is not None:
            total = min(total, self._capacity)
            free = max(0, min(free, self._capacity - self._used))
        return total, free

    def reserve(self, index: int, size: int) -> Callable[[], None]:
        """Count *size* bytes as used; Refused (ENOSPC) where they do not fit. What is returned gives them back."""
        if self._disk_full(index, size):
            raise Refused(ENOSPC, f"{size} bytes do not fit on store path {index}")
        with self.lock:
            if self._capacity is not None and self._used + size > self._capacity:
                raise Refused(ENOSPC, f"{size} bytes exceed the capacity of {self._capacity} bytes")
            self._used += size
        return lambda: self.give_back(size)

    def give_back(self, size: int) -> None:
        with self.lock:
            self._used -= size

    def _disk_full(self, index: int, size: int) -> bool:
        """Only asked of the system for large files: for small ones the write itself will tell."""
        return size >= MIB and _disk_space(self._data[index])[1] < size + self._reserved

    def full(self) -> bool:
        """Whether no store path has more than the reserved space."""
        reserve = 0 if self._capacity is not None else self._reserved
        return all(self.space(index)[1] <= reserve for index in range(self.count))


def _disk_space(path: str) -> tuple[int, int]:
    if hasattr(os, "statvfs"):
        info = os.statvfs(path)
        return info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize
    usage = shutil.disk_usage(path)
    return usage.total, usage.free
