"""How much a user's tree holds, and how much more it may."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

from fastxfer.server.filesystem import Filesystem

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
        with self._alone():
            self._put(size, files, counted)

    def add(self, size: int, files: int, max_bytes: int = 0, max_files: int = 0) -> bool:
        """Enter a change; False, and nothing is entered, where it is growth beyond a limit (0: none)."""
        with self._alone():
            held, entries, counted = self.read()
            if _beyond(held, size, max_bytes) or _beyond(entries, files, max_files):
                return False
            self._put(max(held + size, 0), max(entries + files, 0), counted)
            return True

    def enter_count(self, size: int, files: int, before: tuple[int, int, float]) -> None:
        """Enter what was just counted; *before* is what :meth:`read` said when the counting began.

        Where somebody else has entered a count meanwhile, that one stands: it knows of the same changes.
        """
        with self._alone():
            held, entries, counted = self.read()
            if counted == before[2]:
                # What was added meanwhile may have been too late to be seen; what was removed has been seen or not.
                self._put(size + max(held - before[0], 0), files + max(entries - before[1], 0), time.monotonic())

    # Where it is written down

    def _put(self, size: int, files: int, counted: float) -> None:
        self._held = (size, files, counted)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return _NOBODY_ELSE


_NOBODY_ELSE: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


def _beyond(held: int, change: int, limit: int) -> bool:
    return 0 < limit < held + change and change > 0


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

    def _put(self, size: int, files: int, counted: float) -> None:
        if self._at < 0:
            super()._put(size, files, counted)
        else:
            self._books.quotas.write(self._at, size, files, counted)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return self._books.locked() if self._at >= 0 else super()._alone()


class Quota:
    """The limits of one tree and its books: counted once, kept by the server's own changes, recounted now and then.

    Args:
        filesystem: the tree.
        max_bytes: limit of bytes, 0 for none.
        max_files: limit of entries, 0 for none.
        ledger: the books of the tree, which quotas with other limits may share.
    """

    def __init__(self, filesystem: Filesystem, max_bytes: int, max_files: int, ledger: Ledger | None = None) -> None:
        self._filesystem = filesystem
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._ledger = ledger or Ledger()
        self._counting: asyncio.Task[None] | None = None

    @property
    def bytes(self) -> int:
        """Bytes in the tree."""
        return self._ledger.read()[0]

    @property
    def files(self) -> int:
        """Entries in the tree."""
        return self._ledger.read()[1]

    @property
    def counted(self) -> float:
        """When the tree was counted last: another value than before means that it was counted meanwhile."""
        return self._ledger.read()[2]

    async def refresh(self) -> None:
        """Count the tree if that has not been done lately. Nobody goes by books that were never filled."""
        if time.monotonic() - self.counted < RECOUNT_AFTER:
            return
        if self._counting is None:
            self._counting = asyncio.ensure_future(self._count())
        await asyncio.shield(self._counting)

    async def _count(self) -> None:
        try:
            before = self._ledger.read()
            self._ledger.enter_count(*await self._filesystem.measure(), before)
        finally:
            self._counting = None

    async def close(self) -> None:
        """Stop counting."""
        counting = self._counting
        if counting is not None:
            counting.cancel()
            await asyncio.wait([counting])

    def room(self) -> int:
        """Bytes that may still be added; a large number if there is no limit."""
        return max(self.max_bytes - self.bytes, 0) if self.max_bytes else 1 << 62

    def take(self, size: int, files: int, path: str) -> None:
        """Enter a change. EDQUOT, about *path*, where it is growth beyond a limit; nothing is entered then."""
        if not self._ledger.add(size, files, self.max_bytes, self.max_files):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)

    def add(self, size: int, files: int = 0) -> None:
        """Enter a change that has happened; *size* and *files* may be negative."""
        self._ledger.add(size, files)
