"""Pools of aligned, reusable buffers that come back by themselves."""

from typing import NamedTuple, final

class PoolStats(NamedTuple):
    """Figures of a :class:`BufferPool` at one moment."""

    size: int
    """Bytes of each buffer."""
    limit: int
    """Most buffers that may exist at a time."""
    allocated: int
    """Buffers that exist: in use, or waiting for reuse."""
    in_use: int
    """Buffers handed out and not yet back."""
    acquired: int
    """Buffers handed out since the pool was made."""
    reused: int
    """Those of them that needed no new memory."""

@final
class Buffer:
    """Writable memory from a pool. Its content is whatever was there before.

    It exports the buffer protocol; a slice with step 1 is a memoryview of the same memory. The memory returns to the
    pool when the buffer and the last memoryview, slice or other export of it are gone.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> memoryview: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def address(self) -> int:
        """Where the memory begins: a multiple of the pool's alignment."""

@final
class BufferPool:
    """At most *limit* buffers of *size* bytes, each beginning at a multiple of *alignment*. Thread-safe.

    Memory is taken from the system when first needed and kept for reuse until :meth:`trim` or the end of the pool.
    Buffers may outlive their pool.

    Raises ValueError for a size or limit below 1 or an alignment that is not a power of two, MemoryError from
    :meth:`acquire` when the system has no memory.
    """

    def __init__(self, size: int, limit: int, alignment: int = 4096) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def alignment(self) -> int: ...
    def acquire(self, timeout: float | None = None) -> Buffer:
        """A buffer, as soon as there is one; TimeoutError after *timeout* seconds (None: wait for ever)."""
    def try_acquire(self) -> Buffer | None:
        """A buffer, or None when all are in use; never waits."""
    def trim(self) -> int:
        """Give the memory of idle buffers back to the system; returns how many there were."""
    def stats(self) -> PoolStats: ...
