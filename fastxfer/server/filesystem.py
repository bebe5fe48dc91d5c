"""What the server asks of the thing that holds the files.

All paths are virtual (see :mod:`fastxfer.server.paths`). Failures are :class:`OSError` with the errno that says why
(ENOENT, EACCES, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ENOSPC, EDQUOT, EXDEV …); an operation that a filesystem does not
have raises ENOTSUP. An implementation must bear calls for different paths at the same time, and never follow a
symbolic link out of its tree.
"""

from __future__ import annotations

import enum
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from fastxfer.server import paths

__all__ = ["NO_ROOM", "FileInfo", "FileKind", "Filesystem", "Reader", "Space", "Subtree", "Writer"]

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Why nothing of a broken upload is kept: nobody could go on with it, and it takes room that others have not."""


class FileKind(enum.Enum):
    """What an entry is; the values are those of the ``type`` fact (RFC 3659 section 7.5.1) or of its OS extension."""

    FILE = "file"
    DIRECTORY = "dir"
    LINK = "OS.unix=symlink"
    OTHER = "OS.unix=other"


class FileInfo(NamedTuple):
    """One entry of a directory."""

    name: str
    """Last component of the path; undecodable bytes as surrogate escapes."""
    kind: FileKind
    size: int = 0
    """Bytes."""
    mtime: float = 0.0
    """Time of the last change of the content, seconds since the epoch."""
    mode: int = 0o644
    """Permission bits, without the file type."""
    owner: str = "ftp"
    group: str = "ftp"
    links: int = 1
    target: str = ""
    """Where a LINK points to, as it is written in the link."""
    unique: str = ""
    """Identity of the content's place, for the ``unique`` fact; empty if there is none."""

    @property
    def is_dir(self) -> bool:
        return self.kind is FileKind.DIRECTORY

    @property
    def is_file(self) -> bool:
        return self.kind is FileKind.FILE


class Space(NamedTuple):
    """Room on a filesystem, bytes."""

    free: int
    total: int


class Reader(ABC):
    """An open file to be read. Close it; use it as an async context manager where that is handy."""

    @property
    @abstractmethod
    def info(self) -> FileInfo:
        """The file as it was when it was opened."""

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self.info.size

    def fileno(self) -> int:
        """Descriptor of a regular local file that may be read with pread or sendfile, or -1."""
        return -1

    @abstractmethod
    async def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*; empty at the end of the file."""

    @abstractmethod
    async def close(self) -> None: ...

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Writer(ABC):
    """A file being written. End it with exactly one of :meth:`commit` and :meth:`abort`."""

    offset: int
    """Where the next byte goes: 0, or where a resumed or appended upload goes on."""
    in_place: bool = False
    """Whether the file changes with each byte, and does not wait for :meth:`commit`."""

    def fileno(self) -> int:
        """Descriptor of a regular local file that takes bytes from ``offset`` on, or -1."""
        return -1

    def largest(self) -> int | None:
        """Most bytes that the file may have, as things stand; None where there is no limit."""
        return None

    def claim(self, size: int) -> None:  # noqa: B027 - without limits there is nothing to be entered
        """Whoever fills :meth:`fileno` himself says that the file has, or is about to have, *size* bytes.

        Raises:
            OSError: EDQUOT or EFBIG: it may not, and the upload must be aborted.
        """

    @abstractmethod
    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add *data* at the end of what was written."""

    async def sync(self) -> None:  # noqa: B027 - what has no disk has nothing to wait for
        """Wait until all is on the disk; a :meth:`commit` with *sync* that follows has only the name left to do."""

    @abstractmethod
    async def commit(self, *, sync: bool = False) -> None:
        """Close, and give the file its final name; with *sync*, only after the bytes are on the disk."""

    @abstractmethod
    async def abort(self, *, keep: bool = True) -> None:
        """Close without touching the final name; *keep* what was written so that it can be resumed, or discard it."""


