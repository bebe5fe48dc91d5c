"""Files of the machine: the fast path, with descriptors that the native engine moves bytes from and to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from fastxfer.core.ftpserve import entry_mode, open_partial
from fastxfer.server import paths
from fastxfer.server.beneath import O_PATH, open_beneath
from fastxfer.server.filesystem import FileInfo, Filesystem, Reader, Space, Writer
from fastxfer.server.holdings import measure
from fastxfer.server.leftovers import sweep
from fastxfer.server.localfiles import (
    HIDDEN_SUFFIX,
    PARTIAL,
    AtomicWriter,
    LocalReader,
    copy_where_quick,
    info_of,
    partial_name,
    prepare_partial,
    remove_partial,
    require_regular,
    unlink_quietly,
    write_in_place,
)
from fastxfer.server.newnames import rename_new
from fastxfer.server.outlast import outlast

__all__ = ["LocalFilesystem"]

T = TypeVar("T")

LIST_TURN = 500
"""Entries of a directory that are read in one turn of the event loop."""


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

    _whole: Filesystem | None = None
    """The filesystem that this one is a part of: it must live as long."""

    def _adopt(self, top: int, atomic: bool, keep_partial: bool, umask: int) -> None:
        self._top = top
        self._atomic = atomic
        self._keep_partial = keep_partial
        self._umask = umask

    @property
    def top(self) -> int:
        """Descriptor of the directory."""
        return self._top

    @property
    def atomic(self) -> bool:
        """Whether uploads take their name at the end."""
        return self._atomic

    @property
    def new_mode(self) -> int:
        """Permissions of new files."""
        return 0o666 & ~self._umask

    def subtree(self, path: str) -> Filesystem:
        if path == paths.ROOT:
            return self
        tree = LocalFilesystem.__new__(LocalFilesystem)
        tree._whole = self
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
            # As _parent, whose context costs as much as all the rest.
            fd, name, ours = self._locate(path)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    return info_of(name, status)
                if not follow:
                    return info_of(name, status, os.readlink(name, dir_fd=fd))
            finally:
                if ours:
                    os.close(fd)
        fd = self._open(path, O_PATH if O_PATH else os.O_RDONLY | os.O_NONBLOCK)
        try:
            return info_of(paths.basename(path), os.fstat(fd))
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
                    except OSError as error:
                        # It was a link when it was looked at, and something else a moment later.
                        if error.errno != errno.EINVAL:
                            raise
                        continue
                    result.append(info_of(name, status, target))
                    if len(result) % LIST_TURN == 0:
                        await asyncio.sleep(0)
            return result
        finally:
            os.close(fd)

    def open_directory(self, path: str) -> int:
        return self._open(path, os.O_RDONLY | os.O_DIRECTORY)

    async def open_read(self, path: str) -> Reader:
        return LocalReader(*self.open_file(path), path)

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """Open the regular file at *path* for reading; its descriptor, which is the caller's, and its status."""
        fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(fd)
            require_regular(status, path)
        except BaseException:
            os.close(fd)
            raise
        return fd, status

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
        return write_in_place(fd, path, -1 if append else offset)

    def open_upload(self, path: str, *, replace: bool, uploader: str) -> AtomicWriter | None:
        """Begin a whole upload without waiting; None where it is one of those that :meth:`open_write` knows better."""
        if not self._atomic:
            return None
        directory, name, ours = self._locate(path)
        try:
            mode = 0o666 & ~self._umask
            existing = entry_mode(directory, name)
            if existing:
                if not (replace and stat.S_ISREG(existing)):
                    return None
                mode = existing & 0o777
            partial = partial_name(name, uploader)
            fd, kept, permissions = open_partial(directory, partial, mode)
            try:
                if kept:
                    os.ftruncate(fd, 0)
                if existing and mode != permissions:
                    os.fchmod(fd, mode)
            except BaseException:
                unlink_quietly(partial, directory)
                os.close(fd)
                raise
            held, ours = ours, False
            return AtomicWriter(
                self, fd, path, 0, directory, held, partial, name, replace=replace, keep=self._keep_partial
            )
        finally:
            if ours:
                os.close(directory)

    def adopt_upload(
        self, path: str, fd: int, directory: int, partial: str, name: str, *, replace: bool
    ) -> AtomicWriter:
        """The writer of an upload that was begun as by :meth:`open_upload` in *directory*, perhaps :attr:`top`."""
        ours = directory != self._top
        return AtomicWriter(self, fd, path, 0, directory, ours, partial, name, replace=replace, keep=self._keep_partial)

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
                require_regular(existing, path)
                if not replace:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
                if append:
                    return self._append_to(directory, name, path)
            # What is appended to nothing does not take the place of what comes meanwhile.
            replace = replace and not append
            partial = partial_name(name, uploader)
            fd, kept, permissions = open_partial(directory, partial, 0o666 & ~self._umask)
            try:
                # Before the bytes: whoever may not read the file must not read what is to take its place either.
                if existing is not None and (mode := stat.S_IMODE(existing.st_mode) & 0o777) != permissions:
                    os.fchmod(fd, mode)
                base = None if unfinished else existing
                where = await prepare_partial(fd, kept, base, directory, name, -1 if append else offset)
            except BaseException:
                if os.fstat(fd).st_size == 0:
                    unlink_quietly(partial, directory)
                os.close(fd)
                raise
            held, ours = ours, False
            return AtomicWriter(
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
        return write_in_place(fd, path, -1 if append else offset)

    def _append_to(self, directory: int, name: str, path: str) -> Writer:
        fd = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        return write_in_place(fd, path, -1)

    @property
    def keeps_unfinished(self) -> bool:
        return self._atomic and self._keep_partial

    async def unfinished_size(self, path: str, uploader: str) -> int:
        if not self.keeps_unfinished:
            return -1
        try:
            with self._parent(path) as (fd, name):
                return os.stat(partial_name(name, uploader), dir_fd=fd, follow_symlinks=False).st_size
        except OSError:
            return -1

    async def discard_unfinished(self, path: str, uploader: str) -> int:
        try:
            with self._parent(path) as (fd, name):
                return remove_partial(partial_name(name, uploader), fd)
        except (FileNotFoundError, NotADirectoryError):
            return -1

    async def measure(self) -> tuple[int, int]:
        return await self._walk(measure)

    async def sweep_unfinished(self, age: float) -> int:
        return await self._walk(lambda top, stopped: sweep(top, age, stopped))

    async def _walk(self, walk: Callable[[int, Callable[[], bool]], T]) -> T:
        """Carry out *walk* over the tree in a thread; it is told when it has become needless."""
        stopped = threading.Event()
        top = os.dup(self._top)
        try:
            return await outlast(
                asyncio.get_running_loop().run_in_executor(None, walk, top, stopped.is_set), stopped.set
            )
        finally:
            os.close(top)

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
            if not all(PARTIAL.fullmatch(entry) for entry in names):
                return False
            for entry in names:
                with contextlib.suppress(FileNotFoundError):
                    remove_partial(entry, fd)
            return True
        finally:
            os.close(fd)

    async def remove(self, path: str) -> None:
        with self._parent(path) as (fd, name):
            os.unlink(name, dir_fd=fd)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        directory, _, new_name = target[1:].rpartition("/")
        with self._parent(source) as (fd, name):
            if new_name and directory == source[1:].rpartition("/")[0]:
                _rename(fd, name, fd, new_name, replace)
                return
            with self._parent(target) as (target_fd, target_name):
                _rename(fd, name, target_fd, target_name, replace)

    async def change_mode(self, path: str, mode: int) -> None:
        with self._changeable(path) as handle:
            os.chmod(handle, mode)

    async def set_modified(self, path: str, mtime: float) -> None:
        with self._changeable(path) as handle:
            os.utime(handle, ns=(os.stat(handle).st_atime_ns, round(mtime * 1e9)))

    async def make_link(self, path: str, target: str) -> None:
        with self._parent(path) as (fd, name):
            os.symlink("../" * self._depth(fd) + (target[1:] or "."), name, dir_fd=fd)

    def _depth(self, directory: int) -> int:
        """How many levels *directory* (a descriptor) lies below the top: where a link led to it, its path lies."""
        top = os.fstat(self._top)
        status = os.fstat(directory)
        here = os.dup(directory)
        try:
            for depth in range(paths.MAX_PATH):
                if os.path.samestat(status, top):
                    return depth
                above = os.open("..", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here, below = above, status
                status = os.fstat(here)
                if os.path.samestat(status, below):
                    break
        finally:
            os.close(here)
        raise OSError(errno.EXDEV, "Not below the top any more")

    async def copy(
        self,
        source: str,
        target: str,
        *,
        replace: bool = True,
        through: Callable[[Writer], Writer] = lambda writer: writer,
    ) -> None:
        """As :meth:`Filesystem.copy`; what *through* makes of the writer is used in its place."""
        reader = await self.open_read(source)
        try:
            if self._is(target, os.fstat(reader.fileno())):
                # By a link, say: opening it to write would empty what is to be read.
                raise OSError(errno.EINVAL, "A file cannot be copied onto itself", target)
            writer = through(await self.open_write(target, replace=replace, uploader=f"\0copy of {source}"))
            try:
                size = reader.info.size
                writer.claim(size)
                # Before the bytes: whoever may not read the one must not read the other for a moment either.
                os.fchmod(writer.fileno(), reader.info.mode & 0o777)
                await copy_where_quick(reader.fileno(), writer.fileno(), size)
            except BaseException:
                await writer.abort(keep=False)
                raise
            await writer.commit()
        finally:
            await reader.close()

    def _is(self, path: str, status: os.stat_result) -> bool:
        """Whether *path*, links followed, is the file of *status*."""
        try:
            fd = self._open(path, O_PATH if O_PATH else os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            return os.path.samestat(os.fstat(fd), status)
        finally:
            os.close(fd)

    async def space(self, path: str) -> Space:
        fd = self._open(path, O_PATH if O_PATH else os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstatvfs(fd)
        finally:
            os.close(fd)
        return Space(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def _rename(source: int, name: str, target: int, new_name: str, replace: bool) -> None:
    """Give the entry *name* of one directory *new_name* in another; a directory replaces nothing."""
    is_directory = stat.S_ISDIR(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode)
    if replace and not is_directory:
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
    else:
        rename_new(name, new_name, source, target)
