"""Books that several worker processes keep together: sessions, failed logins, bans, quotas.

The parent makes them before it forks: a piece of memory that all see, and a lock that the system takes away from a
process that dies. The memory holds tables of slots of one size; a key is a keyed hash, by which it belongs to one
bucket of few slots, so that looking one up is one short search. What does not fit pushes out what matters least.

Counts of sessions stand by worker: those of a worker that died are struck out by the parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from hashlib import blake2b

__all__ = ["FailureTable", "QuotaTable", "SessionTable", "SharedBooks", "WorkerBooks"]

KEY = 16
WAYS = 8
SESSION_BUCKETS = 4096
FAILURE_BUCKETS = 2048
"""With eight ways as many as the books of one process remember."""
QUOTA_BUCKETS = 1024
ALL = "*"
"""What sessions of all kinds are counted under."""


class _Table:
    """Slots of one size at *start* of the memory of *books*."""

    def __init__(self, books: SharedBooks, start: int, buckets: int, record: struct.Struct) -> None:
        self._memory = books.memory
        self._secret = books.secret
        self._start = start
        self._buckets = buckets
        self._record = record
        self._slot = KEY + record.size
        self.end = start + buckets * WAYS * self._slot

    def _bucket(self, key: str) -> tuple[bytes, int]:
        digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=KEY, key=self._secret).digest()
        return digest, self._start + int.from_bytes(digest[:4], "little") % self._buckets * WAYS * self._slot

    def find(self, key: str) -> int:
        """Where the record of *key* is; -1 if there is none."""
        digest, bucket = self._bucket(key)
        at = bucket
        end = bucket + WAYS * self._slot
        while (at := self._memory.find(digest, at, end)) >= 0:
            if (at - bucket) % self._slot == 0:
                return at + KEY
            at += 1
        return -1

    def claim(self, key: str) -> int:
        """Where the record of *key* is or, zeroed, will be; -1 if there is no room for it."""
        at = self.find(key)
        if at >= 0:
            return at
        digest, bucket = self._bucket(key)
        slots = [bucket + way * self._slot + KEY for way in range(WAYS)]
        at = min(slots, key=self._worth)
        if self._worth(at) == float("inf"):
            return -1
        self._memory[at - KEY : at] = digest
        self._memory[at : at + self._record.size] = bytes(self._record.size)
        return at

    def _worth(self, at: int) -> float:
        """How much is lost with the record at *at*; infinity if it must stay."""
        raise NotImplementedError


class SessionTable(_Table):
    """Sessions by key and worker."""

    def _worth(self, at: int) -> float:
        return float("inf") if any(self._record.unpack_from(self._memory, at)) else 0.0

    def add(self, key: str, worker: int, limit: int) -> bool:
        """Count one more unless that would be more than *limit* (0: no limit) of all workers together."""
        at = self.claim(key)
        if at < 0:
            # The bucket is full of others who are here: with a limit, rather refuse than let in without counting.
            return not limit
        counts = list(self._record.unpack_from(self._memory, at))
        if limit and sum(counts) >= limit:
            return False
        counts[worker] += 1
        self._record.pack_into(self._memory, at, *counts)
        return True

    def remove(self, key: str, worker: int) -> None:
        """Count one less."""
        at = self.find(key)
        if at >= 0:
            counts = list(self._record.unpack_from(self._memory, at))
            counts[worker] = max(counts[worker] - 1, 0)
            self._record.pack_into(self._memory, at, *counts)

    def total(self, key: str) -> int:
        """Of all workers together."""
        return sum(self.by_worker(key))

    def by_worker(self, key: str) -> tuple[int, ...]:
        """Of each worker."""
        at = self.find(key)
        return self._record.unpack_from(self._memory, at) if at >= 0 else (0,) * self._cells

    def strike_out(self, worker: int) -> None:
        """Forget all that *worker* has counted."""
        cell = self._record.size // self._cells
        for at in range(self._start + KEY, self.end, self._slot):
            self._memory[at + worker * cell : at + (worker + 1) * cell] = bytes(cell)

    @property
    def _cells(self) -> int:
        return len(self._record.unpack(bytes(self._record.size)))


class FailureTable(_Table):
    """Failed logins by address: how many, when the last was, until when the address is banned."""

    def _worth(self, at: int) -> float:
        failures, last, banned_until = self._record.unpack_from(self._memory, at)
        return max(last, banned_until) if failures else 0.0

    def get(self, key: str) -> tuple[int, float, float] | None:
        at = self.find(key)
        if at < 0:
            return None
        failures, last, banned_until = self._record.unpack_from(self._memory, at)
        return (failures, last, banned_until) if failures else None

    def put(self, key: str, failures: int, last: float, banned_until: float) -> None:
        """Enter what is known of *key*; no failures: forget it."""
        self._record.pack_into(self._memory, self.claim(key), failures, last, banned_until)


class QuotaTable(_Table):
    """What trees hold: bytes, entries, and when they were counted."""

    def _worth(self, at: int) -> float:
        return float("inf") if self._record.unpack_from(self._memory, at)[2] else 0.0

    def read(self, at: int) -> tuple[int, int, float]:
        size, files, counted = self._record.unpack_from(self._memory, at)
        return size, files, counted

    def write(self, at: int, size: int, files: int, counted: float) -> None:
        self._record.pack_into(self._memory, at, size, files, counted)


class SharedBooks:
    """The memory and its lock.

    Args:
        workers: how many processes keep the books.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.secret = secrets.token_bytes(KEY)
        sessions = struct.Struct(f"{workers}I")
        failures = struct.Struct("Qdd")
        quotas = struct.Struct("qqd")
        slots = ((sessions, SESSION_BUCKETS), (failures, FAILURE_BUCKETS), (quotas, QUOTA_BUCKETS))
        size = sum((KEY + record.size) * WAYS * buckets for record, buckets in slots)
        self._expected = size, struct.Struct(f"{workers}i")
        size += self._expected[1].size
        with tempfile.TemporaryFile() as file:
            self._lock = os.dup(file.fileno())
        # Pages that are never touched take no memory.
        self.memory = mmap.mmap(-1, size)
        self.sessions = SessionTable(self, 0, SESSION_BUCKETS, sessions)
        self.failures = FailureTable(self, self.sessions.end, FAILURE_BUCKETS, failures)
        self.quotas = QuotaTable(self, self.failures.end, QUOTA_BUCKETS, quotas)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile. Not to be nested; hold it for a moment only."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def strike_out(self, worker: int) -> None:
        """*worker* has died: its sessions are gone."""
        with self.locked():
            self.sessions.strike_out(worker)

    def loads(self) -> list[int]:
        """Of each worker, how many sessions it has or can expect. No lock is taken: it may be a moment old."""
        start, record = self._expected
        expected = record.unpack_from(self.memory, start)
        return [have + max(come, 0) for have, come in zip(self.sessions.by_worker(ALL), expected, strict=True)]

    def expect(self, worker: int, change: int) -> None:
        """So many more connections are on their way to *worker*."""
        start, record = self._expected
        with self.locked():
            counts = list(record.unpack_from(self.memory, start))
            counts[worker] = max(counts[worker] + change, 0)
            record.pack_into(self.memory, start, *counts)

    def close(self) -> None:
        """Give back memory and lock."""
        self.memory.close()
        os.close(self._lock)


class WorkerBooks:
    """The books as the worker *number* sees them."""

    def __init__(self, books: SharedBooks, number: int) -> None:
        self.books = books
        self.number = number
