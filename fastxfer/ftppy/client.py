"""The client: operations that answer with booleans, None and dictionaries, and warn where something was not done."""

from __future__ import annotations

import asyncio
import builtins
import os
import posixpath
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from fastxfer.ftp import FTPError, Item, TreeReport
from fastxfer.ftppy.configured import Configured
from fastxfer.ftppy.connection import Connection, make_connection
from fastxfer.ftppy.entries import info_of, metadata_of

__all__ = ["FtpClient"]

T = TypeVar("T")
LocalPath = str | os.PathLike[str]
Info = dict[str, Any]
Infos = list[Info]

_FAILURES = (FTPError, OSError, asyncio.TimeoutError)


class FtpClient(Configured):
    """A client for one server, made by :meth:`FtpPy.client`; the arguments are those of :class:`Configured`.

    Use it as an async context manager: entering it connects and logs in, and raises :class:`ConnectionError` where that
    fails. After that nothing raises but wrong use: what was not done is ``False``, ``None``, ``[]`` or missing success
    in a dictionary, with a :class:`FtpPyWarning` that says why. Any number of tasks may use one client; each operation
    takes a connection of its own out of a pool.

    Attributes:
        connection: the :class:`fastxfer.ftp.AsyncClient` underneath; None outside the context.
    """

    connection: Connection | None = None

    # Connecting

    async def __aenter__(self) -> FtpClient:
        connection = make_connection(
            self._where,
            self.auth,
            self.limits,
            self.retry,
            self.timeout,
            self.ssl,
            self._hooks,
            passive=self.passive,
            encoding=self.encoding,
        )
        try:
            await connection.within(connection.connect())
        except _FAILURES as error:
            await connection.aclose()
            await self._hooks.call("error", error)
            raise ConnectionError(f"Failed to connect to FTP server: {error}") from error
        self.connection = connection
        await self._hooks.call("connect", connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.aclose()

    @property
    def pool(self) -> builtins.list[str]:
        """The connections that are open, as ``host:port`` each."""
        return [f"{self.host}:{self.port}"] * self._count("connections")

    async def release(self, connection: object) -> None:
        """Connections go back to the pool by themselves after each operation; there is nothing left to give back."""

    async def stats(self) -> Info:
        """connected, host, port, secure, pool (open connections), active (those in use), encoding, passive."""
        return {
            "connected": self.connection is not None and bool(self.connection.stats()["connected"]),
            "host": self.host,
            "port": self.port,
            "secure": self.secure,
            "pool": self._count("connections"),
            "active": self._count("active"),
            "encoding": self.encoding,
            "passive": self.passive,
        }

    # Single files

    async def upload(self, source: LocalPath, target: str, dirs: bool = True, replace: bool = True) -> bool:
        """Upload a file.

        Args:
            source: the local file.
            target: the remote path; one that ends with a slash is a directory that takes the file under its own name.
            dirs: make missing directories.
            replace: replace a file that is there; else it is left alone and the answer is False.

        Raises:
            FileNotFoundError: there is no such local file.
        """
        local = os.fspath(source)
        if not os.path.exists(local):
            raise FileNotFoundError(f"there is no local file {local!r}")
        remote = posixpath.join(target, os.path.basename(local)) if target.endswith("/") else target
        return await self._done(
            f"upload of {local!r} to {remote!r}",
            lambda connection: connection.upload(local, remote, overwrite=replace, make_directories=dirs),
        )

    async def download(self, source: str, target: LocalPath, dirs: bool = True, replace: bool = True) -> bool:
        """Download a file.

        Args:
            source: the remote file.
            target: the local path; a directory takes the file under its own name.
            dirs: make missing local directories.
            replace: replace a file that is there; else it is left alone and the answer is False.
        """
        local = os.fspath(target)
        if local.endswith(os.sep) or os.path.isdir(local):
            local = os.path.join(local, posixpath.basename(source))
        return await self._done(
            f"download of {source!r} to {local!r}",
            lambda connection: connection.download(source, local, overwrite=replace, make_directories=dirs),
        )

    async def copy(self, source: str, target: str) -> bool:
        """Copy a file on the server: by the server itself where it can, else down and up again."""

        async def copy(connection: Connection) -> None:
            await _make_parents(connection, target)
            await connection.copy(source, target)

        return await self._done(f"copy of {source!r} to {target!r}", copy)

    async def move(self, old: str, new: str) -> bool:
        """Move a file or directory; missing directories above *new* are made."""

        async def move(connection: Connection) -> None:
            await _make_parents(connection, new)
            await connection.rename(old, new)

        return await self._done(f"move of {old!r} to {new!r}", move)

    async def rename(self, old: str, new: str) -> bool:
        """Rename a file or directory."""
        return await self._done(f"rename of {old!r} to {new!r}", lambda connection: connection.rename(old, new))

    async def remove(self, path: str) -> bool:
        """Remove a file. False when there is none."""
        return await self._done(f"removal of {path!r}", lambda connection: connection.remove(path))

    async def chmod(self, path: str, mode: str) -> bool:
        """Set permissions, as octal digits (SITE CHMOD). False where the server does not have it."""
        return await self._done(f"chmod of {path!r}", lambda connection: connection.chmod(path, mode))

    # What is there

    async def list(self, path: str = ".", deep: bool = False) -> Infos:
        """The entries of a directory, with *deep* of all below it too.

        Each is a dictionary: path, name, dir (bool), size (int, bytes), modified (``YYYYMMDDHHMMSS``, UTC).
        """
        top = "" if path == "." else path

        async def read(connection: Connection) -> Infos:
            if deep:
                return [info_of(found.path, found.entry) async for found in connection.walk(top)]
            return [info_of(posixpath.join(top, entry.name), entry) for entry in await connection.list(top)]

        return await self._got(f"listing of {path!r}", read, [])

    async def search(self, pattern: str, path: str = ".") -> Infos:
        """What is below *path* and has a name like *pattern* (``*``, ``?``, ``[…]``), as :meth:`list` gives it."""
        top = "" if path == "." else path

        async def read(connection: Connection) -> Infos:
            return [info_of(found.path, found.entry) async for found in connection.search(pattern, top)]

        return await self._got(f"search for {pattern!r} in {path!r}", read, [])

    async def metadata(self, path: str) -> Info | None:
        """path, name, size (int), type (``file`` or ``dir``), permissions (octal digits), modified, owner, group."""

        async def read(connection: Connection) -> Info | None:
            return metadata_of(path, await connection.stat(path))

        return await self._got(f"metadata of {path!r}", read, None)

    async def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that name."""
        return await self._got(f"search for {path!r}", lambda connection: connection.exists(path), False)

    async def size(self, path: str) -> int | None:
        """Size of a file in bytes; None for directories and what is not there."""

        async def read(connection: Connection) -> int | None:
            entry = await connection.stat(path)
            return None if entry.type == "dir" else entry.size

        return await self._got(f"size of {path!r}", read, None)

    # Directories

    async def pwd(self) -> str | None:
        """The working directory."""
        return await self._got("working directory", lambda connection: connection.pwd(), None)

    async def cd(self, path: str) -> bool:
        """Change the working directory, which relative paths of all operations begin at."""
        return await self._done(f"change to {path!r}", lambda connection: connection.chdir(path))

    async def mkdir(self, path: str, parents: bool = True) -> bool:
        """Make a directory; with *parents* those above it too, and one that is there is no failure."""
        return await self._done(
            f"making of {path!r}", lambda connection: connection.mkdir(path, parents=parents, exist_ok=parents)
        )

    async def rmdir(self, path: str, recursive: bool = False) -> bool:
        """Remove an empty directory; with *recursive* one with all it holds."""

        async def remove(connection: Connection) -> None:
            if recursive:
                await connection.remove_tree(path)
            else:
                await connection.rmdir(path)

        return await self._done(f"removal of {path!r}", remove)

    # Many files

    async def batch(
        self, pairs: Iterable[tuple[LocalPath, str]], dirs: bool = True, replace: bool = True, limit: int = 5
    ) -> dict[str, bool]:
        """Upload (local, remote) pairs, *limit* at a time: success by local path."""
        results = _Results(lambda item: item.local)
        await self._tree(
            "batch of uploads",
            results,
            self._open.batch(
                pairs, parallel=limit, overwrite=replace, make_directories=dirs, on_item=results.add_strictly
            ),
        )
        return results.by_path

    async def fetch(
        self, pairs: Iterable[tuple[str, LocalPath]], dirs: bool = True, replace: bool = True, limit: int = 5
    ) -> dict[str, bool]:
        """Download (remote, local) pairs, *limit* at a time: success by remote path."""
        results = _Results(lambda item: item.remote)
        await self._tree(
            "batch of downloads",
            results,
            self._open.fetch(
                pairs, parallel=limit, overwrite=replace, make_directories=dirs, on_item=results.add_strictly
            ),
        )
        return results.by_path

    async def sync(self, local: LocalPath, remote: str, direction: str = "up") -> dict[str, bool]:
        """Copy what is missing or older: ``"up"``, ``"down"`` or ``"both"``. What is the same already counts as done.

        Returns:
            Success by local path for what goes up, by remote path for what comes down.

        Raises:
            ValueError: another direction.
        """
        if direction not in {"up", "down", "both"}:
            raise ValueError(f"direction must be 'up', 'down' or 'both', not {direction!r}")
        down = direction == "down"
        results = _Results(lambda item: item.remote if down or item.action == "download" else item.local)
        await self._tree(
            f"sync of {os.fspath(local)!r} and {remote!r}",
            results,
            self._open.sync(local, remote, direction, on_item=results.add),
        )
        return results.by_path

    async def mirror(self, local: LocalPath, remote: str) -> dict[str, bool]:
        """Make the remote directory like the local one; what is only there is removed, after what is new is known.

        Returns:
            Success by local path.
        """
        results = _Results(lambda item: item.local or item.remote)
        await self._tree(
            f"mirror of {os.fspath(local)!r} to {remote!r}",
            results,
            self._open.mirror(local, remote, on_item=results.add_kept),
        )
        return results.by_path

    async def backup(self, paths: LocalPath | Iterable[LocalPath], target: str) -> dict[str, bool]:
        """Upload files and directories, or one, into ``target/backup_YYYYmmdd_HHMMSS/``: success by local path.

        What is not there is False, with a warning, and does not keep the rest from being saved.
        """
        results = _Results(lambda item: item.local)
        sources = [os.fspath(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
        missing = [source for source in sources if not os.path.exists(source)]
        for source in missing:
            results.by_path[source] = False
            await self._hooks.failed(f"backup of {source!r}", FileNotFoundError("there is no such file or directory"))
        there = [source for source in sources if source not in missing]
        if there:
            await self._tree(f"backup to {target!r}", results, self._open.backup(there, target, on_item=results.add))
        return results.by_path

    async def restore(self, backup: str, target: LocalPath) -> dict[str, bool]:
        """Download what :meth:`backup` has made into a local directory: success by remote path."""
        return await self.sync(target, backup, "down")

    async def verify(self, local: LocalPath, remote: str) -> dict[str, bool]:
        """Compare the sizes of the local files with those of the remote ones: whether they match, by local path."""
        results = _Results(lambda item: item.local)
        await self._tree(
            f"comparison of {os.fspath(local)!r} with {remote!r}",
            results,
            self._open.verify(local, remote, on_item=results.add_local),
            quiet=True,
        )
        return results.by_path

    # What all of them share

    @property
    def _open(self) -> Connection:
        if self.connection is None:
            raise RuntimeError("Client not initialized. Use within 'async with' block.")
        return self.connection

    def _count(self, what: str) -> int:
        count = 0 if self.connection is None else self.connection.stats()[what]
        assert isinstance(count, int)
        return count

    async def _done(self, what: str, operation: Callable[[Connection], Awaitable[object]]) -> bool:
        connection = self._open
        try:
            await connection.within(operation(connection))
        except _FAILURES as error:
            await self._hooks.failed(what, error)
            return False
        return True

    async def _got(self, what: str, operation: Callable[[Connection], Awaitable[T]], otherwise: T) -> T:
        connection = self._open
        try:
            return await connection.within(operation(connection))
        except _FAILURES as error:
            await self._hooks.failed(what, error)
            return otherwise

    async def _tree(
        self, what: str, results: _Results, operation: Awaitable[TreeReport], *, quiet: bool = False
    ) -> None:
        try:
            await operation
        except _FAILURES as error:
            await self._hooks.failed(what, error)
        if not quiet:
            for path, failure in results.failures:
                await self._hooks.failed(f"{what}: {path!r}", failure)


async def _make_parents(connection: Connection, path: str) -> None:
    above = posixpath.dirname(path.rstrip("/"))
    if above not in {"", "/"}:
        await connection.mkdir(above, parents=True, exist_ok=True)


class _Results:
    """Gathers what the tools for many files report, as success by path."""

    def __init__(self, key: Callable[[Item], str]) -> None:
        self._key = key
        self.by_path: dict[str, bool] = {}
        self.failures: list[tuple[str, BaseException]] = []

    def add(self, item: Item) -> None:
        """Files count; directories only when something went wrong with them."""
        if not item.is_directory or not item.ok:
            self._enter(item, item.ok)

    def add_strictly(self, item: Item) -> None:
        """A file that was left alone was not moved."""
        self._enter(item, item.ok and item.action != "skip", FileExistsError("it is there already"))

    def add_kept(self, item: Item) -> None:
        """What was removed well needs no mention."""
        if item.action != "delete" or not item.ok:
            self.add(item)

    def add_local(self, item: Item) -> None:
        """What is only on the other side has no local path."""
        if item.local and item.action != "extra":
            self.add(item)

    def _enter(self, item: Item, ok: bool, reason: BaseException | None = None) -> None:
        path = self._key(item)
        # What goes to several places is done when it is in all of them.
        self.by_path[path] = ok and self.by_path.get(path, True)
        if not ok:
            self.failures.append((path, item.error or reason or OSError("it was not done")))
