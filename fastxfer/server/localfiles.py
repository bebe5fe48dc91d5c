"""Open files of the machine: read, written in place, or written beside the final name and renamed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import re
import stat
import threading
from collections.abc import Callable
from hashlib import blake2b

from fastxfer.core.ftpserve import land
from fastxfer.server import paths
from fastxfer.server.filesystem import FileInfo, FileKind, Filesystem, Reader, Writer
from fastxfer.server.newnames import rename_new
from fastxfer.server.outlast import outlast

try:
    import fcntl
    import grp
    import pwd
except ImportError as error:  # pragma: no cover
    raise ImportError("fastxfer.server.LocalFilesystem needs a POSIX system") from error

__all__ = [
    "HIDDEN_SUFFIX",
    "PARTIAL",
    "AtomicWriter",
    "LocalReader",
    "PlainWriter",
    "copy_where_quick",
    "info_of",
    "lock_file",
    "partial_name",
    "partial_names",
    "prepare_partial",
    "remove_partial",
    "require_regular",
    "unlink_quietly",
    "write_in_place",
]

HIDDEN_SUFFIX = ".fxpart"
_HIDDEN_SUFFIX = HIDDEN_SUFFIX.encode()
PARTIAL = re.compile(rf"\..*\.[0-9a-f]{{16}}{re.escape(HIDDEN_SUFFIX)}", re.DOTALL)
"""Names of unfinished uploads; others that end so are somebody's files, hidden too."""
COPY_CHUNK = 8 << 20
COPY_TURN = 32 << 20
"""Bytes after which a copy lets others have its thread."""
SMALL_COPY = 1 << 20
"""Copies up to this size are made on the event loop, larger ones in a thread."""
MAX_NAME = 255
PARTIAL_ROOM = MAX_NAME - 16 - len(HIDDEN_SUFFIX) - 2
"""Bytes of a name that are repeated in that of its unfinished upload, beside a tag of 16 digits and two dots."""


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


def info_of(name: str, status: os.stat_result, target: str = "") -> FileInfo:
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


def require_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
    raise OSError(code, "Not a regular file", path)


def lock_file(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "Being uploaded already", path) from None


@functools.lru_cache(maxsize=1024)
def partial_names(uploader: str) -> Callable[[bytes], bytes]:
    """What gives the unfinished uploads of *uploader* their names: hidden, the same each time, short enough."""
    begun = blake2b(b"%b\0" % uploader.encode("utf-8", "surrogateescape"), digest_size=8)

    def partial(name: bytes) -> bytes:
        tag = begun.copy()
        tag.update(name)
        return b".%b.%b%b" % (name[:PARTIAL_ROOM], tag.hexdigest().encode(), _HIDDEN_SUFFIX)

    return partial


def partial_name(name: str, uploader: str) -> str:
    """Name of the unfinished upload of *uploader* to *name*."""
    return os.fsdecode(partial_names(uploader)(os.fsencode(name)))


def remove_partial(partial: str, directory: int, latest: float = float("inf")) -> int:
    """Remove the unfinished upload *partial*, if it was last written before *latest*; its size.

    Raises:
        OSError: EBUSY: it is being written; ENOENT: it is gone, or has got its final name meanwhile; EAGAIN: it was
            written after *latest*.
    """
    fd = os.open(partial, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        lock_file(fd, partial)
        status = os.fstat(fd)
        require_regular(status, partial)
        if status.st_mtime >= latest:
            raise BlockingIOError(errno.EAGAIN, "Written lately", partial)
        # It may have been given its final name, and the name to another upload, before it was locked.
        if not os.path.samestat(os.stat(partial, dir_fd=directory, follow_symlinks=False), status):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), partial)
        os.unlink(partial, dir_fd=directory)
        return status.st_size
    finally:
        os.close(fd)


async def prepare_partial(
    fd: int, kept: int, existing: os.stat_result | None, directory: int, name: str, offset: int
) -> int:
    """Bring the unfinished upload *fd* of *kept* bytes to the state from which it goes on; where its next byte goes.

    *offset* counts bytes of the *existing* file if there is one, else of the unfinished upload; -1 is its end.
    """
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
        await copy_head(directory, name, fd, offset)
    return offset


