"""What each of several workers has last told of itself, in memory that all see. Whoever is asked can tell of all."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Callable

__all__ = ["Reports"]

ROOM = 1 << 16
"""Bytes for the report of one worker. Pages that are never touched take no memory."""
_LENGTH = struct.Struct("I")


class Reports:
    """A report of each worker, made by the parent before it forks.

    Args:
        workers: how many there are.
        locked: keeps others from reading and writing meanwhile.
    """

    def __init__(self, workers: int, locked: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self.workers = workers
        self._locked = locked
        self._memory = mmap.mmap(-1, workers * ROOM)

    def write(self, worker: int, report: bytes) -> None:
        """Put *report* in the place of the last one of *worker*. ValueError where it is too long."""
        if len(report) > ROOM - _LENGTH.size:
            raise ValueError(f"a report of {len(report)} bytes is too long")
        start = worker * ROOM
        with self._locked():
            _LENGTH.pack_into(self._memory, start, len(report))
            self._memory[start + _LENGTH.size : start + _LENGTH.size + len(report)] = report

    def read(self, worker: int) -> bytes:
        """The last report of *worker*, living or dead; empty where there was none."""
        start = worker * ROOM
        with self._locked():
            (length,) = _LENGTH.unpack_from(self._memory, start)
            return self._memory[start + _LENGTH.size : start + _LENGTH.size + length]

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
