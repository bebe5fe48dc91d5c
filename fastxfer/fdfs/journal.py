"""Remembers what a batch has done, so that an interrupted one can go on."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from types import TracebackType

from fastxfer.fdfs.errors import InvalidArgumentError

__all__ = ["Journal"]


class Journal:
    """A file of finished items, kept on disk and looked up there, however many they are.

    Each is written before it is reported, and outlives the process's death; the last may be lost with the machine's.

    Args:
        path: made where it is not there.
        kind: of the batch; a journal is for one kind only.

    Raises :class:`InvalidArgumentError` where the file is something else, or of another kind of batch; OSError, with
    the path, where it cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self._lock = threading.Lock()
        self._path = os.fspath(path)
        if not self._path:
            # To SQLite that is a base of its own, forgotten at the end.
            raise InvalidArgumentError("the path of the journal is empty")
        try:
            self._open(kind)
        except sqlite3.OperationalError as reason:
            raise _local_error(reason, self._path) from None
        except sqlite3.Error as reason:
            raise InvalidArgumentError(f"{self._path} is no journal: {reason}") from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find(self, key: str, stamp: str) -> str | None:
        """The outcome of the item *key*, if it is remembered with the same *stamp*."""
        with self._lock:
            row = self._base.execute(
                "SELECT value FROM done WHERE key = ? AND stamp = ?", (_stored(key), stamp)
            ).fetchone()
        return None if row is None else str(row[0])

    def add(self, key: str, stamp: str, value: str) -> None:
        """The item *key* is finished."""
        with self._lock:
            try:
                self._base.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (_stored(key), stamp, value))
            except sqlite3.OperationalError as reason:
                raise _local_error(reason, self._path) from None

    def close(self) -> None:
        with self._lock:
            self._base.close()

    def _open(self, kind: str) -> None:
        self._base = sqlite3.connect(self._path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            # Somebody else's base is left as it is.
            tables = [row[0] for row in self._base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            columns = [row[1] for row in self._base.execute("PRAGMA table_info(done)")]
            if not set(tables) <= {"batch", "done"} or columns not in ([], ["key", "stamp", "value"]):
                raise InvalidArgumentError(f"{self._path} is no journal: it is another program's base")
            # In this mode a commit is one write to a log, without waiting for the disk.
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS batch (kind TEXT PRIMARY KEY)")
            self._base.execute("CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY, stamp TEXT, value TEXT)")
            kinds = [row[0] for row in self._base.execute("SELECT kind FROM batch")] or [kind]
            if kinds != [kind]:
                raise InvalidArgumentError(f"{self._path} is the journal of another kind of batch: {kinds[0]}")
            self._base.execute("INSERT OR IGNORE INTO batch VALUES (?)", (kind,))
        except BaseException:
            self._base.close()
            raise


def _local_error(reason: sqlite3.OperationalError, path: str | bytes) -> OSError:
    """What the system has refused, as the error of a local file that it is."""
    text = str(reason)
    if "full" in text:
        number = errno.ENOSPC
    elif "readonly" in text:
        number = errno.EACCES
    elif "locked" in text:
        return OSError(errno.EBUSY, text, path)
    elif "unable to open" not in text:
        return OSError(errno.EIO, text, path)
    elif os.path.isdir(path):
        number = errno.EISDIR
    else:
        number = errno.EACCES if os.path.isdir(os.path.dirname(path) or ".") else errno.ENOENT
    return OSError(number, os.strerror(number), path)


def _stored(key: str) -> str | bytes:
    """*key* as the base takes it: a local path need not be UTF-8."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return key.encode("utf-8", "surrogatepass")
    return key
