"""Books that several worker processes keep together: sessions, failed logins, bans, quotas.

The parent makes them before it forks: a piece of memory that all see, and a lock that the system takes away from a
process that dies. The memory holds tables of slots of one size; a key is a keyed hash, by which it belongs to one
bucket of few slots, so that looking one up is one short search. What does not fit pushes out what matters least.

Counts of sessions stand by worker, each in memory that no other worker writes to, so that counting takes no lock but
where a limit must be kept; those of a worker that died are struck out by the parent. What others read without the lock
is written as one word: ``pack_into`` fills its place with zeros before it writes, and somebody might read these.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from fastxfer.server.reports import Reports

__all__ = ["ConnectionCounts", "FailureTable", "QuotaTable", "SessionTable", "SharedBooks", "WorkerBooks"]

KEY = 16
WAYS = 8
SESSION_BUCKETS = 4096
FAILURE_BUCKETS = 2048
"""With eight ways as many as the books of one process remember."""
QUOTA_BUCKETS = 1024
KNOWN_DIGESTS = 1024
"""Keys whose place is kept in mind."""
_BOOKS, _CHANGES = 0, 1
"""What the bytes of the lock file stand for."""
_COUNT = struct.Struct("I")
_MOMENT = struct.Struct("d")


class ConnectionCounts:
    """How many connections each worker has. Only the worker itself writes its count, but for :meth:`strike_out`."""

    def __init__(self, books: SharedBooks, start: int, workers: int) -> None:
        self._memory = books.memory
        self._words = books.words
        self._first = start // _COUNT.size
        self.start = start
        self._workers = workers
        record = struct.Struct(f"{workers}I")
        self._read = record.unpack_from
        self.end = start + record.size

    def counts(self) -> tuple[int, ...]:
        """Of each worker."""
        return self._read(self._memory, self.start)

    def _write(self, worker: int, count: int) -> None:
        self._words[self._first + worker] = count

    def enter(self, worker: int, limit: int) -> bool:
        """Count one more, without a lock; False, and nothing counted, where that may be more than *limit* (0: none).

        It is counted first and looked at then, and some room is left, one for each worker: so nobody who is let in
        here goes beyond what :meth:`enter_last` has looked at meanwhile.
        """
        memory, start = self._memory, self.start
        mine = self._read(memory, start)[worker]
        self._words[self._first + worker] = mine + 1
        if not limit or sum(self._read(memory, start)) + self._workers <= limit:
            return True
        self._write(worker, mine)
        return False

    def enter_last(self, worker: int, limit: int) -> bool:
        """Count one more unless that would be more than *limit*. Hold the lock."""
        counts = self.counts()
        if limit and sum(counts) >= limit:
            return False
        self._write(worker, counts[worker] + 1)
        return True

    def leave(self, worker: int) -> None:
        """Count one less."""
        self._write(worker, max(self.counts()[worker] - 1, 0))

    def strike_out(self, worker: int) -> None:
        """Forget what *worker*, which has died, has counted."""
        self._write(worker, 0)


class _Table:
    """Slots of one size at *start* of the memory of *books*."""

    def __init__(self, books: SharedBooks, start: int, buckets: int, record: struct.Struct) -> None:
        self._memory = books.memory
        self._words = books.words
        self._numbers = books.numbers
        self._moments = books.moments
        self._digest = books.digest
        self._start = start
        self._buckets = buckets
        self._record = record
        self._slot = KEY + record.size
        self.end = start + buckets * WAYS * self._slot

    def _bucket(self, digest: bytes) -> int:
        return self._start + int.from_bytes(digest[:4], "little") % self._buckets * WAYS * self._slot

    def find(self, key: str) -> int:
        """Where the record of *key* is; -1 if there is none."""
        return self._find(self._digest(key))

    def _find(self, digest: bytes) -> int:
        at = bucket = self._bucket(digest)
        end = bucket + WAYS * self._slot
        while (at := self._memory.find(digest, at, end)) >= 0:
            if (at - bucket) % self._slot == 0:
                return at + KEY
            at += 1
        return -1

    def claim(self, key: str) -> int:
        """Where the record of *key* is or, zeroed, will be; -1 if there is no room for it."""
        digest = self._digest(key)
        at = self._find(digest)
        if at >= 0:
            return at
        bucket = self._bucket(digest)
        slots = [bucket + way * self._slot + KEY for way in range(WAYS)]
        at = min(slots, key=self._worth)
        if self._worth(at) == float("inf"):
            return -1
        # In this order: who reads without the lock never sees what another key had here under this one.
        self._memory[at : at + self._record.size] = bytes(self._record.size)
        self._memory[at - KEY : at] = digest
        return at

    def _worth(self, at: int) -> float:
        """How much is lost with the record at *at*; infinity if it must stay."""
        raise NotImplementedError


class SessionTable:
    """Sessions by key and worker: a table for each worker, which no other writes to."""

    def __init__(self, books: SharedBooks, start: int, buckets: int) -> None:
        self._parts: list[_SessionPart] = []
        for _ in range(books.workers):
            self._parts.append(_SessionPart(books, start, buckets, _COUNT))
            start = self._parts[-1].end
        self.end = start

    def add(self, key: str, worker: int, limit: int) -> bool:
        """Count one more unless that would be more than *limit* of all workers together; with a limit, hold the lock.

        Args:
            key: what is counted.
            worker: who counts.
            limit: 0 for none.
        """
        if limit and self.total(key) >= limit:
            return False
        # The bucket may be full of others who are here: with a limit, rather refuse than let in without counting.
        return self._parts[worker].change(key, 1) or not limit

    def remove(self, key: str, worker: int) -> None:
        """Count one less."""
        self._parts[worker].change(key, -1)

    def total(self, key: str) -> int:
        """Of all workers together."""
        return sum(part.count(key) for part in self._parts)

    def strike_out(self, worker: int) -> None:
        """Forget all that *worker*, which has died, has counted."""
        self._parts[worker].clear()


class _SessionPart(_Table):
    """What one worker has counted."""

    def __init__(self, books: SharedBooks, start: int, buckets: int, record: struct.Struct) -> None:
        super().__init__(books, start, buckets, record)
        self._places: dict[str, tuple[int, bytes]] = {}
        """Where keys were last."""

    def _worth(self, at: int) -> float:
        return float("inf") if self._words[at // _COUNT.size] else 0.0

    def change(self, key: str, change: int) -> bool:
        """Add *change*; False where there is no room for the key."""
        memory = self._memory
        at, digest = self._places.get(key, (0, b""))
        if not at or memory[at - KEY : at] != digest:
            at = self.claim(key) if change > 0 else self.find(key)
            if at < 0:
                return False
            if len(self._places) >= KNOWN_DIGESTS:
                self._places.clear()
            self._places[key] = at, self._digest(key)
        words, word = self._words, at // _COUNT.size
        words[word] = max(words[word] + change, 0)
        return True

    def count(self, key: str) -> int:
        """What is counted under *key*, seen from another worker, too."""
        digest = self._digest(key)
        at = self._find(digest)
        if at < 0:
            return 0
        count = self._words[at // _COUNT.size]
        # Its owner may have given the place to another key meanwhile.
        return count if self._memory[at - KEY : at] == digest else 0

    def clear(self) -> None:
        """Forget all of them."""
        for at in range(self._start + KEY, self.end, self._slot):
            if self._words[at // _COUNT.size]:
                self._words[at // _COUNT.size] = 0


class FailureTable(_Table):
    """Failed logins by address: how many, when the last was, until when the address is banned."""

    def __init__(self, books: SharedBooks, start: int, buckets: int) -> None:
        super().__init__(books, start, buckets, struct.Struct("Qdd"))
        self._until = books.moment(self.end)
        self.end += _MOMENT.size

    def all_forgotten(self, now: float) -> bool:
        """Whether nothing in here counts any more."""
        return now > self._until[0]

    def remember_until(self, moment: float) -> None:
        """What was entered counts until *moment* at least."""
        if self.all_forgotten(moment):
            self._until[0] = moment

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
        at = self.claim(key) // _MOMENT.size
        self._moments[at + 2] = banned_until
        self._moments[at + 1] = last
        self._numbers[at] = failures


class QuotaTable(_Table):
    """What trees hold: bytes, entries, and when they were counted."""

    def _worth(self, at: int) -> float:
        return float("inf") if self._record.unpack_from(self._memory, at)[2] else 0.0

    def read(self, at: int) -> tuple[int, int, float]:
        size, files, counted = self._record.unpack_from(self._memory, at)
        return size, files, counted

    def write(self, at: int, size: int, files: int, counted: float) -> None:
        at //= _MOMENT.size
        self._numbers[at] = size
        self._numbers[at + 1] = files
        self._moments[at + 2] = counted


class SharedBooks:
    """The memory and its lock.

    Args:
        workers: how many processes keep the books.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.secret = secrets.token_bytes(KEY)
        self.digest = functools.lru_cache(KNOWN_DIGESTS)(self._digest)
        with tempfile.TemporaryFile() as file:
            self._lock = os.dup(file.fileno())
        # Pages that are never touched take no memory.
        size = _size(workers)
        self.memory = mmap.mmap(-1, size)
        self.words = memoryview(self.memory).cast("I")
        whole = memoryview(self.memory)[: size // _MOMENT.size * _MOMENT.size]
        self.numbers = whole.cast("q")
        self.moments = whole.cast("d")
        self._views: list[memoryview[Any]] = [self.words, self.numbers, self.moments, whole]
        self.quotas = QuotaTable(self, 0, QUOTA_BUCKETS, struct.Struct("qqd"))
        self.failures = FailureTable(self, self.quotas.end, FAILURE_BUCKETS)
        self.sessions = SessionTable(self, self.failures.end, SESSION_BUCKETS)
        self.connections = ConnectionCounts(self, self.sessions.end, workers)
        self._expected = self.connections.end, struct.Struct(f"{workers}i")
        self._loads = struct.Struct(f"{workers}I{workers}i")
        self.reports = Reports(workers, self.locked)
        """What they have counted for Prometheus."""

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode("utf-8", "surrogateescape"), digest_size=KEY, key=self.secret).digest()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile. Not to be nested; hold it for a moment only."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, _BOOKS)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, _BOOKS)

    def begin_change(self) -> bool:
        """Be the only worker that changes a file which must be in a certain state; False: another one is.

        Whoever was told True calls :meth:`end_change`. Within one process nobody is kept out.
        """
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _CHANGES)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        return True

    def end_change(self) -> None:
        """Let others change files too."""
        fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, _CHANGES)

    def strike_out(self, worker: int) -> None:
        """*worker* has died: its sessions are gone."""
        with self.locked():
            self.connections.strike_out(worker)
            self.sessions.strike_out(worker)

    def loads(self) -> list[int]:
        """Of each worker, how many sessions it has or can expect. No lock is taken: it may be a moment old."""
        workers = self.workers
        known = self._loads.unpack_from(self.memory, self.connections.start)
        return [known[worker] + known[workers + worker] for worker in range(workers)]

    def expect(self, worker: int, change: int) -> None:
        """So many more connections are on their way to *worker*."""
        start, record = self._expected
        with self.locked():
            counts = list(record.unpack_from(self.memory, start))
            counts[worker] = max(counts[worker] + change, 0)
            record.pack_into(self.memory, start, *counts)

    def moment(self, at: int) -> memoryview[float]:
        """The time that stands *at*, a multiple of its size, as the only item."""
        view = memoryview(self.memory)[at : at + _MOMENT.size].cast("d")
        self._views.append(view)
        return view

    def close(self) -> None:
        """Give back memory and lock."""
        for view in self._views:
            view.release()
        self.memory.close()
        self.reports.close()
        os.close(self._lock)


def _size(workers: int) -> int:
    """Bytes that all tables take together."""
    slots = ((4, SESSION_BUCKETS * workers), (24, FAILURE_BUCKETS), (24, QUOTA_BUCKETS))
    return sum((KEY + record) * WAYS * buckets for record, buckets in slots) + _MOMENT.size + 2 * 4 * workers


class WorkerBooks:
    """The books as the worker *number* sees them."""

    def __init__(self, books: SharedBooks, number: int) -> None:
        self.books = books
        self.number = number
