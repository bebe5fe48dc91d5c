"""Files of the machine: the fast path, with descriptors that the native engine moves bytes from and to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from fastxfer.server import paths
from fastxfer.server.beneath import O_PATH, open_beneath
from fastxfer.server.filesystem import FileInfo, FileKind, Filesystem, Reader, Space, Writer

try:
    import fcntl
    import grp
    import pwd
except ImportError as error:  # pragma: no cover
    raise ImportError("fastxfer.server.LocalFilesystem needs a POSIX system") from error

__all__ = ["LocalFilesystem"]

HIDDEN_SUFFIX = ".fxpart"
COPY_CHUNK = 8 << 20
SMALL_COPY = 1 << 20
"""Copies up to this size are made on the event loop, larger ones in a thread."""
MAX_NAME = 255


_KINDS = {stat.S_IFREG: FileKind.FILE, stat.S_IFDIR: FileKind.DIRECTORY, stat.S_IFLNK: FileKind.LINK}


@functools.lru_cache(maxsize=1024)
def owner_name(uid: int) -> str:
    """Login name of *uid*, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@functools.lru_cache(maxsize=1024)
def group_name(gid: int) -> str:
    """Name of *gid*, or the number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _info(name: str, status: os.stat_result, target: str = "") -> FileInfo:
    return FileInfo(
        name,
        _KINDS.get(stat.S_IFMT(status.st_mode), FileKind.OTHER),
        status.st_size,
        status.st_mtime,
        stat.S_IMODE(status.st_mode),
        owner_name(status.st_uid),
        group_name(status.st_gid),
        status.st_nlink,
        target,
        f"{status.st_dev:x}g{status.st_ino:x}",
    )


class LocalFilesystem(Filesystem):
    """A directory of the machine and what is below it.

    Every path is resolved below the directory's descriptor (see :mod:`fastxfer.server.beneath`): symbolic links work
    where they stay inside and are refused where they lead out, also when someone swaps them in the middle of an
    operation. Files are opened without blocking; what is not a regular file is refused.

    Args:
        root: the directory.
        atomic: uploads are written to a hidden file beside the final name, which takes the name at the end.
        keep_partial: keep what broken uploads have brought, for :meth:`open_write` with *offset* or *append*.
        umask: permission bits that new files and directories do not get.

    Raises:
        OSError: *root* is not a directory that can be opened.
    """

    hidden_suffix = HIDDEN_SUFFIX

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        atomic: bool = True,
        keep_partial: bool = True,
        umask: int = 0o022,
    ) -> None:
        self._adopt(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), atomic, keep_partial, umask)

    def _adopt(self, top: int, atomic: bool, keep_partial: bool, umask: int) -> None:
        self._top = top
        self._atomic = atomic
        self._keep_partial = keep_partial
        self._umask = umask

    def subtree(self, path: str) -> Filesystem:
        if path == paths.ROOT:
            return self
        tree = LocalFilesystem.__new__(LocalFilesystem)
        tree._adopt(
            open_beneath(self._top, path[1:], os.O_RDONLY | os.O_DIRECTORY),
            self._atomic,
            self._keep_partial,
            self._umask,
        )
        return tree

    async def close(self) -> None:
        if self._top >= 0:
            os.close(self._top)
            self._top = -1

    def __del__(self) -> None:
        if getattr(self, "_top", -1) >= 0:
            with contextlib.suppress(OSError):
                os.close(self._top)
            self._top = -1

    def _open(self, path: str, flags: int, mode: int = 0) -> int:
        return open_beneath(self._top, path[1:] or ".", flags, mode)

    def _locate(self, path: str) -> tuple[int, str, bool]:
        """The descriptor of the directory that holds *path*, the name in it, and whether to close the descriptor."""
        directory, _, name = path[1:].rpartition("/")
        if not name:
            raise PermissionError(errno.EACCES, "Not possible on the root", path)
        if not directory:
            return self._top, name, False
        return open_beneath(self._top, directory, O_PATH | os.O_DIRECTORY), name, True

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """As :meth:`_locate`; the descriptor is closed at the end."""
        fd, name, ours = self._locate(path)
        try:
            yield fd, name
        finally:
            if ours:
                os.close(fd)

    @contextlib.contextmanager
    def _changeable(self, path: str) -> Iterator[int | str]:
        """What chmod and utime take for *path*; on Linux also where the file cannot be opened for reading."""
        if O_PATH and os.path.isdir("/proc/self/fd"):
            fd = self._open(path, O_PATH)
            handle: int | str = f"/proc/self/fd/{fd}"
        else:
            handle = fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            yield handle
        finally:
            os.close(fd)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        if path != paths.ROOT:
            with self._parent(path) as (fd, name):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    return _info(name, status)
                if not follow:
                    return _info(name, status, os.readlink(name, dir_fd=fd))
        fd = self._open(path, O_PATH if O_PATH else os.O_RDONLY | os.O_NONBLOCK)
        try:
            return _info(paths.basename(path), os.fstat(fd))
        finally:
            os.close(fd)

    async def entries(self, path: str) -> Sequence[FileInfo]:
        fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            result = []
            with os.scandir(fd) as scan:
                for entry in scan:
                    name = entry.name
                    if name.endswith(HIDDEN_SUFFIX):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                        target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                    except FileNotFoundError:
                        continue
                    result.append(_info(name, status, target))
            return result
        finally:
            os.close(fd)

    def open_directory(self, path: str) -> int:
        return self._open(path, os.O_RDONLY | os.O_DIRECTORY)

    async def open_read(self, path: str) -> Reader:
        fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(fd)
            _require_regular(status, path)
        except BaseException:
            os.close(fd)
            raise
        return _LocalReader(fd, path, status)

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
        if self._atomic:
            return await self._open_atomic(path, offset, append, replace, uploader, unfinished=unfinished)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | (0 if replace else os.O_EXCL)
        fd = self._open(path, flags, 0o666 & ~self._umask)
        try:
            status = os.fstat(fd)
            _require_regular(status, path)
            _lock(fd, path)
            where = status.st_size if append else offset
            if where > status.st_size:
                raise OSError(errno.EINVAL, "Offset beyond the end of the file", path)
            if where < status.st_size:
                os.ftruncate(fd, where)
        except BaseException:
            os.close(fd)
            raise
        return _PlainWriter(fd, path, where)

    async def _open_atomic(
        self, path: str, offset: int, append: bool, replace: bool, uploader: str, *, unfinished: bool
    ) -> Writer:
        directory, name, ours = self._locate(path)
        try:
            try:
                existing: os.stat_result | None = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                existing = None
            if existing is not None:
                if stat.S_ISLNK(existing.st_mode):
                    return await self._through_link(path, offset, append, replace)
                _require_regular(existing, path)
                if not replace:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
                if append:
                    return self._append_to(directory, name, path)
            partial = _partial_name(name, uploader)
            fd, status = _open_partial(partial, directory, 0o666 & ~self._umask, path)
            try:
                base = None if unfinished else existing
                where = await _prepare(fd, status, base, directory, name, -1 if append else offset)
                if existing is not None and (mode := stat.S_IMODE(existing.st_mode) & 0o777) != stat.S_IMODE(
                    status.st_mode
                ):
                    os.fchmod(fd, mode)
            except BaseException:
                if os.fstat(fd).st_size == 0:
                    _unlink_quietly(partial, directory)
                os.close(fd)
                raise
            held, ours = ours, False
            return _AtomicWriter(
                self, fd, path, where, directory, held, partial, name, replace=replace, keep=self._keep_partial
            )
        finally:
            if ours:
                os.close(directory)

    async def _through_link(self, path: str, offset: int, append: bool, replace: bool) -> Writer:
        """Write to the file a symbolic link inside the tree leads to, in place: replacing the link is not meant."""
        if not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        fd = self._open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(fd)
            _require_regular(status, path)
            _lock(fd, path)
            where = status.st_size if append else offset
            if where > status.st_size:
                raise OSError(errno.EINVAL, "Offset beyond the end of the file", path)
            os.ftruncate(fd, where)
        except BaseException:
            os.close(fd)
            raise
        return _PlainWriter(fd, path, where)

    def _append_to(self, directory: int, name: str, path: str) -> Writer:
        fd = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            status = os.fstat(fd)
            _require_regular(status, path)
            _lock(fd, path)
        except BaseException:
            os.close(fd)
            raise
        return _PlainWriter(fd, path, os.fstat(fd).st_size)

    async def unfinished_size(self, path: str, uploader: str) -> int:
        if not self._atomic or not self._keep_partial:
            return -1
        try:
            with self._parent(path) as (fd, name):
                return os.stat(_partial_name(name, uploader), dir_fd=fd, follow_symlinks=False).st_size
        except OSError:
            return -1

    async def make_directory(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            os.mkdir(name, 0o777 & ~self._umask, dir_fd=fd)

    async def remove_directory(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self._sweep(fd, name):
                    raise
                os.rmdir(name, dir_fd=fd)

    def _sweep(self, parent: int, name: str) -> bool:
        """Remove unfinished uploads that nobody is writing from a directory that holds nothing else."""
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            names = os.listdir(fd)
            if not all(entry.endswith(HIDDEN_SUFFIX) for entry in names):
                return False
            for entry in names:
                partial = os.open(entry, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                try:
                    _lock(partial, entry)
                    os.unlink(entry, dir_fd=fd)
                finally:
                    os.close(partial)
            return True
        finally:
            os.close(fd)

    async def remove(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            os.unlink(name, dir_fd=fd)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        with self._parent(source) as (source_fd, source_name), self._parent(target) as (target_fd, target_name):
            if not replace or stat.S_ISDIR(os.stat(source_name, dir_fd=source_fd, follow_symlinks=False).st_mode):
                try:
                    os.stat(target_name, dir_fd=target_fd, follow_symlinks=False)
                except FileNotFoundError:
                    pass
                else:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            os.rename(source_name, target_name, src_dir_fd=source_fd, dst_dir_fd=target_fd)

    async def change_mode(self, path: str, mode: int) -> None:
        with self._changeable(path) as handle:
            os.chmod(handle, mode)

    async def set_modified(self, path: str, mtime: float) -> None:
        with self._changeable(path) as handle:
            os.utime(handle, ns=(os.stat(handle).st_atime_ns, round(mtime * 1e9)))

    async def make_link(self, path: str, target: str) -> None:
        depth = path.count("/") - 1
        relative = "../" * depth + (target[1:] or ".")
        with self._parent(path) as (fd, name):
            os.symlink(relative, name, dir_fd=fd)

    async def copy(self, source: str, target: str, *, replace: bool = True) -> None:
        reader = await self.open_read(source)
        try:
            writer = await self.open_write(target, replace=replace, uploader=f"\0copy of {source}")
            try:
                size = reader.info.size
                await _run(size, _copy_bytes, reader.fileno(), writer.fileno(), size)
                os.fchmod(writer.fileno(), reader.info.mode & 0o777)
            except BaseException:
                await writer.abort(keep=False)
                raise
            await writer.commit()
        finally:
            await reader.close()

    async def space(self, path: str) -> Space:
        fd = self._open(path, O_PATH if O_PATH else os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstatvfs(fd)
        finally:
            os.close(fd)
        return Space(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def _require_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
    raise OSError(code, "Not a regular file", path)


def _lock(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "Being uploaded already", path) from None


def _partial_name(name: str, uploader: str) -> str:
    """Name of the unfinished upload of *uploader* to *name*: hidden, the same each time, short enough."""
    encoded = os.fsencode(name)
    key = uploader.encode("utf-8", "surrogateescape") + b"\0" + encoded
    tag = blake2b(key, digest_size=8).hexdigest()
    room = MAX_NAME - len(tag) - len(HIDDEN_SUFFIX) - 2
    return f".{os.fsdecode(encoded[:room])}.{tag}{HIDDEN_SUFFIX}"


def _open_partial(partial: str, directory: int, mode: int, path: str) -> tuple[int, os.stat_result]:
    """Open and lock the unfinished upload; one that is given its final name meanwhile is not taken for it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        fd = os.open(partial, flags, mode, dir_fd=directory)
        try:
            _lock(fd, path)
            status = os.fstat(fd)
            _require_regular(status, path)
            current = os.stat(partial, dir_fd=directory, follow_symlinks=False)
            if current.st_ino == status.st_ino and current.st_dev == status.st_dev:
                return fd, status
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


