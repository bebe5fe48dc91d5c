"""What one logged-in user can do: the filesystem seen through permissions, quota and hooks.

FTP commands and HTTP requests both act through an :class:`Account`, so that a rule stands in one place. All paths are
virtual and the user's own. What is not allowed raises :class:`PermissionError`; other failures are those of
:mod:`fastxfer.server.filesystem`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, cast

from fastxfer.server import paths
from fastxfer.server.config import UploadsConfig
from fastxfer.server.filesystem import FileInfo, FileKind, Filesystem, Reader, Space, Writer
from fastxfer.server.localfiles import AtomicWriter
from fastxfer.server.localfs import LocalFilesystem
from fastxfer.server.permissions import Permission, Permissions
from fastxfer.server.quota import Quota
from fastxfer.server.users import User

if TYPE_CHECKING:
    from fastxfer.core.xfer import RateLimit

__all__ = ["Account"]

MODE_MASK = 0o777
"""The mode bits that a client can set: never set-user-ID, set-group-ID or sticky."""
MAX_MTIME = 253402300799.0
"""Last second of the year 9999, as far as MDTM can say."""


class Account:
    """A user together with everything that is granted to him.

    Args:
        user: who.
        filesystem: the tree that the user sees, from its root.
        permissions: the user's permissions, already narrowed by the server's.
        uploads: the server's settings for uploads.
        quota: the books of the tree; None if there is no limit.
        download_limits: token buckets that downloads pass (server and user; a session may add its own).
        upload_limits: likewise for uploads.
    """

    __slots__ = (
        "_quota",
        "_uploads",
        "download_limits",
        "filesystem",
        "on_delete",
        "on_rename",
        "permissions",
        "upload_limits",
        "user",
    )

    def __init__(
        self,
        user: User,
        filesystem: Filesystem,
        permissions: Permissions,
        uploads: UploadsConfig,
        *,
        quota: Quota | None = None,
        download_limits: Sequence[RateLimit] = (),
        upload_limits: Sequence[RateLimit] = (),
    ) -> None:
        self.user = user
        self.filesystem = filesystem
        self.permissions = permissions
        self._uploads = uploads
        self._quota = quota
        self.download_limits = tuple(download_limits)
        self.upload_limits = tuple(upload_limits)
        self.on_rename: Callable[[str, str], Awaitable[None]] | None = None
        self.on_delete: Callable[[str], Awaitable[None]] | None = None

    def allows(self, path: str, wanted: Permission) -> bool:
        """Whether *wanted* is allowed at *path*."""
        return self.permissions.allows(path, wanted)

    def require(self, path: str, wanted: Permission) -> None:
        """Raise :class:`PermissionError` unless *wanted* is allowed at *path* and the name is not a hidden one."""
        if not self.permissions.allows(path, wanted):
            raise PermissionError(errno.EACCES, "Not allowed", path)
        suffix = self.filesystem.hidden_suffix
        if suffix and path.endswith(suffix):
            raise PermissionError(errno.EACCES, "Reserved name", path)

    def _require_not_root(self, path: str) -> None:
        if path == paths.ROOT:
            raise PermissionError(errno.EACCES, "Not allowed on the root", path)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """The entry at *path*. Needs LIST or READ there."""
        if not self.permissions.at(path) & (Permission.LIST | Permission.READ):
            raise PermissionError(errno.EACCES, "Not allowed", path)
        self.require(path, Permission.NONE)
        return await self.filesystem.stat(path, follow=follow)

    async def entries(self, path: str) -> Sequence[FileInfo]:
        """The entries of the directory *path*. Needs LIST."""
        self.require(path, Permission.LIST)
        return await self.filesystem.entries(path)

    def open_directory(self, path: str) -> int:
        """As :meth:`Filesystem.open_directory`. Needs LIST."""
        self.require(path, Permission.LIST)
        return self.filesystem.open_directory(path)

    async def open_read(self, path: str) -> Reader:
        """Open a file for reading. Needs READ."""
        self.require(path, Permission.READ)
        return await self.filesystem.open_read(path)

    @property
    def local(self) -> LocalFilesystem | None:
        """The tree, if its files are the machine's and nobody has changed how they are opened."""
        tree = self.filesystem
        return tree if tree.__class__ is LocalFilesystem else None

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """As :meth:`LocalFilesystem.open_file`, where :attr:`local` is that. Needs READ."""
        self.require(path, Permission.READ)
        return cast(LocalFilesystem, self.filesystem).open_file(path)

    def open_upload(self, path: str) -> AtomicWriter | None:
        """As :meth:`LocalFilesystem.open_upload`, where :attr:`local` is that. Needs WRITE; None under a quota."""
        if self._quota is not None or self._uploads.max_size:
            return None
        self._require_not_root(path)
        self.require(path, Permission.WRITE)
        replace = self.permissions.allows(path, Permission.OVERWRITE)
        return cast(LocalFilesystem, self.filesystem).open_upload(path, replace=replace, uploader=self.user.name)

    async def open_write(
        self,
        path: str,
        *,
        offset: int = 0,
        append: bool = False,
        unfinished: bool = False,
        replace: bool = True,
        size: int = -1,
    ) -> Writer:
        """Open a file for writing, as :meth:`Filesystem.open_write`.

        Needs WRITE; APPEND to append; without OVERWRITE a name that is taken is refused. EDQUOT when the quota is
        used up, EFBIG when *size* is over the largest allowed. See :meth:`room` for the bytes that may come.
        """
        self._require_not_root(path)
        self.require(path, Permission.WRITE | Permission.APPEND if append else Permission.WRITE)
        if self._uploads.max_size and size > self._uploads.max_size:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        replace = replace and (append or self.permissions.allows(path, Permission.OVERWRITE))
        quota = self._quota
        if quota is None:
            return await self.filesystem.open_write(
                path,
                offset=offset,
                append=append,
                unfinished=unfinished,
                replace=replace,
                uploader=self.user.name,
                size=size,
            )
        await quota.refresh()
        before = await self._size_of(path)
        if before < 0:
            quota.check(path)
        if size > self.room(max(before, 0)) or (append and quota.room() <= 0):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)
        writer = await self.filesystem.open_write(
            path,
            offset=offset,
            append=append,
            unfinished=unfinished,
            replace=replace,
            uploader=self.user.name,
            size=size,
        )
        return _CountedWriter(writer, quota, path, before, self.filesystem)

    async def _size_of(self, path: str) -> int:
        """Size of the file at *path*, -1 if there is none."""
        try:
            return (await self.filesystem.stat(path)).size
        except (FileNotFoundError, NotADirectoryError):
            return -1

    def room(self, replaced: int = 0) -> int:
        """Most bytes that an upload may have now which takes the place of a file of *replaced* bytes."""
        room = self._uploads.max_size or 1 << 62
        return min(room, self._quota.room() + replaced) if self._quota is not None else room

    @property
    def limited(self) -> bool:
        """Whether uploads must be watched for their size."""
        return bool(self._uploads.max_size) or (self._quota is not None and bool(self._quota.max_bytes))

    async def unfinished_size(self, path: str) -> int:
        """Bytes of an upload of this user to *path* that broke off and may be resumed; -1 if there are none."""
        if not self.permissions.allows(path, Permission.WRITE):
            return -1
        return await self.filesystem.unfinished_size(path, self.user.name)

    async def make_directory(self, path: str) -> None:
        """Make a directory. Needs MKDIR."""
        self._require_not_root(path)
        self.require(path, Permission.MKDIR)
        quota = self._quota
        if quota is not None:
            await quota.refresh()
            quota.check(path)
        await self.filesystem.make_directory(path)
        if quota is not None:
            quota.add(0, 1)

    async def remove_directory(self, path: str) -> None:
        """Remove an empty directory. Needs DELETE."""
        self._require_not_root(path)
        self.require(path, Permission.DELETE)
        await self.filesystem.remove_directory(path)
        if self._quota is not None:
            self._quota.add(0, -1)
        if self.on_delete is not None:
            await self.on_delete(path)

    async def remove(self, path: str) -> None:
        """Remove a file or a symbolic link. Needs DELETE."""
        self._require_not_root(path)
        self.require(path, Permission.DELETE)
        freed = 0
        if self._quota is not None:
            info = await self.filesystem.stat(path, follow=False)
            freed = info.size if info.kind is FileKind.FILE else 0
        await self.filesystem.remove(path)
        if self._quota is not None:
            self._quota.add(-freed, -1)
        if self.on_delete is not None:
            await self.on_delete(path)

    async def remove_tree(self, path: str) -> int:
        """Remove *path* and all below it, links themselves and not what they lead to; how many entries went."""
        self._require_not_root(path)
        if not self.permissions.allows_below(path, Permission.DELETE | Permission.LIST):
            raise PermissionError(errno.EACCES, "Not allowed", path)
        info = await self.filesystem.stat(path, follow=False)
        if not info.is_dir:
            await self.remove(path)
            return 1
        removed = 0
        stack = [path]
        order: list[str] = []
        while stack:
            directory = stack.pop()
            order.append(directory)
            for entry in await self.filesystem.entries(directory):
                child = paths.join(directory, entry.name)
                if entry.is_dir:
                    stack.append(child)
                else:
                    await self.remove(child)
                    removed += 1
        for directory in reversed(order):
            await self.remove_directory(directory)
        return removed + len(order)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        """Move *source* to *target*. Needs RENAME at both, OVERWRITE if a file is there; not *replace* refuses."""
        self._require_not_root(source)
        self._require_not_root(target)
        self.require(source, Permission.RENAME)
        self.require(target, Permission.RENAME)
        if not (
            self.permissions.allows_below(source, Permission.RENAME)
            and self.permissions.allows_below(target, Permission.RENAME)
        ):
            raise PermissionError(errno.EACCES, "Not allowed", source)
        if paths.is_below(target, source) and target != source:
            raise OSError(errno.EINVAL, "A directory cannot be moved into itself", target)
        replace = replace and self.permissions.allows(target, Permission.OVERWRITE)
        replaced = await self._size_of(target) if self._quota is not None and target != source else -1
        await self.filesystem.rename(source, target, replace=replace)
        if self._quota is not None and replaced >= 0:
            self._quota.add(-replaced, -1)
        if self.on_rename is not None:
            await self.on_rename(source, target)

    async def change_mode(self, path: str, mode: int) -> None:
        """Set permission bits 0–0o777. Needs CHMOD; EINVAL for any other bit."""
        self._require_not_root(path)
        self.require(path, Permission.CHMOD)
        if mode & ~MODE_MASK:
            raise OSError(errno.EINVAL, "Mode not allowed", path)
        await self.filesystem.change_mode(path, mode)

    async def set_modified(self, path: str, mtime: float) -> None:
        """Set the time of the last change. Needs CHMOD or WRITE; EINVAL outside the years 1970 to 9999."""
        self.require(path, Permission.NONE)
        if not self.permissions.at(path) & (Permission.CHMOD | Permission.WRITE):
            raise PermissionError(errno.EACCES, "Not allowed", path)
        if not 0 <= mtime <= MAX_MTIME:
            raise OSError(errno.EINVAL, "Time out of range", path)
        await self.filesystem.set_modified(path, mtime)

    async def make_link(self, path: str, target: str) -> None:
        """Make *path* a symbolic link to *target*, both inside the tree. Needs CHMOD and WRITE, READ at *target*.

        Refused to users whose permissions differ by path: a link would lend one path those of another.
        """
        self._require_not_root(path)
        if self.permissions.vary:
            raise PermissionError(errno.EACCES, "No links where permissions differ by path", path)
        self.require(path, Permission.CHMOD | Permission.WRITE)
        self.require(target, Permission.READ)
        await self.filesystem.make_link(path, target)

    async def copy(self, source: str, target: str, *, replace: bool = True) -> None:
        """Copy the file *source* to *target* on the server. Needs READ, WRITE, and OVERWRITE if *target* is there."""
        self._require_not_root(target)
        self.require(source, Permission.READ)
        self.require(target, Permission.WRITE)
        size = (await self.filesystem.stat(source)).size
        if size > self.room():
            raise OSError(errno.EDQUOT if self._quota else errno.EFBIG, "Too large", target)
        quota = self._quota
        before = -1
        if quota is not None:
            await quota.refresh()
            before = await self._size_of(target)
            if before < 0:
                quota.check(target)
        replace = replace and self.permissions.allows(target, Permission.OVERWRITE)
        await self.filesystem.copy(source, target, replace=replace)
        if quota is not None:
            quota.add(size - max(before, 0), int(before < 0))

    async def space(self, path: str) -> Space:
        """Room for this user at *path*: that of the filesystem or of the quota, whichever is less."""
        space = await self.filesystem.space(path)
        quota = self._quota
        if quota is None or not quota.max_bytes:
            return space
        await quota.refresh()
        return Space(min(space.free, quota.room()), min(space.total, quota.max_bytes))


class _CountedWriter(Writer):
    """A writer whose file is entered into the books when it gets its name."""

    def __init__(self, writer: Writer, quota: Quota, path: str, before: int, filesystem: Filesystem) -> None:
        self._writer = writer
        self._quota = quota
        self._path = path
        self._before = before
        self._filesystem = filesystem
        self.offset = writer.offset

    def fileno(self) -> int:
        return self._writer.fileno()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._writer.write(data)

    async def commit(self, *, sync: bool = False) -> None:
        quota = self._quota
        descriptor = self._writer.fileno()
        if descriptor >= 0:
            growth = os.fstat(descriptor).st_size - max(self._before, 0)
            if quota.max_bytes and growth > quota.room():
                await self._writer.abort(keep=False)
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), self._path)
            await self._writer.commit(sync=sync)
        else:
            await self._writer.commit(sync=sync)
            growth = (await self._filesystem.stat(self._path)).size - max(self._before, 0)
        quota.add(growth, int(self._before < 0))

    async def abort(self, *, keep: bool = True) -> None:
        await self._writer.abort(keep=keep)
