"""Local files: one that is being written and appears only when whole, one that is to be sent."""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import secrets
import stat
from types import TracebackType

from fastxfer.fdfs.errors import FileNotFoundError

__all__ = ["ArrivingFile", "LocalFile"]

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


_PERMISSIONS = 0o777
"""What a file that is replaced passes on: not the right to act as its owner, which was not given to these bytes."""


class ArrivingFile:
    """A file under a temporary name beside its own, until :meth:`keep`; without that it vanishes at the end.

    A link is followed. A file that is replaced passes its permissions on. What is no regular file (a pipe, a device) is
    written to directly. Missing directories are made.

    Attributes:
        fd: descriptor to write to.
        seekable: whether it may be written at any offset.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.fd = -1
        self.seekable = True
        self._kept = False

    def __enter__(self) -> ArrivingFile:
        try:
            existing: os.stat_result | None = os.stat(self.path)
        except OSError:
            existing = None
        if existing is not None and stat.S_ISDIR(existing.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        if existing is not None and not stat.S_ISREG(existing.st_mode):
            self.seekable = False
            self._temporary = ""
            # By the name given: what /dev/stdout leads to may have no other.
            self.fd = os.open(self.path, os.O_WRONLY | _BINARY)
            return self
        target = os.path.realpath(self.path)
        directory, name = os.path.split(target)
        os.makedirs(directory, exist_ok=True)
        self._target = target
        # The name may be as long as a name can be: the temporary one keeps only its beginning.
        self._temporary = os.path.join(directory, f".{name[:40]}.{secrets.token_hex(8)}.part")
        self.fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        if existing is not None and hasattr(os, "fchmod"):
            try:
                os.fchmod(self.fd, existing.st_mode & _PERMISSIONS)
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self._temporary and not self._kept:
            with contextlib.suppress(builtins.FileNotFoundError):
                os.unlink(self._temporary)
        if isinstance(error, OSError) and error.filename is None and type(error).__module__ == "builtins":
            error.filename = self.path

    def offset(self, position: int) -> int:
        """Where to write the byte at *position* of the body: -1, the file's own position, where it has no other."""
        return position if self.seekable else -1

    def clear(self) -> None:
        """Begin again from nothing."""
        if self.seekable:
            os.ftruncate(self.fd, 0)

    def allocate(self, size: int) -> None:
        """Take room for *size* bytes on the disk; OSError at once where there is none."""
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self.fd, 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        os.ftruncate(self.fd, size)

    def sync(self) -> None:
        """Have its bytes written to the disk."""
        os.fsync(self.fd)

    def keep(self) -> None:
        """It is whole: give it its name."""
        fd, self.fd = self.fd, -1
        os.close(fd)
        if self._temporary:
            os.replace(self._temporary, self._target)
            self._kept = True


class LocalFile:
    """A local file that is to be read.

    Raises :class:`FileNotFoundError` where there is none, IsADirectoryError or another OSError where it cannot be read.

    Attributes:
        fd: its descriptor.
        size: bytes, as it is opened.
        regular: whether *size* means anything; a pipe has none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self.fd = os.open(self.path, os.O_RDONLY | _BINARY)
        except builtins.FileNotFoundError as error:
            missing = FileNotFoundError()
            missing.message = f"Local file not found: {self.path}"
            missing.filename = self.path
            raise missing from error
        try:
            state = os.fstat(self.fd)
            if stat.S_ISDIR(state.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        except BaseException:
            os.close(self.fd)
            raise
        self.size = state.st_size
        self.regular = stat.S_ISREG(state.st_mode)

    def __enter__(self) -> LocalFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        if isinstance(error, OSError) and error.filename is None and type(error).__module__ == "builtins":
            error.filename = self.path
