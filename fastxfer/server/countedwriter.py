"""An upload under a quota or a largest size: what it takes on the disk stands in the books from its first byte on."""

from __future__ import annotations

import errno
import os

from fastxfer.server.filesystem import FileKind, Filesystem, Writer
from fastxfer.server.localfiles import AtomicWriter
from fastxfer.server.quota import Quota

__all__ = ["CountedWriter"]


class CountedWriter(Writer):
    """Enters the bytes of *writer* into the books as they come, and in the end exactly what is left of them.

    The books follow the disk: an unfinished upload counts like a file, whether it is under way or was broken off. Only
    the file that is to be replaced gives its bytes back beforehand; what really was replaced is found out when the
    new file takes its name, since others may have removed the old one by then.

    Args:
        writer: open for the file.
        filesystem: the tree.
        path: the final name.
        uploader: who writes.
        before: bytes of the file that was there when *writer* was opened, -1 if there was none.
        kept: bytes of the unfinished upload that goes on or begins anew, -1 if there was none.
        quota: the books, in which a new name is entered already; None: there is a largest size only.
        max_size: largest file, 0 for any.
    """

    def __init__(
        self,
        writer: Writer,
        filesystem: Filesystem,
        path: str,
        uploader: str,
        *,
        before: int,
        kept: int,
        quota: Quota | None,
        max_size: int,
    ) -> None:
        self._writer = writer
        self._filesystem = filesystem
        self._path = path
        self._uploader = uploader
        self._quota = quota
        self._max_size = max_size
        self._replaced = max(before, 0)
        self._new = before < 0
        self._written = 0
        self._size = writer.offset
        self._refused = False
        self._ended = False
        self._counted = quota.counted if quota is not None else 0.0
        # What the books hold of this upload, beside the file that was there.
        self._bytes = 0 if writer.in_place else max(kept, 0)
        self._entries = int(self._new or (kept >= 0 and not writer.in_place))
        self.in_place = writer.in_place
        self.offset = writer.offset
        if isinstance(writer, AtomicWriter):
            writer.counted = quota is not None

    def fileno(self) -> int:
        return self._writer.fileno()

    def largest(self) -> int | None:
        limit = self._max_size or None
        quota = self._quota
        if quota is None or not quota.max_bytes:
            return limit
        most = self._replaced + self._bytes + quota.room()
        return most if limit is None else min(most, limit)

    def claim(self, size: int) -> None:
        if self._max_size and size > self._max_size:
            self._refused = True
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), self._path)
        quota = self._quota
        if quota is None:
            return
        self._look_for_a_recount(quota)
        more = size - self._replaced - self._bytes
        if more > 0:
            try:
                quota.take(more, 0, self._path)
            except OSError:
                self._refused = True
                raise
            self._bytes += more
        self._size = size

    def _look_for_a_recount(self, quota: Quota) -> None:
        """Whoever has counted the tree has counted all of the unfinished upload."""
        if quota.counted != self._counted:
            self._counted = quota.counted
            if not self.in_place:
                self._bytes = max(self._bytes, self._size)
                self._entries = 1

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        count = memoryview(data).nbytes
        self.claim(self.offset + self._written + count)
        await self._writer.write(data)
        self._written += count

    def _now(self) -> int:
        """How long the file is."""
        descriptor = self._writer.fileno()
        return os.fstat(descriptor).st_size if descriptor >= 0 else self.offset + self._written

    async def sync(self) -> None:
        await self._writer.sync()

    async def commit(self, *, sync: bool = False) -> None:
        size = self._now()
        writer = self._writer
        replaced = -1
        if self._quota is not None and not self.in_place:
            replaced = await self._there()
            self._replaced = max(replaced, 0)
        try:
            self.claim(size)
        except OSError:
            await self.abort(keep=False)
            raise
        self._ended = True
        try:
            await writer.commit(sync=sync)
        except BaseException:
            await self._settle_unfinished()
            raise
        if self.in_place:
            self._settle(size - self._replaced, int(self._new))
            return
        if isinstance(writer, AtomicWriter):
            replaced = writer.replaced
        self._settle(size - max(replaced, 0), int(replaced < 0))

    async def _there(self) -> int:
        """Bytes that go with the entry of the final name, -1 if there is none."""
        try:
            info = await self._filesystem.stat(self._path, follow=False)
        except OSError:
            return -1
        return info.size if info.kind is FileKind.FILE else 0

    async def abort(self, *, keep: bool = True) -> None:
        if self._ended:
            return
        self._ended = True
        keep = keep and not self._refused
        if self.in_place:
            size = self._now()
            size = size if keep else min(size, self.offset)
            try:
                await self._writer.abort(keep=keep)
            finally:
                self._settle(size - self._replaced, int(self._new))
            return
        try:
            await self._writer.abort(keep=keep and self._cut())
        finally:
            await self._settle_unfinished()

    def _cut(self) -> bool:
        """Shorten what is to be kept to what there is room for; False where that is nothing."""
        quota = self._quota
        if quota is None:
            return True
        self._look_for_a_recount(quota)
        if not self._entries:
            if quota.max_files and quota.files >= quota.max_files:
                return False
            quota.add(0, 1)
            self._entries = 1
        size = self._now()
        most = self._bytes + quota.room()
        if size > most:
            if not most or self._writer.fileno() < 0:
                return False
            os.ftruncate(self._writer.fileno(), most)
        return True

    async def _settle_unfinished(self) -> None:
        """Enter what is left under the hidden name."""
        if self._quota is not None:
            left = await self._filesystem.unfinished_size(self._path, self._uploader)
            self._settle(max(left, 0), int(left >= 0))

    def _settle(self, size: int, entries: int) -> None:
        quota = self._quota
        if quota is not None:
            self._look_for_a_recount(quota)
            quota.add(size - self._bytes, entries - self._entries)
            self._bytes, self._entries = size, entries
