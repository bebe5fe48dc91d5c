"""What a tree tool has finished, on disk, so that a killed one does not move it twice."""

from __future__ import annotations

import os
import sqlite3
import threading

from fastxfer.ftp.errors import LocalFileError

__all__ = ["Journal"]


class Journal:
    """A small SQLite file of finished files: relative path, size and time of the source.

    Each entry is handed to the system at once, some 20 µs: it survives SIGKILL, though not the loss of power.
    """

    def __init__(self, path: str | os.PathLike[str], purpose: str) -> None:
        self._path = os.fspath(path)
        self._lock = threading.Lock()
        try:
            self._open()
        except sqlite3.Error as error:
            raise LocalFileError(f"the journal can not be used: {error}", path=self._path) from error
        self._purpose = purpose

    def finished(self, path: str, size: int | None, mtime: float | None) -> bool:
        """Whether *path*, with this size and time, was finished before."""
        with self._lock:
            row = self._database.execute(
                "SELECT size, mtime FROM done WHERE purpose = ? AND path = ?", (self._purpose, _storable(path))
            ).fetchone()
        return row is not None and row[0] == size and row[1] == mtime

    def note(self, path: str, size: int | None, mtime: float | None) -> None:
        """*path* is finished."""
        try:
            with self._lock:
                self._database.execute(
                    "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)", (self._purpose, _storable(path), size, mtime)
                )
        except sqlite3.Error as error:
            raise LocalFileError(f"the journal can not be written: {error}", path=self._path) from error

    def close(self, *, remove: bool) -> None:
        """Close the file; *remove* it where everything is done."""
        with self._lock:
            self._database.close()
        if remove:
            for suffix in ("", "-wal", "-shm"):
                try:
                    os.unlink(self._path + suffix)
                except FileNotFoundError:
                    continue

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS done (purpose TEXT, path TEXT, size INTEGER, mtime REAL, "
                "PRIMARY KEY (purpose, path)) WITHOUT ROWID"
            )
        except BaseException:
            self._database.close()
            raise


def _storable(path: str) -> bytes:
    # Names may hold lone surrogates, which SQLite text can not.
    return path.encode("utf-8", "surrogateescape")