def unlink_quietly(name: str, directory: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


async def copy_head(directory: int, name: str, target: int, size: int) -> None:
    """Make the first *size* bytes of the file *name* the content of *target*."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        await copy_where_quick(source, target, size)
    finally:
        os.close(source)


def copy_bytes(source: int, target: int, position: int, stop: int, stopped: Callable[[], bool] = lambda: False) -> None:
    """Copy the bytes from *position* to before *stop* of *source* to *target*; ECANCELED once *stopped* says so."""
    in_kernel = hasattr(os, "copy_file_range")
    while position < stop:
        if stopped():
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
        count = min(stop - position, COPY_CHUNK)
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


async def copy_where_quick(source: int, target: int, size: int) -> None:
    """Copy the first *size* bytes: here when it is quick, else in a thread, which ends soon after a cancellation.

    A large file makes way after each :data:`COPY_TURN`: others need the threads too.
    """
    if size <= SMALL_COPY:
        copy_bytes(source, target, 0, size)
        return
    loop = asyncio.get_running_loop()
    stopped = threading.Event()
    for start in range(0, size, COPY_TURN):
        stop = min(start + COPY_TURN, size)
        work = loop.run_in_executor(None, copy_bytes, source, target, start, stop, stopped.is_set)
        await outlast(work, stopped.set)


async def sync_to_disk(fd: int) -> None:
    """Wait until what was written to *fd* is on the disk."""
    await outlast(asyncio.get_running_loop().run_in_executor(None, os.fsync, fd))


class LocalReader(Reader):
    __slots__ = ("_fd", "_path", "_status")

    def __init__(self, fd: int, status: os.stat_result, path: str) -> None:
        self._fd = fd
        self._status = status
        self._path = path

    @property
    def info(self) -> FileInfo:
        return info_of(paths.basename(self._path), self._status)

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


class PlainWriter(Writer):
    """Writes in place."""

    in_place = True

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
                await sync_to_disk(self._fd)
        finally:
            self._close()

    async def abort(self, *, keep: bool = True) -> None:
        try:
            if not keep and self._fd >= 0:
                os.ftruncate(self._fd, self.offset)
        finally:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_in_place(fd: int, path: str, offset: int) -> PlainWriter:
    """A writer of the file *fd*, locked and cut at *offset*, where it goes on; -1 is the end. Closes what it refuses.

    Raises:
        OSError: EBUSY: it is being written; EISDIR, EINVAL: it is no file, or ends before *offset*.
    """
    try:
        require_regular(os.fstat(fd), path)
        lock_file(fd, path)
        # Before it was locked, others may have written to it.
        size = os.fstat(fd).st_size
        where = size if offset < 0 else offset
        if where > size:
            raise OSError(errno.EINVAL, "Offset beyond the end of the file", path)
        if where < size:
            os.ftruncate(fd, where)
    except BaseException:
        os.close(fd)
        raise
    return PlainWriter(fd, path, where)


class AtomicWriter(PlainWriter):
    """Writes to a hidden file that takes the final name at the end.

    Attributes:
        counted: whether *replaced* is asked for.
        replaced: after the commit, the size of the file whose name was taken over; -1 if there was none.
    """

    in_place = False

    def __init__(
        self,
        owner: Filesystem,
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
        self.counted = False
        self.replaced = -1
        self._synced = False

    async def sync(self) -> None:
        await sync_to_disk(self._fd)
        self._synced = True

    async def commit(self, *, sync: bool = False) -> None:
        if not sync:
            self.commit_now()
            return
        directory = os.dup(self._directory)
        try:
            try:
                if not self._synced:
                    await sync_to_disk(self._fd)
            except BaseException:
                self._give_up()
                raise
            self.commit_now()
            await sync_to_disk(directory)
        finally:
            os.close(directory)

    def commit_now(self) -> None:
        """As :meth:`commit` without *sync*."""
        try:
            self._name_it()
        except BaseException:
            self._give_up()
            raise
        self._close()

    def land(self, connection: int, control: int, reply: bytes) -> int:
        """As :meth:`commit_now`; then send *reply* by *control*, and close the data *connection*.

        Returns:
            How much of the reply was sent; -1 where nothing was done: it takes more than a call.
        """
        if not self._replace or self.counted:
            return -1
        try:
            sent = land(self._directory, self._partial, self._name, self._fd, connection, control, reply)
        except BaseException:
            self._give_up()
            raise
        self._fd = -1
        self._close()
        return sent

    def _name_it(self) -> None:
        if not self._replace:
            rename_new(self._partial, self._name, self._directory, self._directory)
            return
        if self.counted:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
                self.replaced = status.st_size if stat.S_ISREG(status.st_mode) else 0
        os.rename(self._partial, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def _give_up(self) -> None:
        """Close what cannot have its name; it can be resumed where that is wanted."""
        if not self._keep:
            unlink_quietly(self._partial, self._directory)
        self._close()

    async def abort(self, *, keep: bool = True) -> None:
        self.abort_now(keep=keep)

    def abort_now(self, *, keep: bool = True) -> None:
        """As :meth:`abort`; nothing more after a commit that has failed."""
        if self._fd < 0:
            return
        try:
            if not (keep and self._keep) or os.fstat(self._fd).st_size == 0:
                unlink_quietly(self._partial, self._directory)
        finally:
            self._close()

    def _close(self) -> None:
        super()._close()
        if self._ours:
            os.close(self._directory)
            self._ours = False