class Filesystem(ABC):
    """A tree of files and directories."""

    hidden_suffix: str = ""
    """Names that end so belong to unfinished uploads: clients never see them. Empty: there are none."""

    @abstractmethod
    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """The entry at *path*; of a symbolic link, what it leads to if *follow*."""

    @abstractmethod
    async def entries(self, path: str) -> Sequence[FileInfo]:
        """The entries of the directory *path*, unsorted, links not followed, unfinished uploads left out."""

    @abstractmethod
    async def open_read(self, path: str) -> Reader:
        """Open the regular file at *path*. EINVAL for a FIFO, device or socket, EISDIR for a directory."""

    @abstractmethod
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
        """Begin to write the regular file at *path*.

        Args:
            path: the final name.
            offset: resume: keep this many bytes of the file, or of the unfinished upload where there is no file of the
                name, and go on behind them; EINVAL where there are not so many.
            append: go on behind the last byte of the file, or of its unfinished upload.
            unfinished: *offset* counts bytes of the unfinished upload even where there is a file of the name.
            replace: False refuses (EEXIST) a name that is taken.
            uploader: who writes; unfinished uploads of others are not resumed.
            size: expected size, bytes; -1 if unknown. EBUSY while the same uploader already writes this name.
        """

    @property
    def keeps_unfinished(self) -> bool:
        """Whether what a broken upload has brought is kept, so that :meth:`unfinished_size` can tell of it."""
        return False

    async def unfinished_size(self, path: str, uploader: str) -> int:
        """Bytes kept of an upload of *uploader* to *path* that broke off; -1 if there are none."""
        return -1

    async def discard_unfinished(self, path: str, uploader: str) -> int:
        """Remove what :meth:`unfinished_size` tells of; how many bytes that were, -1 if there was nothing.

        EBUSY while it is being written.
        """
        return -1

    async def measure(self) -> tuple[int, int]:
        """Bytes of all files, unfinished uploads included, and number of all entries in the tree."""
        total = count = 0
        pending = [paths.ROOT]
        while pending:
            directory = pending.pop()
            try:
                entries = await self.entries(directory)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            for entry in entries:
                count += 1
                if entry.kind is FileKind.DIRECTORY:
                    pending.append(paths.join(directory, entry.name))
                elif entry.kind is FileKind.FILE:
                    total += entry.size
        return total, count

    async def sweep_unfinished(self, age: float) -> int:
        """Remove what broken uploads have left and nobody has written for *age* seconds; how many there were."""
        return 0

    @abstractmethod
    async def make_directory(self, path: str) -> None: ...

    @abstractmethod
    async def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""

    @abstractmethod
    async def remove(self, path: str) -> None:
        """Remove a file or a symbolic link."""

    @abstractmethod
    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        """Move *source* to *target*; *replace* a file that is there (never a directory)."""

    async def change_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        raise _unsupported("chmod", path)

    async def set_modified(self, path: str, mtime: float) -> None:
        """Set the time of the last change, seconds since the epoch."""
        raise _unsupported("utime", path)

    async def make_link(self, path: str, target: str) -> None:
        """Make *path* a symbolic link to *target* (a virtual path inside this tree)."""
        raise _unsupported("symlink", path)

    async def copy(self, source: str, target: str, *, replace: bool = True) -> None:
        """Copy the regular file *source* to *target*, in the manner of an atomic upload."""
        raise _unsupported("copy", source)

    async def space(self, path: str) -> Space:
        """Room left where *path* is."""
        raise _unsupported("statvfs", path)

    def open_directory(self, path: str) -> int:
        """Descriptor of the local directory *path* for native listing, owned by the caller, or -1."""
        return -1

    def subtree(self, path: str) -> Filesystem:
        """The tree at *path* as a filesystem of its own, out of which nothing leads and which keeps this one alive."""
        return self if path == paths.ROOT else Subtree(self, path)

    async def close(self) -> None:  # noqa: B027 - having nothing to give back is the ordinary case
        """Give back what the filesystem holds. Idempotent."""


def _unsupported(operation: str, path: str) -> OSError:
    return OSError(errno.ENOTSUP, f"{operation}: {os.strerror(errno.ENOTSUP)}", path)


class Subtree(Filesystem):
    """A directory of another filesystem seen as a whole one."""

    def __init__(self, base: Filesystem, top: str) -> None:
        self._base = base
        self._top = top
        self.hidden_suffix = base.hidden_suffix

    def _real(self, path: str) -> str:
        return paths.rewrite(path, self._top)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        return await self._base.stat(self._real(path), follow=follow)

    async def entries(self, path: str) -> Sequence[FileInfo]:
        return await self._base.entries(self._real(path))

    async def open_read(self, path: str) -> Reader:
        return await self._base.open_read(self._real(path))

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
        return await self._base.open_write(
            self._real(path),
            offset=offset,
            append=append,
            unfinished=unfinished,
            replace=replace,
            uploader=uploader,
            size=size,
        )

    @property
    def keeps_unfinished(self) -> bool:
        return self._base.keeps_unfinished

    async def unfinished_size(self, path: str, uploader: str) -> int:
        return await self._base.unfinished_size(self._real(path), uploader)

    async def discard_unfinished(self, path: str, uploader: str) -> int:
        return await self._base.discard_unfinished(self._real(path), uploader)

    async def make_directory(self, path: str) -> None:
        await self._base.make_directory(self._real(path))

    async def remove_directory(self, path: str) -> None:
        await self._base.remove_directory(self._real(path))

    async def remove(self, path: str) -> None:
        await self._base.remove(self._real(path))

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        await self._base.rename(self._real(source), self._real(target), replace=replace)

    async def change_mode(self, path: str, mode: int) -> None:
        await self._base.change_mode(self._real(path), mode)

    async def set_modified(self, path: str, mtime: float) -> None:
        await self._base.set_modified(self._real(path), mtime)

    async def make_link(self, path: str, target: str) -> None:
        await self._base.make_link(self._real(path), self._real(target))

    async def copy(self, source: str, target: str, *, replace: bool = True) -> None:
        await self._base.copy(self._real(source), self._real(target), replace=replace)

    async def space(self, path: str) -> Space:
        return await self._base.space(self._real(path))

    def open_directory(self, path: str) -> int:
        return self._base.open_directory(self._real(path))
