"""Twin of ``fastxfer._ext.buffers``: anonymous mappings, handed out as ctypes arrays that know when they die."""

from __future__ import annotations

import ctypes
import mmap
import threading
import time
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple


class PoolStats(NamedTuple):
    size: int
    limit: int
    allocated: int
    in_use: int
    acquired: int
    reused: int


class Buffer:
    """See ``fastxfer._ext.buffers.Buffer``; the arrays that pools hand out are of a subclass for their size."""

    _pool: BufferPool
    _memory: mmap.mmap

    def __getitem__(self, key: slice, /) -> memoryview:
        if not isinstance(key, slice):
            raise TypeError("a buffer is sliced, not indexed")
        return memoryview(self).cast("B")[key]  # type: ignore[arg-type]

    @property
    def address(self) -> int:
        return ctypes.addressof(self)  # type: ignore[arg-type]

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool._give_back(self._memory)


class BufferPool:
    """See ``fastxfer._ext.buffers.BufferPool``."""

    def __init__(self, size: int, limit: int, alignment: int = mmap.PAGESIZE) -> None:
        if size < 1 or limit < 1:
            raise ValueError("size and limit must be at least 1")
        if alignment < 1 or alignment & (alignment - 1):
            raise ValueError(f"alignment {alignment} is not a power of two")
        self.size = size
        self.limit = limit
        self.alignment = alignment
        # Reentrant: the garbage collector may let a buffer die while its own thread is in here.
        self._changed = threading.Condition(threading.RLock())
        self._idle: deque[mmap.mmap] = deque()
        self._allocated = 0
        self._acquired = 0
        self._reused = 0

    def acquire(self, timeout: float | None = None) -> Buffer:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (buffer := self.try_acquire()) is None:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"all {self.limit} buffers are in use")
                self._changed.wait(left)
            return buffer

    def try_acquire(self) -> Buffer | None:
        with self._changed:
            if self._idle:
                memory = self._idle.pop()
                self._reused += 1
            elif self._allocated < self.limit:
                memory = mmap.mmap(-1, self.size + max(0, self.alignment - mmap.PAGESIZE))
                self._allocated += 1
            else:
                return None
            self._acquired += 1
            return self._lease(memory)

    def trim(self) -> int:
        with self._changed:
            count = len(self._idle)
            self._idle.clear()
            self._allocated -= count
            return count

    def stats(self) -> PoolStats:
        with self._changed:
            in_use = self._allocated - len(self._idle)
            return PoolStats(self.size, self.limit, self._allocated, in_use, self._acquired, self._reused)

    def _lease(self, memory: mmap.mmap) -> Buffer:
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        buffer: Any = _array_type(self.size).from_buffer(memory, -start % self.alignment)
        buffer._pool = self
        buffer._memory = memory
        return buffer  # type: ignore[no-any-return]

    def _give_back(self, memory: mmap.mmap) -> None:
        with self._changed:
            self._idle.append(memory)
            self._changed.notify()


@lru_cache
def _array_type(size: int) -> Any:
    return type("Buffer", (Buffer, ctypes.c_ubyte * size), {})
