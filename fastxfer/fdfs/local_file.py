"""Local files: one that is being written and appears only when whole, one that is to be sent."""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import stat
import sys
from types import TracebackType

from fastxfer.fdfs.errors import FileNotFoundError
from fastxfer.net.temporary_names import mark

__all__ = ["ArrivingFile", "LocalFile", "read_small_file"]

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_ANEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""Opens a pipe without waiting for its other end."""

_TELLS_UNOPENED = sys.platform == "linux"
"""Whether a pipe that nobody has opened for writing yet does not look as if all writers had closed it."""

_PERMISSIONS = 0o777
"""What a file that is replaced passes on: not the right to act as its owner, which was not given to these bytes."""


class ArrivingFile:
    """A file under a temporary name beside its own, until :meth:`keep`; without that it vanishes at the end.

    A link is followed. A file that is replaced passes its permissions on. What is no regular file (a pipe, a device) is
    written to directly. Missing directories are made.

    Args:
        wait: where *path* is a pipe, wait for somebody to read from it; else see :meth:`open_pipe`.

    Attributes:
        fd: descriptor to write to; -1 until a pipe is open.
        seekable: whether it may be written at any offset.
    """

    def __init__(self, path: str | os.PathLike[str], *, wait: bool = True) -> None:
        self.path = os.fspath(path)
        self.fd = -1
        self.seekable = True
        self._wait = wait
        self._kept = False

    def __enter__(self) -> ArrivingFile:
        target = self.path
        existing: os.stat_result | None = None
        with contextlib.suppress(OSError):
            existing = os.lstat(target)
            if stat.S_ISLNK(existing.st_mode):
                existing, target = None, os.path.realpath(target)
                # By the name given: what that of /dev/stdout comes to may be no name at all.
                existing = os.stat(self.path)
        if not os.path.basename(self.path) or (existing is not None and stat.S_ISDIR(existing.st_mode)):
            code = errno.EISDIR if self.path else errno.ENOENT
            raise OSError(code, os.strerror(code), self.path)
        if existing is not None and not stat.S_ISREG(existing.st_mode):
            self.seekable = False
            self._temporary = ""
            # By the name given: what /dev/stdout leads to may have no other.
            if self._wait or not stat.S_ISFIFO(existing.st_mode):
                self.fd = os.open(self.path, os.O_WRONLY | _BINARY)
            return self
        if not os.path.isabs(target):
            # The process may change its directory before the file gets its name.
            target = os.path.join(os.getcwd(), target)
        directory, name = os.path.split(target)
        self._target = target
        # The name may be as long as a name can be: the temporary one keeps only its beginning.
        self._temporary = os.path.join(directory, f".{name[:40]}.{mark()}.part")
        try:
            try:
                self.fd = os.open(self._temporary, _ANEW, 0o666)
            except builtins.FileNotFoundError:
                os.makedirs(directory, exist_ok=True)
                self.fd = os.open(self._temporary, _ANEW, 0o666)
            if existing is not None and hasattr(os, "fchmod"):
                os.fchmod(self.fd, existing.st_mode & _PERMISSIONS)
        except BaseException as error:
            # Out of a signal handler, when the file was there already; else it could be somebody else's.
            if self.fd >= 0 or not isinstance(error, OSError):
                self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fd, self.fd = self.fd, -1
        try:
            if fd >= 0:
                os.close(fd)
        finally:
            if self._temporary and not self._kept:
                with contextlib.suppress(builtins.FileNotFoundError):
                    os.unlink(self._temporary)
        if isinstance(error, OSError) and error.filename is None and type(error).__module__ == "builtins":
            error.filename = self.path

    def open_pipe(self) -> bool:
        """Open the pipe that *path* is, if somebody reads from it by now; whether there is nothing to wait for.

        It does not block: a transfer into it can be ended while its reader takes nothing.
        """
        if self.fd < 0:
            try:
                self.fd = os.open(self.path, os.O_WRONLY | _AT_ONCE | _BINARY)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return False
        return True

    def offset(self, position: int) -> int:
        """Where to write the byte at *position* of the body: -1, the file's own position, where it has no other."""
        return position if self.seekable else -1

    def write(self, data: bytes) -> None:
        """Write all of *data* where the last call ended."""
        written = os.write(self.fd, data)
        while written < len(data):
            written += os.write(self.fd, memoryview(data)[written:])

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


def read_small_file(path: str | os.PathLike[str], limit: int) -> bytes | None:
    """All of a regular file of at most *limit* bytes; None where it is another one, or cannot be read, of which
    :class:`LocalFile` tells."""
    try:
        # Before it is opened: a pipe has a writer who would think that its reader has come and gone.
        state = os.stat(path)
        if state.st_size > limit or not stat.S_ISREG(state.st_mode):
            return None
        fd = os.open(path, os.O_RDONLY | _BINARY | _AT_ONCE)
    except (OSError, TypeError, ValueError):
        return None
    try:
        data = os.read(fd, state.st_size + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    return data if len(data) == state.st_size else None


class LocalFile:
    """A local file that is to be read.

    Raises :class:`FileNotFoundError` where there is none, IsADirectoryError or another OSError where it cannot be read.

    Args:
        wait: where *path* is a pipe, wait for somebody to write into it; else it is opened so that it never blocks
            (Linux).

    Attributes:
        fd: its descriptor.
        size: bytes, as it is opened.
        regular: whether *size* means anything; a pipe has none.
        nonblocking: whether it is a pipe that does not block.
    """

    def __init__(self, path: str | os.PathLike[str], *, wait: bool = True) -> None:
        self.path = os.fspath(path)
        self.nonblocking = False
        try:
            self.fd = os.open(self.path, os.O_RDONLY | _BINARY) if wait else self._open_at_once()
        except builtins.FileNotFoundError as error:
            missing = FileNotFoundError()
            missing.message = f"Local file not found: {self.path}"
            missing.filename = self.path
            raise missing from error
        try:
            state = os.fstat(self.fd)
            if stat.S_ISDIR(state.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
            self.regular = stat.S_ISREG(state.st_mode)
            if not wait and not self.regular and hasattr(os, "set_blocking"):
                self.nonblocking = _TELLS_UNOPENED and stat.S_ISFIFO(state.st_mode)
                os.set_blocking(self.fd, not self.nonblocking)
        except BaseException:
            os.close(self.fd)
            raise
        self.size = state.st_size

    def __enter__(self) -> LocalFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        if isinstance(error, OSError) and error.filename is None and type(error).__module__ == "builtins":
            error.filename = self.path

    def _open_at_once(self) -> int:
        if _TELLS_UNOPENED:
            # Where somebody else has a lease on the file, it has to be waited for.
            with contextlib.suppress(BlockingIOError):
                return os.open(self.path, os.O_RDONLY | _BINARY | _AT_ONCE)
        return os.open(self.path, os.O_RDONLY | _BINARY)
