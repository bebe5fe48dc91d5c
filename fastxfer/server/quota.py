"""How much a user's tree holds, and how much more it may."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from fastxfer.server import paths
from fastxfer.server.filesystem import FileKind, Filesystem

if TYPE_CHECKING:
    from fastxfer.server.sharedbooks import SharedBooks

__all__ = ["Ledger", "Quota", "SharedLedger"]

RECOUNT_AFTER = 600.0
"""Seconds after which the tree is counted again, since others may have changed it."""


class Ledger:
    """What one tree holds."""

    def __init__(self) -> None:
        self._held = (0, 0, float("-inf"))

    def read(self) -> tuple[int, int, float]:
        """Bytes, entries, and when they were counted (:func:`time.monotonic`)."""
        return self._held

    def write(self, size: int, files: int, counted: float) -> None:
        self._held = (size, files, counted)

    def add(self, size: int, files: int) -> None:
        """Enter a change."""
        held, entries, counted = self._held
        self._held = (max(held + size, 0), max(entries + files, 0), counted)


class SharedLedger(Ledger):
    """A ledger that all workers share, under *key* in *books*; where these are full, the worker's own."""

    def __init__(self, books: SharedBooks, key: str) -> None:
        super().__init__()
        self._books = books
        with books.locked():
            self._at = books.quotas.claim(key)
            if self._at >= 0 and books.quotas.read(self._at)[2] == 0.0:
                books.quotas.write(self._at, 0, 0, float("-inf"))

    def read(self) -> tuple[int, int, float]:
        return self._books.quotas.read(self._at) if self._at >= 0 else super().read()

    def write(self, size: int, files: int, counted: float) -> None:
        if self._at < 0:
            super().write(size, files, counted)
            return
        with self._books.locked():
            self._books.quotas.write(self._at, size, files, counted)

    def add(self, size: int, files: int) -> None:
        if self._at < 0:
            super().add(size, files)
            return
        with self._books.locked():
            held, entries, counted = self._books.quotas.read(self._at)
            self._books.quotas.write(self._at, max(held + size, 0), max(entries + files, 0), counted)


class Quota:
    """The books of one tree: counted once, kept by the changes made through the server, recounted now and then."""

    def __init__(self, filesystem: Filesystem, max_bytes: int, max_files: int, ledger: Ledger | None = None) -> None:
        self._filesystem = filesystem
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._ledger = ledger or Ledger()

    @property
    def bytes(self) -> int:
        """Bytes in the tree."""
        return self._ledger.read()[0]

    @property
    def files(self) -> int:
        """Entries in the tree."""
        return self._ledger.read()[1]

    async def refresh(self) -> None:
        """Count the tree if that has not been done lately."""
        size, count, counted = self._ledger.read()
        now = time.monotonic()
        if now - counted < RECOUNT_AFTER:
            return
        self._ledger.write(size, count, now)
        total = files = 0
        pending = [paths.ROOT]
        while pending:
            directory = pending.pop()
            try:
                entries = await self._filesystem.entries(directory)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            for entry in entries:
                files += 1
                if entry.kind is FileKind.DIRECTORY:
                    pending.append(paths.join(directory, entry.name))
                elif entry.kind is FileKind.FILE:
                    total += entry.size
        self._ledger.write(total, files, now)

    def room(self) -> int:
        """Bytes that may still be added; a large number if there is no limit."""
        return max(self.max_bytes - self.bytes, 0) if self.max_bytes else 1 << 62

    def check(self, path: str) -> None:
        """Raise EDQUOT unless one more file with at least one byte may be added."""
        if self.room() <= 0 or (self.max_files and self.files >= self.max_files):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)

    def add(self, size: int, files: int = 0) -> None:
        """Enter a change; *size* and *files* may be negative."""
        self._ledger.add(size, files)
