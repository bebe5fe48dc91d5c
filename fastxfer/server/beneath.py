"""Opening what a relative path names below a directory, in such a way that nothing leads out of it.

Linux has ``openat2`` with RESOLVE_BENEATH, which the kernel resolves in one step, free of races. Elsewhere, and where
``FASTXFER_NO_OPENAT2=1`` is set, the path is walked one component at a time with ``O_NOFOLLOW``, and symbolic links are
read and followed by hand below the same directory. In both, an absolute link, or one that climbs above the
directory, is EXDEV.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
import struct
import sys

__all__ = ["HAS_OPENAT2", "open_beneath"]

MAX_LINKS = 40
"""Symbolic links followed in one path, as Linux has it."""
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
SYS_OPENAT2 = 437
EAGAIN_TRIES = 8
"""RESOLVE_BENEATH gives EAGAIN when a directory was moved during the walk."""

O_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
O_PATH = getattr(os, "O_PATH", 0)
_PERHAPS_A_LINK = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR})
_HOW = struct.Struct("QQQ")


def _load_openat2() -> object | None:
    if not sys.platform.startswith("linux") or os.environ.get("FASTXFER_NO_OPENAT2", "") == "1":
        return None
    if platform.machine() not in ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "i686", "armv7l", "loongarch64"):
        return None
    try:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return None
    syscall.argtypes = (
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    )
    syscall.restype = ctypes.c_long
    how = _HOW.pack(os.O_RDONLY | os.O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_BENEATH)
    fd = syscall(SYS_OPENAT2, -100, b".", how, len(how))
    if fd < 0:
        return None
    os.close(fd)
    return syscall


_syscall = _load_openat2()
HAS_OPENAT2 = _syscall is not None


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
    if _syscall is None:
        return _walk(top, path, flags | O_CLOEXEC, mode)
    name = os.fsencode(path)
    how = _HOW.pack(flags | O_CLOEXEC, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    for _ in range(EAGAIN_TRIES):
        fd: int = _syscall(SYS_OPENAT2, top, name, how, 24)  # type: ignore[operator]
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            raise OSError(code, os.strerror(code), path)
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
