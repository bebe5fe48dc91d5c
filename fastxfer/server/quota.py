"""How much a user's tree holds, and how much more it may."""

from __future__ import annotations

import errno
import os
import time

from fastxfer.server import paths
from fastxfer.server.filesystem import FileKind, Filesystem

__all__ = ["Quota"]

RECOUNT_AFTER = 600.0
"""Seconds after which the tree is counted again, since others may have changed it."""


class Quota:
    """The books of one tree: counted once, kept by the changes made through the server, recounted now and then.

    Bytes of an upload are reserved while it runs, so that several at the same time cannot overdraw together.
    """

    def __init__(self, filesystem: Filesystem, max_bytes: int, max_files: int) -> None:
        self._filesystem = filesystem
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.bytes = 0
        self.files = 0
        self._counted = float("-inf")

    async def refresh(self) -> None:
        """Count the tree if that has not been done lately."""
        if time.monotonic() - self._counted < RECOUNT_AFTER:
            return
        self._counted = time.monotonic()
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
        self.bytes, self.files = total, files

    def room(self) -> int:
        """Bytes that may still be added; a large number if there is no limit."""
        return max(self.max_bytes - self.bytes, 0) if self.max_bytes else 1 << 62

    def check(self, path: str) -> None:
        """Raise EDQUOT unless one more file with at least one byte may be added."""
        if self.room() <= 0 or (self.max_files and self.files >= self.max_files):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)

    def add(self, size: int, files: int = 0) -> None:
        """Enter a change; *size* and *files* may be negative."""
        self.bytes = max(self.bytes + size, 0)
        self.files = max(self.files + files, 0)
