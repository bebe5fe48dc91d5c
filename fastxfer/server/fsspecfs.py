"""Anything that fsspec can reach: memory, S3, HDFS, archives … Needs the extra ``fsspec`` and the backend's package."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import io
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastxfer.server import paths
from fastxfer.server.filesystem import FileInfo, FileKind, Filesystem, Reader, Space, Writer
from fastxfer.server.outlast import outlast

__all__ = ["FsspecFilesystem"]

T = TypeVar("T")

HIDDEN_SUFFIX = ".fxpart"
THREADS = 32
_PATTERN = frozenset("*?[")
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "updated", "modificationTime", "created")


class FsspecFilesystem(Filesystem):
    """A directory of an fsspec filesystem. Its calls run in threads, so that none of them stops the server.

    Uploads are written to a hidden name beside the final one and moved there at the end. Most backends cannot go on
    with a file that broke off, so a broken upload is discarded; *append* and *offset* work by copying what is kept.
    There are no modes, owners, links or settable times.

    Args:
        filesystem: an ``fsspec.AbstractFileSystem``, or a URL such as ``s3://bucket/prefix`` that names filesystem
            and root together.
        root: directory inside it that is the root of the tree.
        options: for the backend that a URL names.

    Raises:
        ImportError: fsspec or the backend's package is missing.
    """

    hidden_suffix = HIDDEN_SUFFIX

    def __init__(self, filesystem: Any, root: str = "", **options: Any) -> None:
        if isinstance(filesystem, str):
            try:
                import fsspec
            except ImportError as error:
                raise ImportError("FsspecFilesystem needs fsspec: pip install 'fastxfer[fsspec]'") from error
            filesystem, found = fsspec.core.url_to_fs(filesystem, **options)
            root = f"{found.rstrip('/')}/{root.lstrip('/')}" if root else found
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fastxfer-fsspec")
        self._naming = threading.Lock()
        """Held from the look whether a name is free until it is taken: backends have no way to do both in one."""

    def _real(self, path: str) -> str:
        return self._root + path if path != paths.ROOT else self._root or "/"

    async def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run *function* in a thread; its exceptions come as OSError with an errno."""
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: _translated(function, *arguments, **options)
        )
        # What the thread is about cannot be stopped, but must not be overtaken either.
        return await outlast(work)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        return _info(paths.basename(path), await self.call(self._fs.info, self._real(path)))

    async def entries(self, path: str) -> Sequence[FileInfo]:
        return await self.call(self._entries, path)

    def _entries(self, path: str) -> list[FileInfo]:
        real = self._real(path)
        if not self._fs.isdir(real):
            number = errno.ENOTDIR if self._fs.exists(real) else errno.ENOENT
            raise OSError(number, os.strerror(number), path)
        self._fs.invalidate_cache(real)
        found = []
        for details in self._fs.ls(real, detail=True):
            name = details["name"].rstrip("/").rpartition("/")[2]
            if name and details["name"].strip("/") != real.strip("/") and not name.endswith(HIDDEN_SUFFIX):
                found.append(_info(name, details))
        return found

    async def open_read(self, path: str) -> Reader:
        info = await self.stat(path)
        if info.is_dir:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return _FsspecReader(self, await self.call(self._fs.open, self._real(path), "rb"), info)

    async def open_write(
        self,
        path: str,
        *,
        offset: int = 0,
        append: bool = False,
        unfinished: bool = False,
        replace: bool = True,
        uploader: str = "",
        size: int = -1,
    ) -> Writer:
        return await self.call(self._open_write, path, offset, append, replace)

    def _open_write(self, path: str, offset: int, append: bool, replace: bool) -> Writer:
        real = self._real(path)
        directory = self._real(paths.parent(path))
        if not self._fs.isdir(directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        existing = self._fs.info(real) if self._fs.exists(real) else None
        if existing is not None and existing.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if existing is not None and not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        size = int(existing.get("size") or 0) if existing is not None else 0
        keep = size if append else offset
        if keep > size:
            raise OSError(errno.EINVAL, "Offset beyond the end of the file", path)
        partial = f"{directory.rstrip('/')}/.{secrets.token_hex(8)}{HIDDEN_SUFFIX}"
        file = self._fs.open(partial, "wb")
        try:
            if keep:
                with self._fs.open(real, "rb") as source:
                    left = keep
                    while left:
                        block = source.read(min(left, 1 << 20))
                        if not block:
                            raise OSError(errno.EIO, "The file became shorter while it was copied")
                        file.write(block)
                        left -= len(block)
        except BaseException:
            file.close()
            self._fs.rm_file(partial)
            raise
        return _FsspecWriter(self, file, partial, real, keep, replace=replace)

    async def make_directory(self, path: str) -> None:
        await self.call(self._make_directory, path)

    def _make_directory(self, path: str) -> None:
        real = self._real(path)
        if self._fs.exists(real):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if not self._fs.isdir(self._real(paths.parent(path))):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._fs.mkdir(real, create_parents=False)

    async def remove_directory(self, path: str) -> None:
        await self.call(self._remove_directory, path)

    def _remove_directory(self, path: str) -> None:
        if self._entries(path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self._fs.rmdir(self._real(path))

    async def remove(self, path: str) -> None:
        await self.call(self._remove, path)

    def _remove(self, path: str) -> None:
        real = self._real(path)
        if self._fs.isdir(real):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        self._fs.rm_file(real)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        await self.call(self._rename, source, target, replace)

    def _rename(self, source: str, target: str, replace: bool) -> None:
        with contextlib.nullcontext() if replace else self._naming:
            self._rename_now(source, target, replace)

    def _rename_now(self, source: str, target: str, replace: bool) -> None:
        real, aim = self._real(source), self._real(target)
        is_dir = self._fs.isdir(real)
        if not is_dir and not self._fs.exists(real):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        if not self._fs.isdir(self._real(paths.parent(target))):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), target)
        if real != aim and self._fs.exists(aim) and (is_dir or not replace or self._fs.isdir(aim)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        if real != aim:
            self._move(real, aim, is_dir=is_dir)

    def _move(self, real: str, aim: str, *, is_dir: bool = False) -> None:
        if not _takes_names_for_patterns(self._fs) or (is_dir and not _PATTERN & set(real)):
            self._fs.mv(real, aim, recursive=is_dir)
        elif not is_dir:
            self._fs.cp_file(real, aim)
            self._fs.rm_file(real)
        else:
            directories, files = self._below(real)
            for directory in directories:
                self._fs.mkdir(aim + directory[len(real) :], create_parents=False)
            for file in files:
                self._fs.cp_file(file, aim + file[len(real) :])
            for file in files:
                self._fs.rm_file(file)
            for directory in reversed(directories):
                # Object stores have no directories: they are gone with the last file.
                with contextlib.suppress(FileNotFoundError, NotImplementedError):
                    self._fs.rmdir(directory)

    def _below(self, real: str) -> tuple[list[str], list[str]]:
        """*real* and the directories below it, those above others first, and the files in them, unfinished too."""
        directories, files = [real], list[str]()
        for directory in directories:
            self._fs.invalidate_cache(directory)
            for details in self._fs.ls(directory, detail=True):
                name = details["name"].rstrip("/").rpartition("/")[2]
                if name and details["name"].strip("/") != directory.strip("/"):
                    (directories if details.get("type") == "directory" else files).append(f"{directory}/{name}")
        return directories, files

    async def copy(self, source: str, target: str, *, replace: bool = True) -> None:
        await self.call(self._copy, source, target, replace)

    def _copy(self, source: str, target: str, replace: bool) -> None:
        writer = self._open_write(target, 0, False, replace)
        assert isinstance(writer, _FsspecWriter)
        writer.discard()
        partial = writer.partial
        try:
            self._fs.cp_file(self._real(source), partial)
            self.put(partial, self._real(target), replace=replace)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(partial)
            raise

    async def space(self, path: str) -> Space:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    def put(self, partial: str, real: str, *, replace: bool) -> None:
        """Give the finished file *partial* its final name (called in a thread); EEXIST where it may not *replace*."""
        with contextlib.nullcontext() if replace else self._naming:
            if not replace and self._fs.exists(real):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), real)
            if self._fs.isdir(real):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), real)
            self._move(partial, real)

    def discard(self, partial: str) -> None:
        """Remove the unfinished file *partial* (called in a thread)."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(partial)


def _takes_names_for_patterns(filesystem: Any) -> bool:
    """Whether moving ``*`` would move whatever that matches: so fsspec's own ``mv`` has it, but no backend's."""
    from fsspec.implementations.dirfs import DirFileSystem
    from fsspec.spec import AbstractFileSystem

    while isinstance(filesystem, DirFileSystem):
        filesystem = filesystem.fs
    return getattr(filesystem.mv, "__func__", None) is AbstractFileSystem.mv


def _translated(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    try:
        return function(*arguments, **options)
    except (NotImplementedError, ValueError) as error:
        raise OSError(errno.ENOTSUP, f"{type(error).__name__}: {error}") from error
    except OSError as error:
        if error.errno is None:
            number = _number_of(error)
            raise OSError(number, str(error) or os.strerror(number)) from error
        raise


def _number_of(error: OSError) -> int:
    for kind, number in (
        (FileNotFoundError, errno.ENOENT),
        (FileExistsError, errno.EEXIST),
        (PermissionError, errno.EACCES),
        (NotADirectoryError, errno.ENOTDIR),
        (IsADirectoryError, errno.EISDIR),
    ):
        if isinstance(error, kind):
            return number
    return errno.ENOTEMPTY if "not empty" in str(error).lower() else errno.EIO


def _info(name: str, details: Mapping[str, Any]) -> FileInfo:
    is_dir = details.get("type") == "directory"
    return FileInfo(
        name,
        FileKind.DIRECTORY if is_dir else FileKind.FILE,
        0 if is_dir else int(details.get("size") or 0),
        _mtime(details),
        0o755 if is_dir else 0o644,
    )


def _mtime(details: Mapping[str, Any]) -> float:
    for key in _TIMES:
        value = details.get(key)
        if isinstance(value, datetime.datetime):
            return (value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).timestamp()
        if isinstance(value, (int, float)):
            # HDFS counts milliseconds.
            return value / 1000 if value > 1e11 else float(value)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return 0.0


class _FsspecReader(Reader):
    def __init__(self, owner: FsspecFilesystem, file: Any, info: FileInfo) -> None:
        self._owner = owner
        self._file = file
        self._info = info

    @property
    def info(self) -> FileInfo:
        return self._info

    async def read(self, offset: int, size: int) -> bytes:
        return await self._owner.call(self._read, offset, size)

    def _read(self, offset: int, size: int) -> bytes:
        if isinstance(self._file, io.BytesIO):
            # A file in memory is the same object for all who have it open, and has one position.
            with self._file.getbuffer() as content:
                return bytes(content[offset : offset + size])
        if self._file.tell() != offset:
            self._file.seek(offset)
        data: bytes = self._file.read(size)
        return data

    async def close(self) -> None:
        await self._owner.call(self._file.close)


class _FsspecWriter(Writer):
    def __init__(
        self, owner: FsspecFilesystem, file: Any, partial: str, real: str, offset: int, *, replace: bool
    ) -> None:
        self._owner = owner
        self._file = file
        self.partial = partial
        self._real = real
        self.offset = offset
        self._replace = replace

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._owner.call(self._file.write, bytes(data))

    async def commit(self, *, sync: bool = False) -> None:
        await self._owner.call(self._commit)

    def _commit(self) -> None:
        try:
            self._file.close()
            self._owner.put(self.partial, self._real, replace=self._replace)
        except BaseException:
            self._owner.discard(self.partial)
            raise

    async def abort(self, *, keep: bool = True) -> None:
        await self._owner.call(self.discard)

    def discard(self) -> None:
        """Close and remove what was written."""
        with contextlib.suppress(OSError, ValueError):
            self._file.close()
        self._owner.discard(self.partial)