async def _prepare(
    fd: int, status: os.stat_result, existing: os.stat_result | None, directory: int, name: str, offset: int
) -> int:
    """Bring the unfinished upload *fd* to the state from which it goes on; where its next byte goes.

    *offset* counts bytes of the *existing* file if there is one, else of the unfinished upload; -1 is its end.
    """
    kept = status.st_size
    if existing is None:
        where = kept if offset < 0 else offset
        if where > kept:
            raise OSError(errno.EINVAL, "Offset beyond the end of the file", name)
        if where < kept:
            os.ftruncate(fd, where)
        return where
    if offset > existing.st_size:
        raise OSError(errno.EINVAL, "Offset beyond the end of the file", name)
    if kept:
        os.ftruncate(fd, 0)
    if offset:
        await _copy_head(directory, name, fd, offset)
    return offset


def _unlink_quietly(name: str, directory: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


async def _copy_head(directory: int, name: str, target: int, size: int) -> None:
    """Make the first *size* bytes of the file *name* the content of *target*."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        await _run(size, _copy_bytes, source, target, size)
    finally:
        os.close(source)


def _copy_bytes(source: int, target: int, size: int) -> None:
    position = 0
    in_kernel = hasattr(os, "copy_file_range")
    while position < size:
        count = min(size - position, COPY_CHUNK)
        if in_kernel:
            try:
                moved = os.copy_file_range(source, target, count, position, position)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                in_kernel = False
                continue
        else:
            moved = os.pwrite(target, os.pread(source, min(count, 1 << 20), position), position)
        if moved <= 0:
            raise OSError(errno.EIO, "The file became shorter while it was copied")
        position += moved


async def _run(size: int, function: Callable[..., None], *args: Any) -> None:
    """Call *function* here when it is quick and in a thread when it is not."""
    if size <= SMALL_COPY:
        function(*args)
        return
    task = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        # The thread still uses the descriptors.
        with contextlib.suppress(Exception):
            await task
        raise


class _LocalReader(Reader):
    __slots__ = ("_fd", "_path", "_status")

    def __init__(self, fd: int, path: str, status: os.stat_result) -> None:
        self._fd = fd
        self._path = path
        self._status = status

    @property
    def info(self) -> FileInfo:
        return _info(paths.basename(self._path), self._status)

    @property
    def size(self) -> int:
        return self._status.st_size

    def fileno(self) -> int:
        return self._fd

    async def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    async def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _PlainWriter(Writer):
    """Writes in place."""

    def __init__(self, fd: int, path: str, offset: int) -> None:
        self._fd = fd
        self._path = path
        self.offset = offset
        self._position = offset

    def fileno(self) -> int:
        return self._fd

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, self._position)
            self._position += count
            view = view[count:]

    async def commit(self, *, sync: bool = False) -> None:
        try:
            if sync:
                await asyncio.get_running_loop().run_in_executor(None, os.fsync, self._fd)
        finally:
            self._close()

    async def abort(self, *, keep: bool = True) -> None:
        if not keep:
            os.ftruncate(self._fd, self.offset)
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _AtomicWriter(_PlainWriter):
    """Writes to a hidden file that takes the final name at the end."""

    def __init__(
        self,
        owner: LocalFilesystem,
        fd: int,
        path: str,
        offset: int,
        directory: int,
        ours: bool,
        partial: str,
        name: str,
        *,
        replace: bool,
        keep: bool,
    ) -> None:
        super().__init__(fd, path, offset)
        # The directory may be the owner's, which must not be closed before.
        self._owner = owner
        self._directory = directory
        self._ours = ours
        self._partial = partial
        self._name = name
        self._replace = replace
        self._keep = keep

    async def commit(self, *, sync: bool = False) -> None:
        try:
            if sync:
                await asyncio.get_running_loop().run_in_executor(None, os.fsync, self._fd)
            if self._replace:
                os.rename(self._partial, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            else:
                # link() fails where the name was taken meanwhile; rename() would replace it.
                os.link(self._partial, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                _unlink_quietly(self._partial, self._directory)
            if sync:
                await asyncio.get_running_loop().run_in_executor(None, os.fsync, self._directory)
        except BaseException:
            if not self._keep:
                _unlink_quietly(self._partial, self._directory)
            raise
        finally:
            self._close()

    async def abort(self, *, keep: bool = True) -> None:
        try:
            if not (keep and self._keep) or os.fstat(self._fd).st_size == 0:
                _unlink_quietly(self._partial, self._directory)
        finally:
            self._close()

    def _close(self) -> None:
        super()._close()
        if self._ours:
            os.close(self._directory)
            self._ours = False
