"""The local file that a download becomes: written beside its place and moved there when it is whole."""

from __future__ import annotations

import errno
import os
import stat

from fastxfer.ftp.endpoints import FileSink, local_error
from fastxfer.net.temporary_names import mark

__all__ = ["Landing"]

_CLOSING = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_LONGEST = 180
"""Bytes of a file's name kept in that of its temporary file; most filesystems take 255 in all."""


class Landing:
    """Where a download lands.

    Args:
        path: the final path.
        atomic: write to a temporary file in the same directory and rename it at the end.
        resume: go on with what an earlier, failed download left.
        overwrite: replace what is there; else FileExistsError.
        make_directories: make the directories that are missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        atomic: bool = True,
        resume: bool = False,
        overwrite: bool = True,
        make_directories: bool = False,
    ) -> None:
        self.path = (path if type(path) is str else os.fsdecode(path)).rstrip(os.sep) or os.sep
        self._resume = resume
        self._overwrite = overwrite
        self._make_directories = make_directories
        self._temporary = self._beside() if atomic else None
        self._fd = -1

    def _beside(self) -> str:
        name = os.path.basename(self.path) if os.altsep else self.path.rpartition(os.sep)[2]
        folder = self.path[: len(self.path) - len(name)]
        if len(name) > _LONGEST // 4:
            name = os.fsdecode(os.fsencode(name)[:_LONGEST])
        suffix = "" if self._resume else f".{mark()}"
        return f"{folder}.{name}{suffix}.part"

    @property
    def writing(self) -> str:
        """The path that is being written to."""
        return self._temporary or self.path

    def open(self) -> FileSink:
        """Open the file; the sink stands where the download is to begin. Raises LocalFileError."""
        target = self._temporary or self.path
        flags = os.O_RDWR | os.O_CREAT | _CLOSING
        if not self._resume:
            flags |= os.O_TRUNC if self._temporary is None and self._overwrite else os.O_EXCL
        try:
            if not self._overwrite and os.path.lexists(self.path):
                raise FileExistsError(17, "File exists", self.path)
            # Unlike others this raises no exception where there is nothing.
            if self._temporary is not None and os.access(self.path, os.F_OK) and _takes_bytes(self.path):
                target, flags, self._temporary = self.path, os.O_WRONLY | _CLOSING, None
            try:
                self._fd = os.open(target, flags, 0o666)
            except FileNotFoundError:
                if not self._make_directories:
                    raise
                os.makedirs(os.path.dirname(self.path) or os.curdir, exist_ok=True)
                self._fd = os.open(target, flags, 0o666)
            return FileSink(self._fd, os.fstat(self._fd).st_size if self._resume else 0)
        except OSError as error:
            raise local_error(error, "cannot write the local file") from error

    def commit(self, mtime: float | None = None) -> None:
        """The file is whole: give it its time and its name. Raises LocalFileError."""
        try:
            if mtime is not None:
                os.utime(self._fd if os.utime in os.supports_fd else self._temporary or self.path, (mtime, mtime))
            fd, self._fd = self._fd, -1
            os.close(fd)
            if self._temporary is None:
                return
            if self._overwrite:
                os.replace(self._temporary, self.path)
            else:
                self._move(self._temporary)
        except OSError as error:
            self.discard(keep=self._resume)
            raise local_error(error, "cannot put the local file in its place") from error

    def _move(self, temporary: str) -> None:
        try:
            # Unlike a rename, a link never replaces what somebody else has put there meanwhile.
            os.link(temporary, self.path)
        except (AttributeError, PermissionError, NotImplementedError):
            if os.path.lexists(self.path):
                raise FileExistsError(17, "File exists", self.path) from None
            os.rename(temporary, self.path)
            return
        os.unlink(temporary)

    def discard(self, *, keep: bool) -> None:
        """The download failed: remove what is there of it, unless it is to be gone on with."""
        self._close()
        half = self._temporary or self.path
        # Without a temporary name the target may be a device or a pipe.
        if keep or not os.path.isfile(half):
            return
        try:
            os.unlink(half)
        except OSError:
            return

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _takes_bytes(path: str) -> bool:
    """Whether what is at *path* is a device such as ``/dev/null``, to be written to and never replaced.

    Raises OSError where it is neither that nor a file or a link to one: a directory, a pipe, or a link to what a
    process has open, as ``/dev/stdout`` is.
    """
    found = os.lstat(path)
    if stat.S_ISREG(found.st_mode):
        return False
    if stat.S_ISCHR(found.st_mode):
        return True
    end = os.stat(path)
    if stat.S_ISDIR(end.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
    if stat.S_ISREG(end.st_mode) and not os.readlink(path).startswith("/proc/"):
        return False
    raise OSError(errno.EINVAL, "it is no file; give an open file object for a pipe, a device or what is open", path)
