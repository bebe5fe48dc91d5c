"""What one logged-in user can do: the filesystem seen through permissions, quota and hooks.

FTP commands and HTTP requests both act through an :class:`Account`, so that a rule stands in one place. All paths are
virtual and the user's own. What is not allowed raises :class:`PermissionError`; other failures are those of
:mod:`fastxfer.server.filesystem`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from fastxfer.server import paths
from fastxfer.server.config import UploadsConfig
from fastxfer.server.countedwriter import CountedWriter
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
REMOVE_TURN = 50
"""Entries of a tree that are removed in one turn of the event loop."""
_SETS_TIMES = Permission.CHMOD | Permission.WRITE
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
        if not self.permissions.allows_any(path, Permission.READ_ONLY):
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
        if not self.uploads_at_will:
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
        used up, EFBIG when *size* is over the largest allowed. Where the account is :attr:`limited`, whoever fills the
        writer's descriptor himself must tell it how far he is: see :meth:`Writer.claim`.
        """
        self._require_not_root(path)
        self.require(path, Permission.WRITE | Permission.APPEND if append else Permission.WRITE)
        if self._uploads.max_size and size > self._uploads.max_size:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        replace = replace and (append or self.permissions.allows(path, Permission.OVERWRITE))
        before = kept = -1
        quota = self._quota
        if quota is not None:
            await quota.refresh()
            before = await self._size_of(path)
            kept = await self.filesystem.unfinished_size(path, self.user.name)
            room = quota.room()
            if size > room + max(before, 0) + max(kept, 0) or (room <= 0 and (append or max(before, kept) < 0)):
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)
        new = int(before < 0 and kept < 0)
        if quota is not None:
            quota.take(0, new, path)
        try:
            writer = await self.filesystem.open_write(
                path,
                offset=offset,
                append=append,
                unfinished=unfinished,
                replace=replace,
                uploader=self.user.name,
                size=size,
            )
        except BaseException:
            if quota is not None:
                quota.add(0, -new)
            raise
        if quota is None and not self._uploads.max_size:
            return writer
        return self._counted(writer, path, self.user.name, before, kept)

    def _counted(self, writer: Writer, path: str, uploader: str, before: int, kept: int) -> CountedWriter:
        return CountedWriter(
            writer,
            self.filesystem,
            path,
            uploader,
            before=before,
            kept=kept,
            quota=self._quota,
            max_size=self._uploads.max_size,
        )

    async def _size_of(self, path: str) -> int:
        """Size of the file at *path*, -1 if there is none."""
        try:
            return (await self.filesystem.stat(path)).size
        except (FileNotFoundError, NotADirectoryError):
            return -1

    @property
    def max_size(self) -> int:
        """Largest file that may be uploaded, bytes; 0 for any."""
        return self._uploads.max_size

    @property
    def uploads_at_will(self) -> bool:
        """Whether neither a quota nor a largest size is set."""
        return self._quota is None and not self._uploads.max_size

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
        await self._add_entry(path, self.filesystem.make_directory(path))

    async def _add_entry(self, path: str, work: Coroutine[Any, Any, None]) -> None:
        """Do *work*, which makes an entry without bytes at *path*, if there is room for it."""
        quota = self._quota
        if quota is None:
            await work
            return
        try:
            await quota.refresh()
            if quota.room() <= 0:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)
            quota.take(0, 1, path)
        except BaseException:
            work.close()
            raise
        try:
            await work
        except BaseException:
            quota.add(0, -1)
            raise

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
        """Remove a file or a link; where there is none, what a broken upload of this user has left. Needs DELETE."""
        self._require_not_root(path)
        self.require(path, Permission.DELETE)
        quota = self._quota
        freed = 0
        try:
            if quota is not None:
                freed = (await self._entry(path))[0]
            await self.filesystem.remove(path)
        except FileNotFoundError:
            freed = await self.filesystem.discard_unfinished(path, self.user.name)
            if freed < 0:
                raise
            if quota is not None:
                quota.add(-freed, -1)
            return
        if quota is not None:
            quota.add(-freed, -1)
        if self.on_delete is not None:
            await self.on_delete(path)

    async def remove_tree(self, path: str) -> int:
        """Remove *path* and all below it, links themselves and not what they lead to; how many entries went.

        Others have their turns meanwhile, and may remove some of it themselves.
        """
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
            try:
                entries = await self.filesystem.entries(directory)
            except FileNotFoundError:
                entries = ()
            for number, entry in enumerate(entries, 1):
                child = paths.join(directory, entry.name)
                if entry.is_dir:
                    stack.append(child)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        await self.remove(child)
                        removed += 1
                if number % REMOVE_TURN == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
        for number, directory in enumerate(reversed(order), 1):
            with contextlib.suppress(FileNotFoundError):
                await self.remove_directory(directory)
                removed += 1
            if number % REMOVE_TURN == 0:
                await asyncio.sleep(0)
        return removed

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
        quota = self._quota
        freed = None
        if quota is not None:
            freed = await self._freed(source, target)
        await self.filesystem.rename(source, target, replace=replace)
        if quota is not None and freed is not None:
            quota.add(-freed, -1)
        if self.on_rename is not None:
            await self.on_rename(source, target)

    async def _entry(self, path: str) -> tuple[int, str]:
        """Bytes that go when the entry itself is removed, and what is the same for two names of one file."""
        info = await self.filesystem.stat(path, follow=False)
        return (info.size if info.kind is FileKind.FILE else 0), info.unique

    async def _freed(self, source: str, target: str) -> int | None:
        """Bytes that go when *source* takes the name *target*; None where no entry goes."""
        if source == target:
            return None
        try:
            freed, unique = await self._entry(target)
        except (FileNotFoundError, NotADirectoryError):
            return None
        # Renaming one name of a file to another one of the same file does nothing (rename(2)).
        return None if unique and unique == (await self._entry(source))[1] else freed

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
        if not self.permissions.allows_any(path, _SETS_TIMES):
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
        await self._add_entry(path, self.filesystem.make_link(path, target))

    async def copy(self, source: str, target: str, *, replace: bool = True) -> None:
        """Copy the file *source* to *target* on the server. Needs READ, WRITE, and OVERWRITE if *target* is there."""
        self._require_not_root(target)
        self.require(source, Permission.READ)
        self.require(target, Permission.WRITE)
        size = (await self.filesystem.stat(source)).size
        if self._uploads.max_size and size > self._uploads.max_size:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), target)
        replace = replace and self.permissions.allows(target, Permission.OVERWRITE)
        quota = self._quota
        if quota is None:
            await self.filesystem.copy(source, target, replace=replace)
            return
        await quota.refresh()
        before = await self._size_of(target)
        if size > quota.room() + max(before, 0) or (before < 0 and quota.room() <= 0):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), target)
        new = int(before < 0)
        local = self.local
        if local is None:
            # The bytes move out of sight: reserve them all.
            more = size - max(before, 0)
            quota.take(more, new, target)
            try:
                await self.filesystem.copy(source, target, replace=replace)
            except BaseException:
                quota.add(-more, -new)
                raise
            return
        quota.take(0, new, target)
        counted: list[Writer] = []

        def through(writer: Writer) -> Writer:
            counted.append(self._counted(writer, target, f"\0copy of {source}", before, -1))
            return counted[0]

        try:
            await local.copy(source, target, replace=replace, through=through)
        except BaseException:
            if not counted:
                quota.add(0, -new)
            raise

    async def space(self, path: str) -> Space:
        """Room for this user at *path*: that of the filesystem or of the quota, whichever is less."""
        space = await self.filesystem.space(path)
        quota = self._quota
        if quota is None or not quota.max_bytes:
            return space
        await quota.refresh()
        return Space(min(space.free, quota.room()), min(space.total, quota.max_bytes))
