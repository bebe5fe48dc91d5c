"""Opening what a relative path names below a directory, in such a way that nothing leads out of it.

Linux has ``openat2`` with RESOLVE_BENEATH, which the kernel resolves in one step, free of races. Elsewhere, and where
``FASTXFER_NO_OPENAT2=1`` is set, the path is walked one component at a time with ``O_NOFOLLOW``, and symbolic links are
read and followed by hand below the same directory. In both, an absolute link, or one that climbs above the
directory, is EXDEV.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from fastxfer.core.ftpserve import openat2

__all__ = ["HAS_OPENAT2", "open_beneath"]

MAX_LINKS = 40
"""Symbolic links followed in one path, as Linux has it."""
AT_FDCWD = -100
"""Of Linux: the working directory of the process."""
O_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
O_PATH = getattr(os, "O_PATH", 0)
_PERHAPS_A_LINK = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR})


def _usable_openat2() -> Callable[[int, str, int, int], int] | None:
    """None where the system has none, or is not to use it."""
    if os.environ.get("FASTXFER_NO_OPENAT2", "") == "1":
        return None
    try:
        os.close(openat2(AT_FDCWD, ".", O_PATH | os.O_DIRECTORY))
    except OSError:
        return None
    return openat2


_openat2 = _usable_openat2()
HAS_OPENAT2 = _openat2 is not None


def open_beneath(top: int, path: str, flags: int, mode: int = 0) -> int:
    """Open *path*, relative to the directory *top* (a descriptor), without ever leaving that directory.

    Args:
        top: descriptor of the directory.
        path: relative path without ``..``; ``.`` for the directory itself.
        flags: as for :func:`os.open`; ``O_CLOEXEC`` is added. With ``O_NOFOLLOW`` a link at the end is ELOOP.
        mode: permission bits of a file that is created.

    Raises:
        OSError: EXDEV where a symbolic link leads out; else as :func:`os.open`.
    """
    if "/" not in path and path != ".." and not flags & O_PATH:
        # A single name leads out only where it is a link; this is the quicker half of all calls.
        try:
            return os.open(path, flags | O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=top)
        except OSError as error:
            if error.errno not in _PERHAPS_A_LINK or flags & os.O_NOFOLLOW:
                raise
    if _openat2 is not None:
        try:
            return _openat2(top, path, flags, mode)
        except (BlockingIOError, InterruptedError):
            # Directories are being moved: walking goes by what is held open.
            pass
    return _walk(top, path, flags | O_CLOEXEC, mode)


def _walk(top: int, path: str, flags: int, mode: int) -> int:
    """The portable way: open each directory in turn, never following a link but by hand."""
    pending = [part for part in path.split("/") if part not in ("", ".")]
    pending.reverse()
    held: list[int] = [os.dup(top)]
    links = 0
    try:
        while pending:
            name = pending.pop()
            if name == "..":
                if len(held) == 1:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
                os.close(held.pop())
                continue
            last = not pending
            try:
                if last:
                    fd = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=held[-1])
                    # With O_PATH the link itself was opened.
                    if not flags & O_PATH or flags & os.O_NOFOLLOW or not stat.S_ISLNK(os.fstat(fd).st_mode):
                        return fd
                    os.close(fd)
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                held.append(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | O_CLOEXEC, dir_fd=held[-1]))
                continue
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) or (last and flags & os.O_NOFOLLOW):
                    raise
                if not stat.S_ISLNK(os.stat(name, dir_fd=held[-1], follow_symlinks=False).st_mode):
                    raise
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(name, dir_fd=held[-1])
            if target.startswith("/"):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
            pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
        return os.open(".", flags, mode, dir_fd=held[-1])
    finally:
        for fd in held:
            os.close(fd)
